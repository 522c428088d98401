"""Converts property values, which HubSpot sends as text, to plain JSON, and finds where the labels of their codes are.
(docs/sources.md#hubspot-values)"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal

from sync.shared.words import LABEL, Json

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"-?\d{1,300}(\.\d{1,300})?([eE][+-]?\d{1,3})?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIMES = range(-62_135_596_800_000, 253_402_300_800_000)
"""Milliseconds of the years 1 to 9999."""


Naming = Literal["value", "options", "owners", "users", "teams", "pipelines", "stages", "nowhere"]
"""The place of the labels of a property's codes.

`value`: the property holds no codes, users see the value itself. `options`: in its own definition. `nowhere`: the API
gives none. All others: a list of the account; `users` are owners by the id of their user account.
"""

_REFERRED: Mapping[Naming, re.Pattern[str]] = {
    "owners": re.compile(r"hubspot_owner_id|\w+_owner_ids?"),
    "users": re.compile(r"\w+_user_ids?"),
    "teams": re.compile(r"hubspot_team_id|\w+_team_ids?|hs_owning_teams"),
    "pipelines": re.compile(r"(hs_)?pipeline"),
    "stages": re.compile(r"dealstage|hs_pipeline_stage"),
}
"""Names of properties that refer to a list of the account and have no options of their own. HubSpot's definitions say
so only for single owners (`referencedObjectType`), so the names decide."""


_SEVERAL = re.compile(r"\w+_(ids|teams)")
"""Names of properties that refer to several entries of a list: `hs_all_team_ids`, `hs_owning_teams`."""


@dataclass(frozen=True, slots=True)
class Property:
    """One property of an object, as its definition describes it. `labels` are those of its own options, by their codes.

    `several`: the value is a list. `plural`: the label is a list, also where the value stays text with `;` between its
    parts, as in `hs_all_team_ids`.
    """

    name: str
    label: str
    type: str
    kind: str
    calculated: bool = False
    several: bool = False
    plural: bool = False
    naming: Naming = "value"
    labels: Mapping[str, str] = field(default_factory=dict)

    def value(self, text: Json) -> Json:
        """Return the value as plain JSON: numbers, booleans, dates as ISO 8601, lists where several are possible.

        Text that does not fit its type stays as it is; the empty string is None.
        """
        if not isinstance(text, str):
            return text if isinstance(text, bool | int | float) else None
        if text == "":
            return None
        if self.several:
            return _parts(text) or None
        return _CONVERTERS.get(self.type, str)(text)

    def codes(self, text: Json) -> list[str]:
        """Return the distinct codes in a value as HubSpot sends it."""
        if not isinstance(text, str):
            return [str(text).lower()] if isinstance(text, bool | int | float) else []
        if self.several or self.plural:
            return _parts(text)
        plain = text.strip().lower() if self.type == "bool" else text.strip()
        return [plain] if plain else []


def property_of(row: Mapping[str, Json]) -> Property:
    """Return the property that this definition describes."""
    options = [option for option in row.get("options") or () if isinstance(option, dict)]
    name, kind, type_ = str(row.get("name", "")), str(row.get("fieldType", "")), str(row.get("type", ""))
    # a checkbox is yes or no, also where HubSpot's type is that of a choice of two (`hs_email_optout_…`)
    type_ = "bool" if kind == "booleancheckbox" else type_
    external = bool(row.get("externalOptions"))
    # `hs_additional_emails` and its like: several values, and no options to choose from
    several = type_ == "enumeration" and (kind == "checkbox" or (not options and not external))
    return Property(
        name,
        str(row.get("label", "")),
        type_,
        kind,
        calculated=bool(row.get("calculated")) or kind.startswith("calculation_"),
        several=several,
        plural=several or (external and not options and _SEVERAL.fullmatch(name) is not None),
        naming=_naming_of(name, row, has_options=bool(options)),
        labels={
            str(option.get("value")).strip(): label.strip()
            for option in options
            if isinstance(label := option.get("label"), str) and label.strip()
        },
    )


def _naming_of(name: str, row: Mapping[str, Json], *, has_options: bool) -> Naming:
    external = bool(row.get("externalOptions"))
    if not external and row.get("type") not in ("enumeration", "bool"):
        return "value"
    if external and row.get("referencedObjectType") == "OWNER":
        return "owners"
    if external or not has_options:
        for naming, names in _REFERRED.items():
            if names.fullmatch(name):
                return naming
    return "options" if has_options or not external else "nowhere"


def _parts(text: str) -> list[str]:
    """Return the distinct values of a text that separates them by `;`, and may begin with one."""
    return list(dict.fromkeys(part.strip() for part in text.split(";") if part.strip()))


def milliseconds(text: Json) -> int | None:
    """Return a datetime in milliseconds since 1970; None if the text is no datetime of the years 1 to 9999.

    Takes ISO 8601, with or without a fraction, and milliseconds since 1970: HubSpot sends both.
    """
    if not isinstance(text, str):
        return None
    if _NUMBER.fullmatch(text):
        found = int(text) if text.lstrip("-").isdigit() and len(text) < 16 else None
    else:
        found = _iso(text)
    return found if found is not None and found in _TIMES else None


def _iso(text: str) -> int | None:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return (when - _EPOCH) // timedelta(milliseconds=1)


def canonical(when: int) -> str:
    """Return milliseconds since 1970 in the form of `Record.modified`."""
    moment = _EPOCH + timedelta(milliseconds=when)
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"  # strftime writes the year 1 as "1"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that is most similar to this one, or ""."""
    found = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.6)
    return found[0] if found else ""


def without_label(name: str) -> str:
    """Return the property that a wanted field, or its label, comes from."""
    return name.removesuffix(LABEL)


def _bool(text: str) -> Json:
    return {"true": True, "false": False}.get(text.lower(), text)


def _number(text: str) -> Json:
    if not _NUMBER.fullmatch(text):
        return text
    # Up to 18 digits are exact in 64 bits.
    if text.lstrip("-").isdigit() and len(text) < 19:
        return int(text)
    number = float(text)
    if not math.isfinite(number) or Decimal(repr(number)) != Decimal(text):
        return text  # with all its digits, which a float would round
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _date(text: str) -> str:
    """Return a day as ISO 8601; HubSpot sends it so or as its midnight in UTC."""
    when = None if _DATE.fullmatch(text) else milliseconds(text)
    return text if when is None else canonical(when)[:10]


def _datetime(text: str) -> str:
    when = milliseconds(text)
    return text if when is None else canonical(when)


_CONVERTERS: dict[str, Callable[[str], Json]] = {
    "number": _number,
    "bool": _bool,
    "date": _date,
    "datetime": _datetime,
}
