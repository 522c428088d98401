"""Recognises values that cleaning takes as they are, by conditions that are cheap and go into a mapping's code.

Each says yes only where the field's cleaning (`sync.mapping.clean.cleaner`) gives just this value, without a note.
"""

from __future__ import annotations

import re

from sync.mapping import web
from sync.mapping.code import Code
from sync.mapping.placeholders import may_begin
from sync.mapping.unusable import is_seen
from sync.mapping.wire_fields import EMPLOYEES, WireField

_LETTERS = frozenset(character for code in range(0xA1, 0x180) if is_seen(character := chr(code)))
_BEGINNINGS = frozenset(
    character for code in range(0x21, 0x180) if is_seen(character := chr(code)) and not may_begin(character)
)
"""Of ASCII, and of what Western and Central European languages add to it."""

# Plain ASCII, a top-level domain of letters that is not reserved; see `emails`, whose pattern takes all of these.
_EMAIL = re.compile(
    r"[\w+-]++(?:\.[\w+-]++)*+@(?:(?=[A-Za-z0-9-]{1,32}\.)[A-Za-z0-9]++(?:-[A-Za-z0-9]++)*+\.)+"
    r"(?!(?i:arpa|invalid|local|localhost|onion|test)\Z)[A-Za-z]{2,24}",
    re.ASCII,
)
# Three digits among the last four characters, one that is not 0 anywhere; no point, letter or colon.
_PHONE = re.compile(r"(?=[^1-9]*[1-9])\+?[0-9]++(?:[ /()-]{1,2}+[0-9]++)*+(?<=[0-9][0-9 /()-][0-9][0-9])", re.ASCII)


def shows(code: Code, character: str) -> str:
    """Return the text of the condition that a character (or "") shows something; some that do are not known."""
    return f'(" " < {character} < "\\x7f" or {character} in {code.bind(_LETTERS)})'


def condition(field: WireField, code: Code, value: str) -> str | None:
    """Return the text of the condition that a value is ordinary; None if the field has no cheap one."""
    is_text = f"type({value}) is str and len({value}) <= {field.limit}"
    match field.shape:
        case "texts" if field.key == "socials":
            return f"{is_text} and {code.bind(web.ORDINARY.fullmatch)}({value})"
        case "emails":
            return f"{is_text} and {code.bind(_EMAIL.fullmatch)}({value})"
        case "phones":
            return f"{is_text} and {code.bind(_PHONE.fullmatch)}({value})"
        case "count":
            return f"type({value}) is int and 0 < {value} < {EMPLOYEES.stop}"
        case "text" | "texts":
            # A character takes at most two UTF-16 units, so half the limit fits in any script.
            return (
                f"type({value}) is str and len({value}) <= {field.limit // 2} and {value}[:1] in"
                f" {code.bind(_BEGINNINGS)} and {shows(code, f'{value}[-1]')} and {value}.isprintable()"
            )
    return None
