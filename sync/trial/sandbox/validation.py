"""Validates leads by the API's rules, and words the message that refuses a batch.

Lengths are UTF-16 code units, as .NET counts them. Field names are matched regardless of case; where the vendor's
pages disagree about a name, every spelling is accepted. Unknown fields are ignored, and reported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

NAME_LIMIT = 256
LABEL_LIMIT = 64
EMAIL_LIMIT = 124
PHONE_LIMIT = 64
ADDRESS_LIMIT = 256
SOCIAL_LIMIT = 512
NOTES_LIMIT = 6942
EMPLOYEE_LIMIT = 5_000_000
UNKNOWN_SHOWN = 20

# Returns (the place below the field, which may be "", the broken rule), or None for a valid value.
FieldCheck: TypeAlias = Callable[[Any], "tuple[str, str] | None"]

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """`problem` is the message that refuses the batch, or None; `unknown` are the names of ignored fields."""

    problem: str | None
    unknown: tuple[str, ...] = ()


def check_leads(leads: Sequence[Any]) -> ValidationResult:
    """Validate a batch; the first problem found refuses it whole."""
    unknown: set[str] = set()
    for index, lead in enumerate(leads):
        if (wrong := _check_lead(lead, unknown)) is not None:
            return ValidationResult(f"[{index}]{wrong[0]} {wrong[1]}.", _few(unknown))
    return ValidationResult(None, _few(unknown))


def _few(names: set[str]) -> tuple[str, ...]:
    return tuple(sorted(names)[:UNKNOWN_SHOWN])


def _check_lead(lead: Any, unknown: set[str]) -> tuple[str, str] | None:
    if (wrong := _check_object(lead, _LEAD, unknown)) is not None:
        return wrong
    has_kind = False
    for name, content in lead.items():
        match name.lower():
            case "iscontact":
                has_kind = True
            case "contacts" if content is not None:
                for index, contact in enumerate(content):
                    if (wrong := _check_object(contact, _CONTACT, unknown, "Contacts.")) is not None:
                        return f".{name}[{index}]{wrong[0]}", wrong[1]
    return None if has_kind else (".IsContact", "is required and must be true or false")


def _check_object(
    value: Any, fields: Mapping[str, FieldCheck], unknown: set[str], prefix: str = ""
) -> tuple[str, str] | None:
    if not isinstance(value, dict):
        return "", "must be an object"
    for name, content in value.items():
        # ASP.NET's web defaults match names in any case and ignore unknown ones:
        # https://learn.microsoft.com/dotnet/standard/serialization/system-text-json/configure-options#web-defaults-for-jsonserializeroptions
        check = fields.get(name) or fields.get(name.lower())
        if check is None:
            unknown.add((prefix + name)[:LABEL_LIMIT])
        elif (wrong := check(content)) is not None:
            return f".{name}{wrong[0]}", wrong[1]
    return None


def length(text: str) -> int:
    """Return the number of UTF-16 code units of a text."""
    # ASP.NET's length attributes count .NET's chars, which are UTF-16 code units:
    # https://learn.microsoft.com/dotnet/api/system.string.length
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _text(limit: int, what: str = "text") -> FieldCheck:
    def check(value: Any) -> tuple[str, str] | None:
        if value is None:
            return None
        if not isinstance(value, str):
            return "", "must be text"
        # A text has at most two code units per character: most need no counting, on the hot path of every request.
        if len(value) * 2 > limit and (units := length(value)) > limit:
            return "", f"must be {what} of at most {limit} characters, but has {units}"
        return None

    return check


def _texts(limit: int) -> FieldCheck:
    one = _text(limit)

    def check(value: Any) -> tuple[str, str] | None:
        if value is None:
            return None
        if not isinstance(value, list):
            return "", "must be an array of texts"
        for index, item in enumerate(value):
            wrong = ("", "must be text") if item is None else one(item)
            if wrong is not None:
                return f"[{index}]", wrong[1]
        return None

    return check


def _nested(limit: int, what: str) -> FieldCheck:
    """Return a check for objects with their value under any name: no public page documents these names."""
    one = _text(limit, what)

    def check(value: Any) -> tuple[str, str] | None:
        if value is None:
            return None
        if not isinstance(value, list):
            return "", "must be an array of objects"
        for index, item in enumerate(value):
            if (wrong := _check_item(item, one, what)) is not None:
                return f"[{index}]{wrong[0]}", wrong[1]
        return None

    return check


def _check_item(item: Any, one: FieldCheck, what: str) -> tuple[str, str] | None:
    if not isinstance(item, dict):
        return "", "must be an object"
    found = False
    for name, content in item.items():
        if content is True or content is False:  # a flag beside the value
            continue
        if (wrong := one(content)) is not None:
            return f".{name}", wrong[1]
        found = found or bool(content)
    return None if found else ("", f"needs {what}")


def _array(value: Any) -> tuple[str, str] | None:
    return None if value is None or isinstance(value, list) else ("", "must be an array of objects")


def _boolean(value: Any) -> tuple[str, str] | None:
    return None if isinstance(value, bool) else ("", "is required and must be true or false")


def _employees(value: Any) -> tuple[str, str] | None:
    # In Python true and false are integers, too; in JSON they are not.
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= EMPLOYEE_LIMIT):
        return None
    return "", f"must be a whole number from 0 to {EMPLOYEE_LIMIT}"


def _uuid(value: Any) -> tuple[str, str] | None:
    if value is None or (isinstance(value, str) and _UUID.fullmatch(value)):
        return None
    return "", "must be a UUID"


def _date(value: Any) -> tuple[str, str] | None:
    if value is None:
        return None
    try:
        datetime.fromisoformat(value)
    except (ValueError, TypeError):
        return "", "must be a date in ISO 8601"
    return None


_name = _text(NAME_LIMIT)
_emails, _phones = _nested(EMAIL_LIMIT, "an e-mail address"), _nested(PHONE_LIMIT, "a phone number")
_socials, _addresses = _nested(SOCIAL_LIMIT, "a URL"), _nested(ADDRESS_LIMIT, "an address")

_CONTACT_FIELDS: Mapping[str, FieldCheck] = {
    "ContactId": _uuid,
    "Name": _name,
    "LastName": _name,
    "Industry": _name,
    "Role": _name,
    "Notes": _text(NOTES_LIMIT),
    "Date": _date,
    **dict.fromkeys(("Email", "Emails", "EmailAddress", "EmailAddresses"), _emails),
    **dict.fromkeys(("Phone", "Phones", "PhoneNumber", "PhoneNumbers"), _phones),
    **dict.fromkeys(("Social", "Socials"), _socials),
    **dict.fromkeys(("Address", "Addresses"), _addresses),
}
_LEAD_FIELDS: Mapping[str, FieldCheck] = {
    **_CONTACT_FIELDS,
    "IsContact": _boolean,
    "EmployeeCount": _employees,
    "CompanyId": _uuid,
    "Labels": _texts(LABEL_LIMIT),
    "Contacts": _array,
}


def _in_any_case(fields: Mapping[str, FieldCheck]) -> Mapping[str, FieldCheck]:
    """Return the checks under PascalCase and camelCase, which then need no folding, and under the folded name."""
    spelled: dict[str, FieldCheck] = {}
    for name, check in fields.items():
        spelled |= dict.fromkeys((name, name[0].lower() + name[1:], name.lower()), check)
    return spelled


_CONTACT, _LEAD = _in_any_case(_CONTACT_FIELDS), _in_any_case(_LEAD_FIELDS)
