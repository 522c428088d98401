"""The path of each call, for each family of HubSpot's paths, with the dates on which support ends.

The families take and return the same, so a new one is one more entry here and nothing else. HubSpot names dated
families by their month and supports each for 18 months. (docs/sources.md#hubspot-paths-and-tokens)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final


@dataclass(frozen=True, slots=True)
class PathFamily:
    """One family: a path for each call, and the dates from which HubSpot no longer supports them.

    `{object}`, `{to}`, `{id}` and `{list}` in a path stand for what the call is about.
    """

    name: str
    paths: Mapping[str, str]
    ends: Mapping[str, date]
    """By the paths in words (`the association paths (v4)`), their first day without support."""


def dated(version: str, ends: date) -> PathFamily:
    """Return a dated family, supported until the day before `ends`."""
    return PathFamily(
        version,
        {call: path.replace("{version}", version) for call, path in _DATED.items()},
        {"the paths": ends},
    )


_DATED: Final = {
    "list": "/crm/objects/{version}/{object}",
    "search": "/crm/objects/{version}/{object}/search",
    "batch": "/crm/objects/{version}/{object}/batch/read",
    "one": "/crm/objects/{version}/{object}/{id}",
    "associations": "/crm/associations/{version}/{object}/{to}/batch/read",
    "properties": "/crm/properties/{version}/{object}",
    "owners": "/crm/owners/{version}",
    # These two as HubSpot's reference has them for 2026-09-beta; not tried on a real account.
    "pipelines": "/crm/pipelines/{version}/{object}",
    "teams": "/settings/users/{version}/teams",
    # These three as HubSpot's reference has them for 2026-09 and 2026-09-beta; not tried on a real account.
    "segment_by_id": "/crm/lists/{version}/{list}",
    "segment_by_name": "/crm/lists/{version}/object-type-id/{object}/name/{list}",
    "members": "/crm/lists/{version}/{list}/memberships",
    "schemas": "/crm-object-schemas/{version}/schemas",
    "account": "/account-info/{version}/details",
    "usage": "/account-info/{version}/api-usage/daily/private-apps",
}

_LEGACY: Final = {
    "list": "/crm/v3/objects/{object}",
    "search": "/crm/v3/objects/{object}/search",
    "batch": "/crm/v3/objects/{object}/batch/read",
    "one": "/crm/v3/objects/{object}/{id}",
    "associations": "/crm/v4/associations/{object}/{to}/batch/read",
    "properties": "/crm/v3/properties/{object}",
    "owners": "/crm/v3/owners",
    "pipelines": "/crm/v3/pipelines/{object}",
    "teams": "/settings/v3/users/teams",
    "segment_by_id": "/crm/v3/lists/{list}",
    "segment_by_name": "/crm/v3/lists/object-type-id/{object}/name/{list}",
    "members": "/crm/v3/lists/{list}/memberships",
    "schemas": "/crm-object-schemas/v3/schemas",
    "account": "/account-info/v3/details",
    "usage": "/account-info/v3/api-usage/daily/private-apps",
}

FAMILIES: Final[dict[str, PathFamily]] = {
    family.name: family
    for family in (
        dated("2026-09", ends=date(2028, 3, 1)),
        PathFamily(
            "legacy",
            _LEGACY,
            {"the association paths (v4)": date(2027, 3, 30), "the other paths (v1 to v3)": date(2027, 9, 1)},
        ),
    )
}
"""By the value of the option `api`."""
DEFAULT_FAMILY: Final = "2026-09"

LEGACY_APPS_END: Final = date(2027, 9, 1)
"""First day without support for the tokens of legacy private apps; service keys have no end."""


def newest_family() -> PathFamily:
    """Return the family that is supported longest."""
    return max(FAMILIES.values(), key=lambda family: max(family.ends.values()))


STANDARD: Final = {
    "0-1": "contacts",
    "0-2": "companies",
    "0-3": "deals",
    "0-5": "tickets",
    "0-136": "leads",
    "contact": "contacts",
    "company": "companies",
    "deal": "deals",
    "ticket": "tickets",
    "lead": "leads",
}
"""Other names of the standard objects: type ids and singulars."""
OBJECTS: Final = frozenset(STANDARD.values())


def standard_name(name: str) -> str:
    """Return a standard object by its name in the paths; any other in lower case."""
    lowered = name.lower()
    return STANDARD.get(lowered, lowered)


def type_id(name: str) -> str:
    """Return the type id of an object by the name that the paths have."""
    return next((id_ for id_, standard in STANDARD.items() if standard == name and id_.startswith("0-")), name)


def modified_property(name: str) -> str:
    """Return the property that holds a record's modified time.

    Contacts also have `hs_lastmodifieddate`, but a search by it finds nothing, without an error.
    (docs/sources.md#hubspot-modified-times)
    """
    return "lastmodifieddate" if name == "contacts" else "hs_lastmodifieddate"


def read_scope(name: str) -> str:
    """Return the scope that reading records of this object needs."""
    return f"crm.objects.{name}.read" if name in OBJECTS else "crm.objects.custom.read"
