"""Definitions in an account: custom objects, properties, and the lists that name codes (owners, teams, pipelines).

Kept for a day (lists of names that are used, for minutes), and read again as soon as an answer does not fit them.
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
"""Seconds for which the names of pipelines, teams and options are kept: a mapping's `where` may depend on them. Owners
are kept longer (HOUR): an account may have thousands, in pages of a hundred."""
SOON = 60.0
"""Seconds within which neither the definitions of this poll nor an unknown code are read again."""

ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True)
class Pipelines:
    """One object's pipelines and stages with their labels, by their ids.

    `stages` has each as `pipeline/stage`, and by its own id alone if all pipelines give it the same label. `each` has
    all stages by their own ids.
    """

    pipelines: Mapping[str, str]
    stages: Mapping[str, str]
    each: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Owners:
    """Names of owners, including those that left: by the owner's id, and by the user's."""

    names: Mapping[str, str]
    users: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Cached(Generic[ValueT]):
    """A value, when it was read (seconds since boot), and the number of that reading."""

    at: float
    number: int
    value: ValueT


class Schema:
    """The definitions of one account, cached."""

    def __init__(self, crm: Crm, clock: Clock) -> None:
        self._crm = crm
        self._clock = clock
        self._kept: dict[str, _Cached[object]] = {}
        self._readings = 0

    def mark(self) -> int:
        """Return the present moment as the argument `after` of other methods: nothing cached before it is used."""
        return self._readings

    def object_name(self, name: str) -> str:
        """Return an object's name as the paths need it: of a custom object its type id, found by any of its names.

        Raises SourceRefused if there is none, or several.
        """
        standard = standard_name(name)
        if standard in OBJECTS or standard.startswith(("0-", "2-")):
            return standard
        before = self.mark()
        # A name that is unknown may be new: asked once more before it is refused.
        found = _called(standard, self.custom_objects()) or _called(standard, self.custom_objects(after=before))
        if len(found) > 1:
            self._crm.account.refuse(f"{name!r} may be {' or '.join(found)}", "write the type id of the one you mean")
        return found[0] if found else self._no_object(name)

    def _no_object(self, name: str) -> NoReturn:
        schemas = self.custom_objects()
        near = nearest(name, [*OBJECTS, *(str(schema.get("name", "")) for schema in schemas)])
        listed = ", ".join(sorted(f"{row.get('name', '')} ({row.get('objectTypeId', '')})" for row in schemas))
        hint = f"did you mean {near!r}?" if near else f"the account's custom objects: {listed or 'none'}"
        self._crm.account.refuse(f"there is no object {name!r}", hint)

    def custom_objects(self, *, after: int | None = None) -> list[HubSpotRow]:
        """Return the account's custom objects, read at most a day ago and after the moment `after`."""
        return self._fresh("schemas", DAY, self._crm.schemas, after)

    def refuse_vanished(self, name: str, called: str) -> None:
        """Raise SourceRefused if this custom object no longer exists. Called after a call for it was refused."""
        if not name.startswith("2-"):
            return
        try:
            there = self.custom_objects(after=self.mark())
        except SourceRefused:
            return  # the token may not ask: the error of the call itself is raised
        if name not in {str(row.get("objectTypeId")) for row in there}:
            what = f"there is no object {called!r}{'' if called == name else f' ({name})'}"
            hint = "was it deleted in HubSpot? restore it there, or take the stream out of the file"
            self._crm.account.refuse(what, hint)

    def properties(self, name: str, *, within: float = DAY, after: int | None = None) -> Mapping[str, Property]:
        """Return an object's properties by name, read at most `within` seconds ago and after the moment `after`."""

        def read() -> Mapping[str, Property]:
            found = [property_of(row) for row in self._crm.properties(name) if not row.get("archived")]
            return {each.name: each for each in found}

        return self._fresh(f"properties {name}", within, read, after)

    # ---- the account's lists of names

    def owners(self, *, after: int | None = None) -> Owners:
        """Return the account's owners, read at most an hour ago and after the moment `after`."""
        return self._fresh("owners", HOUR, lambda: _owners_of(list(self._crm.owners())), after)

    def teams(self, *, after: int | None = None) -> Mapping[str, str]:
        """Return the names of teams by id."""
        return self._fresh("teams", A_WHILE, lambda: _named(self._crm.teams(), "name"), after)

    def pipelines(self, name: str, *, after: int | None = None) -> Pipelines:
        """Return an object's pipelines and stages."""
        return self._fresh(f"pipelines {name}", A_WHILE, lambda: _pipelines_of(self._crm.pipelines(name)), after)

    def _fresh(self, key: str, seconds: float, read: Callable[[], ValueT], after: int | None = None) -> ValueT:
        kept = self._kept.get(key)
        old = kept is None or self._clock.boot() - kept.at > seconds
        if kept is None or old or (after is not None and kept.number <= after):
            # Removed first: if reading fails, an outdated copy must not be used again.
            self._kept.pop(key, None)
            value = read()
            self._readings += 1
            kept = self._kept[key] = _Cached(self._clock.boot(), self._readings, value)
        return cast("ValueT", kept.value)


def _called(name: str, schemas: Sequence[HubSpotRow]) -> list[str]:
    """Return the type ids of the custom objects with this name (lower case): internal names win over labels."""
    for keys in (("name", "fullyQualifiedName"), ("plural", "singular")):
        names = [(row, {**(row.get("labels") or {}), **row}) for row in schemas]
        found = [row for row, fields in names if name in {str(fields.get(key, "")).lower() for key in keys}]
        if found:
            return list(dict.fromkeys(str(row.get("objectTypeId")) for row in found))
    return []


def _owners_of(rows: Sequence[HubSpotRow]) -> Owners:
    """Return owners by first and last name, else by e-mail address; without either they have no name.

    HubSpot blanks the names of users that were deactivated.
    """
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
    # Two pipelines may use one stage id for different things: then only the pair is clear.
    agreed = {id_: each[id_] for id_, labels in alone.items() if len(set(labels)) == 1}
    return Pipelines(_named(rows, "label"), {**agreed, **stages}, each)


def _named(rows: Sequence[HubSpotRow], key: str) -> dict[str, str]:
    """Return the labels by id; a row without a label is left out."""
    return {str(row["id"]): name.strip() for row in rows if isinstance(name := row.get(key), str) and name.strip()}
