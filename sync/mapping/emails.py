"""Is this text an e-mail address, or does it hold some? The library's verdict, with a short way for ordinary ones."""

from __future__ import annotations

import re
from functools import lru_cache

from sync.mapping.values import INVISIBLE

# Strictly narrower than the library's grammar: plain ASCII, no doubled hyphen (so no Punycode), a top-level domain of
# letters that is not reserved. The pattern cannot backtrack: each repetition starts with a character of its own.
_ORDINARY = re.compile(
    r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*"
    r"@(?:[A-Za-z0-9](?:-?[A-Za-z0-9]){0,31}\.)+"
    r"(?!(?:arpa|invalid|local|localhost|onion|test)\Z)[A-Za-z]{2,24}\Z",
    re.IGNORECASE,
)
_LONGEST_ORDINARY = 124


def is_email(text: str) -> bool:
    """Whether `text` is an e-mail address that a public mail server could know. Nothing is looked up.

    International addresses are valid; display names, quoted local parts and bracketed IP addresses are not. Domains
    under `.test` are valid: that is where test data lives.
    """
    if len(text) <= _LONGEST_ORDINARY and is_ordinary(text):
        return True
    return _ask_library(text) if len(text) <= 320 else False


def is_ordinary(text: str) -> bool:
    """The short way: True only where the library says yes, for texts of at most 124 characters."""
    return _ORDINARY.match(text) is not None


@lru_cache(maxsize=1024)
def _ask_library(text: str) -> bool:
    from email_validator import EmailNotValidError, validate_email

    try:
        found = validate_email(text, check_deliverability=False, test_environment=True)
    except (EmailNotValidError, ValueError):
        return False
    return "." in found.domain


_BETWEEN = re.compile(r"[;,|\r\n\t]|\s/\s")
_IN_BRACKETS = re.compile(r"<([^<>]*)>")
_MAILTO = re.compile(r"mailto:([^?]*)(?:\?.*)?", re.IGNORECASE | re.DOTALL)
_AROUND = " \"'`()[]{}<>\u00b4\u2018\u2019\u201c\u201d\u201e"
_UNSEEN = {ord(mark): None for mark in INVISIBLE}
_LONGEST_LIST = 8_192
"""Characters; longer text is no list of addresses that anybody wrote."""


def addresses_in(text: str) -> tuple[list[str], int]:
    """Return the e-mail addresses of what people write into one field, and how many parts of it are none.

    Known are lists (`a@b.de; c@d.de`), names (`Doe, Jane <a@b.de>`), quotes, brackets and `mailto:`. Where a part is
    anything else, nothing is guessed from it.
    """
    if len(text) > _LONGEST_LIST:
        return [], 1
    text = text if text.isascii() else text.translate(_UNSEEN)
    parts = [part for each in _BETWEEN.split(text) if (part := each.strip())]
    taken = [_of_name(part) if _IN_BRACKETS.search(part) else _of_part(part) for part in parts]
    # "Doe, Jane <a@b.de>": what stands before a comma may belong to the name behind it
    names = [i for i, part in enumerate(parts[1:]) if "@" not in parts[i] and _IN_BRACKETS.search(part)]
    return [address for each in taken for address in each], taken.count([]) - len(names)


def _of_name(part: str) -> list[str]:
    """What stands in pointed brackets; an address outside of them is taken for the name only where it is the same."""
    addresses = [address for inside in _IN_BRACKETS.findall(part) for address in _of_part(inside)]
    outside = _IN_BRACKETS.sub(" ", part).split()
    others = {word.strip(_AROUND).lower() for word in outside if "@" in word}
    return addresses if others <= {address.lower() for address in addresses} else []


def _of_part(part: str) -> list[str]:
    """One address, or several with nothing but blanks between them; none where any word is something else."""
    words = []
    for word in part.split():
        bare = word.strip(_AROUND)
        link = _MAILTO.fullmatch(bare)
        words.append((link[1] if link else bare).strip(_AROUND).rstrip("."))
    return words if all(map(is_email, words)) else []
