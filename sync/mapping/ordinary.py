"""Recognises values that cleaning takes as they are, by conditions that are cheap and go into a mapping's code.

Each says yes only where the field's cleaning (`sync.mapping.clean.cleaner`) gives just this value, without a note.
"""

from __future__ import annotations

import re

from sync.mapping import placeholders, web
from sync.mapping.code import Code
from sync.mapping.unusable import is_seen
from sync.mapping.wire_fields import EMPLOYEES, WireField

_LETTERS = frozenset(character for code in range(0x21, 0x250) if is_seen(character := chr(code)))
"""The characters of Latin script and ASCII that show something: text that ends in one has nothing to trim."""
_BEGINNINGS = frozenset(character for character in _LETTERS if not placeholders.may_begin(character))

# Plain ASCII, a top-level domain of letters that is not reserved; see `emails`, whose pattern takes all of these.
_EMAIL = re.compile(
    r"[\w+-]++(?:\.[\w+-]++)*+@(?:(?=[A-Za-z0-9-]{1,32}\.)[A-Za-z0-9]++(?:-[A-Za-z0-9]++)*+\.)+"
    r"(?!(?i:arpa|invalid|local|localhost|onion|test)\Z)[A-Za-z]{2,24}",
    re.ASCII,
)
# Three digits among the last four characters, one that is not 0 anywhere; no point, letter or colon.
_PHONE = re.compile(r"(?=[^1-9]*[1-9])\+?[0-9]++(?:[ /()-]{1,2}+[0-9]++)*+(?<=[0-9][0-9 /()-][0-9][0-9])", re.ASCII)


def condition(field: WireField, code: Code, value: str) -> str | None:
    """Return the text of the condition that a value is ordinary; None if the field has no cheap one."""
    match field.shape:
        case "text" | "texts" if field.key != "socials":
            first, last = code.bind(_BEGINNINGS), code.bind(_LETTERS)
            # A character takes at most two UTF-16 units, so half the limit fits in any script.
            return (
                f"type({value}) is str and len({value}) <= {field.limit // 2} and {value}[:1] in {first}"
                f" and {value}[-1] in {last} and {value}.isprintable()"
            )
        case "texts":
            return f"type({value}) is str and len({value}) <= {field.limit} and {code.bind(web.is_ordinary)}({value})"
        case "emails":
            return f"type({value}) is str and len({value}) <= {field.limit} and {code.bind(_EMAIL.fullmatch)}({value})"
        case "phones":
            return f"type({value}) is str and len({value}) <= {field.limit} and {code.bind(_PHONE.fullmatch)}({value})"
        case "count":
            return f"type({value}) is int and 0 < {value} < {EMPLOYEES.stop}"
    return None
