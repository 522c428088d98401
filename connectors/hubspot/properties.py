"""What an account's objects are made of: custom objects, properties, and the lists that name their codes.

Looked at once a day (lists of names more often, where they are used), not at each poll; and anew as soon as an answer
does not fit them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NoReturn, TypeVar, cast

from connectors.hubspot.api_paths import OBJECTS, standard_name
from connectors.hubspot.calls import DAY
from connectors.hubspot.crm import Crm, HubSpotRow
from connectors.hubspot.values import Property, nearest, property_of
from sync.shared.clock import Clock
from sync.shared.errors import SourceRefused

HOUR = 3600.0
A_WHILE = 300.0
"""Seconds for which the names of pipelines, teams and options are believed: a filter may go by them. Owners may be
thousands, in pages of a hundred."""
SOON = 60.0
"""Seconds for which neither definitions of this very poll nor an unknown code are asked for again."""

ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True)
class Pipelines:
    """One object's pipelines and their stages, by their ids: what users see for them.

    `stages` has each as `pipeline/stage`, and by its own id alone where all pipelines call it the same; `each` has all
    stages by their own ids.
    """

    pipelines: Mapping[str, str]
    stages: Mapping[str, str]
    each: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Owners:
    """Names of owners, those that left included: by the owner's id, and by the user's."""

    names: Mapping[str, str]
    users: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Kept(Generic[ValueT]):
    """A value as it was read, when (seconds since boot), and as which reading of all."""

    at: float
    number: int
    value: ValueT


class Schema:
    """Definitions of one account, remembered for a while."""

    def __init__(self, crm: Crm, clock: Clock) -> None:
        self._crm = crm
        self._clock = clock
        self._kept: dict[str, _Kept[object]] = {}
        self._readings = 0

    def mark(self) -> int:
        """Return this moment, as the others take it in `after`: a copy made before it is not believed."""
        return self._readings

    def object_name(self, name: str) -> str:
        """The object as the paths want it: a custom one by its type id, found by any of its names. Raises SourceRefused
        where there is none, or several."""
        standard = standard_name(name)
        if standard in OBJECTS or standard.startswith(("0-", "2-")):
            return standard
        before = self.mark()
        found = _called(standard, self.custom_objects()) or _called(standard, self.custom_objects(after=before))
        if len(found) > 1:
            self._crm.account.refuse(f"{name!r} may be {' or '.join(found)}", "write the type id of the one you mean")
        return found[0] if found else self._no_object(name)

    def _no_object(self, name: str) -> NoReturn:
        schemas = self.custom_objects()
        near = nearest(name, [*OBJECTS, *(str(schema.get("name", "")) for schema in schemas)])
        said = ", ".join(sorted(f"{row.get('name', '')} ({row.get('objectTypeId', '')})" for row in schemas))
        hint = f"did you mean {near!r}?" if near else f"the account's custom objects: {said or 'none'}"
        self._crm.account.refuse(f"there is no object {name!r}", hint)

    def custom_objects(self, *, after: int | None = None) -> list[HubSpotRow]:
        return self._fresh("schemas", DAY, self._crm.schemas, after)

    def refuse_vanished(self, name: str, called: str) -> None:
        """Raise SourceRefused where a custom object, that calls are refused for, is no longer there."""
        if not name.startswith("2-"):
            return
        try:
            there = self.custom_objects(after=self.mark())
        except SourceRefused:
            return  # the token may not ask: what the calls themselves said stands
        if name not in {str(row.get("objectTypeId")) for row in there}:
            what = f"there is no object {called!r}{'' if called == name else f' ({name})'}"
            hint = "was it deleted in HubSpot? restore it there, or take the stream out of the file"
            self._crm.account.refuse(what, hint)

    def properties(self, name: str, *, within: float = DAY, after: int | None = None) -> Mapping[str, Property]:
        """An object's properties by their names, as they were within so many seconds, and after that moment."""

        def read() -> Mapping[str, Property]:
            found = [property_of(row) for row in self._crm.properties(name) if not row.get("archived")]
            return {each.name: each for each in found}

        return self._fresh(f"properties {name}", within, read, after)

    # ---- the account's lists of names

    def owners(self, *, after: int | None = None) -> Owners:
        return self._fresh("owners", HOUR, lambda: _owners_of(list(self._crm.owners())), after)

    def teams(self, *, after: int | None = None) -> Mapping[str, str]:
        """Names of teams by their ids."""
        return self._fresh("teams", A_WHILE, lambda: _named(self._crm.teams(), "name"), after)

    def pipelines(self, name: str, *, after: int | None = None) -> Pipelines:
        return self._fresh(f"pipelines {name}", A_WHILE, lambda: _pipelines_of(self._crm.pipelines(name)), after)

    def _fresh(self, key: str, seconds: float, read: Callable[[], ValueT], after: int | None = None) -> ValueT:
        kept = self._kept.get(key)
        old = kept is None or self._clock.boot() - kept.at > seconds
        if kept is None or old or (after is not None and kept.number <= after):
            self._kept.pop(key, None)
            value = read()
            self._readings += 1
            kept = self._kept[key] = _Kept(self._clock.boot(), self._readings, value)
        return cast("ValueT", kept.value)


def _called(name: str, schemas: Sequence[HubSpotRow]) -> list[str]:
    """The type ids of the custom objects of that name (in small letters): its own name comes before what users see."""
    for keys in (("name", "fullyQualifiedName"), ("plural", "singular")):
        names = [(row, {**(row.get("labels") or {}), **row}) for row in schemas]
        found = [row for row, said in names if name in {str(said.get(key, "")).lower() for key in keys}]
        if found:
            return list(dict.fromkeys(str(row.get("objectTypeId")) for row in found))
    return []


def _owners_of(rows: Sequence[HubSpotRow]) -> Owners:
    """By first and last name, else the e-mail address: HubSpot blanks the names of users that were deactivated. Who has
    neither has no name."""
    names: dict[str, str] = {}
    users: dict[str, str] = {}
    for row in rows:
        parts = [str(row.get(key) or "").strip() for key in ("firstName", "lastName")]
        name = " ".join(part for part in parts if part) or str(row.get("email") or "").strip()
        if name:
            names[str(row["id"])] = name
            users |= {str(row[key]): name for key in ("userId", "userIdIncludingInactive") if row.get(key) is not None}
    return Owners(names, users)


def _pipelines_of(rows: Sequence[HubSpotRow]) -> Pipelines:
    stages: dict[str, str] = {}
    alone: dict[str, list[str]] = {}
    for row in rows:
        for id_, label in _named(row.get("stages") or (), "label").items():
            stages[f"{row['id']}/{id_}"] = label
            alone.setdefault(id_, []).append(label)
    each = {id_: " or ".join(dict.fromkeys(labels)) for id_, labels in alone.items()}
    agreed = {id_: each[id_] for id_, labels in alone.items() if len(set(labels)) == 1}
    return Pipelines(_named(rows, "label"), {**agreed, **stages}, each)


def _named(rows: Sequence[HubSpotRow], key: str) -> dict[str, str]:
    """Return what users see, by the ids; a row without it is left out."""
    return {str(row["id"]): name.strip() for row in rows if isinstance(name := row.get(key), str) and name.strip()}
