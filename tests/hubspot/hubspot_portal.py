"""A HubSpot account in memory, with the ways of the real one: its search is late, unordered and capped at 10,000; its
associations page inside their results; what is merged gets a new id. Times are milliseconds since 1970."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from connectors.hubspot.api_paths import STANDARD

START = datetime(2026, 3, 10, 12, 0, 0, 654321, tzinfo=UTC).timestamp()
PORTAL = 147893286
PRIMARY_LABEL = {"category": "HUBSPOT_DEFINED", "label": "Primary"}
MODIFIED = {"contacts": "lastmodifieddate"}
TYPES = {("contacts", "companies"): (279, 1), ("companies", "contacts"): (280, 2)}
"""The types of associations: any, and primary."""


class Simulated:
    """A clock that moves when somebody waits."""

    boot_id = "simulated"

    def __init__(self) -> None:
        self.time = START

    def wall(self) -> float:
        return self.time

    def boot(self) -> float:
        return self.time - START + 1000

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        self.time += seconds


def iso(when: int) -> str:
    return datetime.fromtimestamp(when / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Thing:
    """A record. `archived`: when it was thrown into the recycling bin."""

    id: int
    properties: dict[str, str | None]
    created: int
    modified: int
    archived: int | None = None


@dataclass
class Index:
    """What the search knows: the modified time of each record as it was indexed, late."""

    shown: dict[int, int] = field(default_factory=dict)
    coming: list[tuple[int, int, int]] = field(default_factory=list)

    def add(self, id_: int, modified: int, visible: int) -> None:
        heapq.heappush(self.coming, (visible, id_, modified))

    def at(self, now: int) -> dict[int, int]:
        while self.coming and self.coming[0][0] <= now:
            _, id_, modified = heapq.heappop(self.coming)
            self.shown[id_] = max(modified, self.shown.get(id_, 0))
        return self.shown


def prop(name: str, type_: str = "string", field_type: str = "text", options: Iterable[str] = (), **more: Any) -> Any:
    """A property's definition with all that recorded ones have."""
    return {
        "name": name,
        "label": name.capitalize(),
        "type": type_,
        "fieldType": field_type,
        "description": "",
        "groupName": "information",
        "options": [
            {"label": label, "value": value, "displayOrder": n, "hidden": False}
            for n, (value, _, label) in enumerate(option.partition("=") for option in options)
        ],
        "displayOrder": -1,
        "calculated": False,
        "externalOptions": False,
        "hasUniqueValue": False,
        "hidden": False,
        "hubspotDefined": True,
        "modificationMetadata": {"archivable": True, "readOnlyDefinition": True, "readOnlyValue": False},
        "formField": False,
        "dataSensitivity": "non_sensitive",
        **more,
    }


def _listed_elsewhere(*names: str) -> list[Any]:
    """Definitions without options, as recorded of `pipeline` and `dealstage`: their choices are in another list."""
    return [prop(name, "enumeration", "select", externalOptions=True) for name in names]


def pipeline(id_: str, label: str, /, **stages: str) -> Any:
    """A pipeline and its stages as recorded; a stage's id is that of its key without the first letter."""
    always = {"createdAt": "1970-01-01T00:00:00Z", "updatedAt": "1970-01-01T00:00:00Z", "archived": False}
    listed = [
        {
            "label": name,
            "displayOrder": n,
            "metadata": {"isClosed": "false", "probability": "0.2"},
            "id": key[1:],
            "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
            **always,
        }
        for n, (key, name) in enumerate(stages.items())
    ]
    return {"label": label, "displayOrder": 0, "id": id_, "stages": listed, **always}


def owner(id_: str, first: str, last: str = "", /, *, archived: bool = False, **more: Any) -> Any:
    """An owner as HubSpot lists it; one that left has no user any more."""
    when = "2026-03-12T07:37:29.818Z"
    return {
        "id": id_,
        "email": f"{first or 'nobody'}@corp.example".lower(),
        "type": "PERSON",
        "firstName": first,
        "lastName": last,
        "userId": None if archived else int(id_) + 1000,
        "createdAt": when,
        "updatedAt": when,
        "archived": archived,
        **more,
    }


def definitions() -> dict[str, list[Any]]:
    common = [
        prop("hs_lastmodifieddate", "datetime", "date"),
        prop("hs_object_id", "number", "number"),
        prop("createdate", "datetime", "date"),
        prop("hs_merged_object_ids", "enumeration", "checkbox"),
        prop("hubspot_owner_id", "enumeration", "select", externalOptions=True, referencedObjectType="OWNER"),
        *_listed_elsewhere("hubspot_team_id", "hs_all_team_ids", "hs_all_assigned_business_unit_ids"),
        prop("hs_created_by_user_id", "number", "number", externalOptions=True),
        prop("secret"),
    ]
    industry = ("COMPUTER_SOFTWARE=Computer Software", "BANKING=Banking")
    companies = [
        prop("name"),
        prop("city"),
        prop("industry", "enumeration", "select", industry),
        prop("numberofemployees", "number", "number"),
        prop("website"),
        prop("hs_additional_domains", "enumeration", "checkbox"),
        prop("is_public", "bool", "booleancheckbox", ("true=Yes", "false=No")),
        prop("founded", "date", "date"),
        prop("num_contacts", "number", "number", calculated=True),
    ]
    contacts = [
        prop("email"),
        prop("firstname"),
        prop("lastname"),
        prop("jobtitle"),
        prop("lastmodifieddate", "datetime", "date"),
        prop("hs_additional_emails", "enumeration", "select"),
    ]
    return {
        "companies": [*common, *companies],
        "contacts": [*common, *contacts],
        "deals": [
            *common,
            *_listed_elsewhere("pipeline", "dealstage"),
            prop("dealname"),
            prop("amount", "number", "number"),
        ],
        "tickets": [*common, *_listed_elsewhere("hs_pipeline", "hs_pipeline_stage"), prop("subject")],
        "leads": [*common, prop("hs_lead_name")],
        "2-3465404": [
            *common,
            *_listed_elsewhere("hs_pipeline", "hs_pipeline_stage"),
            prop("vin"),
            prop("year", "number", "number"),
        ],
    }


class Portal:
    """The account's state, and what tests do to it."""

    def __init__(self, clock: Simulated | None = None) -> None:
        self.clock = clock or Simulated()
        self.id = PORTAL
        self.zone = "US/Eastern"
        self.definitions = definitions()
        self.owners: list[Any] = []
        self.teams: list[Any] = []
        self.pipelines: dict[str, list[Any]] = {}
        self.hidden: set[tuple[str, str]] = set()
        """Properties (object, name) that answers leave out although their definitions are listed."""
        self.halved: set[tuple[str, str]] = set()
        """Those that answers leave out of every other record."""
        self.denied: dict[tuple[str, str], str] = {}
        """Calls (by their names in the path table, and object or "") that the token lacks a scope for: which."""
        self.schemas = [
            {
                "id": "3465404",
                "objectTypeId": "2-3465404",
                "fullyQualifiedName": f"p{PORTAL}_car",
                "name": "car",
                "labels": {"singular": "Car", "plural": "Cars"},
                "requiredProperties": ["vin"],
                "searchableProperties": ["vin"],
                "secondaryDisplayProperties": [],
                "properties": [],
                "associations": [],
                "archived": False,
                "allowsSensitiveProperties": False,
            }
        ]
        self.association_page = 500
        self.ids_as_text = False
        """Whether the search compares and orders ids as text."""
        self.blind = False
        """Whether the search finds nothing by any modified property."""
        self.shuffled = False
        """Whether a search by id comes in no order."""
        self.forgetful: set[str] = set()
        """Ids that the batch read leaves out without an error."""
        self.lock = threading.RLock()
        self.clear()

    def clear(self) -> None:
        with self.lock:
            self.things: dict[str, dict[int, Thing]] = {name: {} for name in self.definitions}
            self.index: dict[str, Index] = {name: Index() for name in self.definitions}
            self.merged: dict[str, dict[int, int]] = {name: {} for name in self.definitions}
            self._ordered: dict[str, list[int]] = {}
            self.links: dict[tuple[str, str], dict[int, dict[int, list[Any]]]] = {}

    @property
    def now(self) -> int:
        return int(self.clock.time * 1000)

    # ---- what tests do

    def put(self, name: str, id_: int, at: int | None = None, /, **properties: str | None) -> Thing:
        """Writes a record, new or changed."""
        return self.put_late(name, id_, 0, at, **properties)

    def put_late(self, name: str, id_: int, lag: int, at: int | None = None, /, **properties: str | None) -> Thing:
        """Writes a record of which the search knows `lag` milliseconds later."""
        with self.lock:
            when = self.now if at is None else at
            known = self.things[name].get(id_)
            kept = known.properties if known else {}
            thing = Thing(id_, {**kept, **properties}, known.created if known else when, when)
            self.things[name][id_] = thing
            self.index[name].add(id_, when, self.now + lag)
            return thing

    def quietly(self, name: str, id_: int, /, **properties: str | None) -> None:
        """A calculated property: no modified time moves."""
        self.things[name][id_].properties.update(properties)

    def delete(self, name: str, id_: int) -> None:
        with self.lock:
            self.things[name][id_].archived = self.now

    def restore(self, name: str, id_: int) -> None:
        self.things[name][id_].archived = None

    def purge(self, name: str, id_: int) -> None:
        with self.lock:
            self.things[name].pop(id_, None)
            self._ordered.clear()

    def merge(self, name: str, one: int, other: int, new: int) -> None:
        """Both go into the bin, and a third is made of them, as HubSpot merges today."""
        with self.lock:
            old = [self.things[name][each] for each in (one, other)]
            for each in old:
                each.archived = self.now
                self.merged[name][each.id] = new
            before = [part for each in old for part in (each.properties.get("hs_merged_object_ids") or "").split(";")]
            ids = ";".join([*(part for part in before if part), str(one), str(other)])
            self.put(name, new, **{**old[1].properties, **old[0].properties, "hs_merged_object_ids": ids})
            for (origin, to), of in list(self.links.items()):
                if origin == name:
                    for each in old:
                        for target, types in list(of.pop(each.id, {}).items()):
                            self.links[to, origin].get(target, {}).pop(each.id, None)
                            self.link(name, new, to, target, primary=any(t["typeId"] in (1, 2) for t in types))

    def link(
        self, name: str, id_: int, to: str, other: int, *, primary: bool = False, labels: Iterable[str] = ()
    ) -> None:
        with self.lock:
            for origin, start, target, end in ((name, id_, to, other), (to, other, name, id_)):
                plain, main = TYPES.get((origin, target), (900, 901))
                types = [{"category": "HUBSPOT_DEFINED", "typeId": plain, "label": None}]
                if primary:
                    types.insert(0, {**PRIMARY_LABEL, "typeId": main})
                types += [
                    {"category": "USER_DEFINED", "typeId": 28 + n, "label": label} for n, label in enumerate(labels)
                ]
                self.links.setdefault((origin, target), {}).setdefault(start, {})[end] = types

    def unlink(self, name: str, id_: int, to: str, other: int | None = None) -> None:
        """One association, or all of that kind."""
        with self.lock:
            of = self.links.get((name, to), {}).get(id_, {})
            for end in [other] if other is not None else list(of):
                of.pop(end, None)
                self.links.get((to, name), {}).get(end, {}).pop(id_, None)

    def take_away(self, name: str, property_: str) -> Any:
        """Archives a property: its definition, which can be given back."""
        with self.lock:
            (gone,) = [each for each in self.definitions[name] if each["name"] == property_]
            self.definitions[name].remove(gone)
            return gone

    def give_back(self, name: str, definition: Any) -> None:
        with self.lock:
            self.definitions[name].append(definition)

    def add_option(self, name: str, property_: str, value: str, label: str) -> None:
        with self.lock:
            (of,) = [each for each in self.definitions[name] if each["name"] == property_]
            of["options"].append({"label": label, "value": value, "displayOrder": len(of["options"]), "hidden": False})

    # ---- what calls show

    def object(self, name: str) -> str | None:
        """The object by any of its names in a path."""
        found = STANDARD.get(name, name)
        return found if found in self.things else None

    def row(self, name: str, thing: Thing, asked: Iterable[str]) -> Any:
        stamp = {MODIFIED.get(name, "hs_lastmodifieddate"): iso(thing.modified)}
        always = {"createdate": iso(thing.created), "hs_object_id": str(thing.id), **stamp}
        hidden = {*self.hidden, *(self.halved if thing.id % 2 else ())}
        known = {each["name"] for each in self.definitions[name] if (name, each["name"]) not in hidden}
        chosen = {each: always.get(each, thing.properties.get(each)) for each in asked if each in known}
        row = {
            "id": str(thing.id),
            "properties": {**always, **chosen},
            "createdAt": iso(thing.created),
            "updatedAt": iso(thing.modified),
            "archived": thing.archived is not None,
            "url": f"https://app-eu1.hubspot.com/contacts/{self.id}/record/{name}/{thing.id}",
        }
        return row if thing.archived is None else {**row, "archivedAt": iso(thing.archived)}

    def living(self, name: str) -> dict[int, Thing]:
        return {id_: thing for id_, thing in self.things[name].items() if thing.archived is None}

    def alive(self, name: str, id_: int) -> Thing | None:
        thing = self.things[name].get(id_)
        return None if thing is None or thing.archived is not None else thing

    def ids(self, name: str) -> list[int]:
        """All ids in their order, those in the bin included."""
        known = self._ordered.get(name)
        if known is None or len(known) != len(self.things[name]):
            known = self._ordered[name] = sorted(self.things[name])
        return known
