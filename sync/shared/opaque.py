"""Ids in the log: shown as they are if they reveal nothing about a person, else as the ledger's own number
(`#4711`)."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"#(\d{1,18})")
_INTEGER = r"0|-?[1-9]\d{0,19}"  # digits after a leading 0 may be somebody's telephone number
_TELEPHONE = re.compile(r"-?\d{7,15}", re.ASCII)  # E.164 has at most 15 digits; without a country's code, 7 are usual
_UUID = r"\{?[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}\}?"
_OPAQUE = re.compile(f"{_INTEGER}|{_UUID}", re.ASCII | re.IGNORECASE)
_CHECKED = re.compile(r"[a-zA-Z0-9]{18}")
_CHECK = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def is_opaque(id_: str, *, given: bool = False) -> bool:
    """Return whether an id is an integer, a UUID or a CRM's id; each part of a key of several columns must be one.

    An integer of 7 to 15 digits may be a telephone number, whatever its column's type, unless all of the source's ids
    are `given` by its vendor. Some CRM's ids have 18 characters, of which the last three are a checksum: no name
    passes for one by chance.
    """
    parts = id_.split("/")
    if not given and any(map(_TELEPHONE.fullmatch, parts)):
        return False
    return all(_OPAQUE.fullmatch(part) or _is_checked(part) for part in parts)


def log_name(id_: str, number: int | None, *, given: bool = False) -> str | None:
    """Return the name of a record for the log and reports: its id if that is opaque, else its number in the ledger.

    None where it has no number. Commands take both: see `number_of`.
    """
    if is_opaque(id_, given=given):
        return id_
    return None if number is None else f"#{number}"


def number_of(text: str) -> int | None:
    """Return the ledger's number in a name such as `#4711`; None for any other text."""
    found = _NUMBER.fullmatch(text)
    return int(found[1]) if found else None


def checksum(id15: str) -> str:
    """Return the three characters that complete an id of 15 characters, whose case counts, to the one of 18: five
    bits in each, one for every capital letter."""
    fives = (id15[start : start + 5] for start in (0, 5, 10))
    return "".join(_CHECK[sum(1 << at for at, letter in enumerate(five) if "A" <= letter <= "Z")] for five in fives)


def _is_checked(text: str) -> bool:
    return bool(_CHECKED.fullmatch(text)) and text[15:] == checksum(text[:15])
