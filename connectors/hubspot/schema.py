"""What an account's objects are made of: custom objects, properties, owners. Looked at once a day, not at each poll."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn, TypeVar

from connectors.hubspot.account import DAY
from connectors.hubspot.crm import Crm, Row
from connectors.hubspot.paths import OBJECTS, standard_name
from connectors.hubspot.values import Property, nearest, property_of
from sync.clock import Clock

HOUR = 3600.0
SOON = 60.0
"""Seconds after which an owner that nobody knows makes the owners be read again."""

ValueT = TypeVar("ValueT")


class Schema:
    """Definitions of one account, remembered for a while."""

    def __init__(self, crm: Crm, clock: Clock) -> None:
        self._crm = crm
        self._clock = clock
        self._kept: dict[str, tuple[float, object]] = {}

    def object_name(self, name: str) -> str:
        """The object as the paths want it: a custom one by its type id. Raises SourceRefused where there is none."""
        standard = standard_name(name)
        if standard in OBJECTS or standard.startswith(("0-", "2-")):
            return standard
        schemas = self.custom_objects()
        keys = ("name", "fullyQualifiedName")
        found = [row for row in schemas if standard in {str(row.get(key, "")).lower() for key in keys}]
        return str(found[0].get("objectTypeId")) if found else self._no_object(name, schemas)

    def _no_object(self, name: str, schemas: Sequence[Row]) -> NoReturn:
        known = sorted(str(schema.get("name", "")) for schema in schemas)
        near = nearest(name, [*OBJECTS, *known])
        said = ", ".join(known) if known else "none"
        hint = f"did you mean {near!r}?" if near else f"the account's custom objects: {said}"
        self._crm.account.refuse(f"there is no object {name!r}", hint)

    def custom_objects(self) -> list[Row]:
        return self._fresh("schemas", DAY, self._crm.schemas)

    def properties(self, name: str) -> Mapping[str, Property]:
        """An object's properties by their names."""

        def read() -> Mapping[str, Property]:
            found = [property_of(row) for row in self._crm.properties(name)]
            return {each.name: each for each in found}

        return self._fresh(f"properties {name}", DAY, read)

    def owner(self, id_: str) -> str | None:
        """An owner's name, also of one who left; None for nobody."""
        owners = self._fresh("owners", HOUR, self._owners)
        if id_ not in owners:
            owners = self._fresh("owners", SOON, self._owners)
        return owners.get(id_)

    def _owners(self) -> Mapping[str, str]:
        return {str(row["id"]): _name_of(row) for row in self._crm.owners()}

    def _fresh(self, key: str, seconds: float, read: Callable[[], ValueT]) -> ValueT:
        kept = self._kept.get(key)
        if kept is None or self._clock.boot() - kept[0] > seconds:
            kept = self._kept[key] = (self._clock.boot(), read())
        return kept[1]  # type: ignore[return-value] # what `read` gave under this key


def _name_of(owner: Row) -> str:
    """First and last name, else the e-mail address, else the id."""
    names = [str(owner.get(key) or "").strip() for key in ("firstName", "lastName")]
    return " ".join(name for name in names if name) or str(owner.get("email") or "") or str(owner["id"])
