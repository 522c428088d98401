"""Recognises e-mail addresses, and extracts them from what people write around them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from sync.mapping.unusable import INVISIBLE

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
    """Return whether `text` is an e-mail address that a public mail server could know. Nothing is looked up.

    International addresses are valid; display names, quoted local parts and bracketed IP addresses are not. Domains
    under `.test` are valid: that is where test data lives.
    """
    if len(text) <= _LONGEST_ORDINARY and is_ordinary(text):
        return True
    return _ask_library(text) if len(text) <= 320 else False


def is_ordinary(text: str) -> bool:
    """Return True for plain addresses of at most 124 characters that the library is certain to accept; False means
    unknown."""
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
_WITHIN = re.compile("[/&\u00b7\u2022]")
_IN_BRACKETS = re.compile(r"<([^<>]*)>")
_MAILTO = re.compile(r"(?:mailto|smtp|e-?mail):([^?]*)(?:\?.*)?", re.IGNORECASE | re.DOTALL)
_LABEL = re.compile(r"(?:mailto|smtp|e-?mail)\s*:\s+", re.IGNORECASE)
_ACCESS_LINK = re.compile(r"[^#]*#\s*mailto:([^#]+)#[^#]*", re.IGNORECASE)
"""A hyperlink of Microsoft Access as text: what is shown, the address, a place in it."""
_REMARK = re.compile(r"\([^()@]*\)|\[[^\[\]@]*\]")
# An address beside such a word is one that its owner or its editor has given up.
_GIVEN_UP = re.compile(
    r"\b(?:in(?:valid|active|correct)|bounce[ds]?|old|former(?:ly)?|wrong|obsolete|deleted|unused|dead|do(?:es)?\s?n[o'\u2019]t|"
    r"not?|never|ex|opt(?:ed)?[ -]?out|unsubscribed|ung\u00fcltig|inaktiv|alte?|falsch|ehemalig|gel\u00f6scht|nicht|"
    r"ancien(?:ne)?|invalide|antigu[oa]|vecchi[oa])\b",
    re.IGNORECASE,
)
_AROUND = " \"'`()[]{}<>\u00b4\u2018\u2019\u201c\u201d\u201e"
_BEHIND = ".:!?*"
_JOINTS = frozenset("/&+-\u2013\u2014\u00b7\u2022*")
_UNSEEN = {ord(mark): None for mark in INVISIBLE}
_FULL_WIDTH = {0xFF00 + code: 0x20 + code for code in range(0x01, 0x5F)} | {0x3002: ord("."), 0xFF61: ord(".")}
_LONGEST_LIST = 8_192
"""Characters; longer text is no list of addresses that anybody wrote."""


@dataclass(frozen=True, slots=True)
class FoundAddresses:
    """The addresses found in a text, the number of its parts that are no address, and whether there were remarks beside
    them."""

    addresses: list[str]
    others: int = 0
    remarks: bool = False


def addresses_in(text: str) -> FoundAddresses:
    """Return the e-mail addresses in the text of one field.

    Known are lists (`a@b.de; c@d.de`), names (`Doe, Jane <a@b.de>`), quotes, brackets, remarks in brackets
    (`a@b.de (private)`, RFC 5322's comments), `mailto:` and the `SMTP:` of directories. Where a part is anything else,
    nothing is guessed from it; nor where a remark says that the address is of no use any more.
    """
    if len(text) > _LONGEST_LIST:
        return FoundAddresses([], 1)
    text = text if text.isascii() else text.translate(_UNSEEN)
    if link := _ACCESS_LINK.fullmatch(text):
        text = link[1]
    bare = _REMARK.sub(lambda remark: remark[0] if _GIVEN_UP.search(remark[0]) else " ", text)
    parts = [part for each in _BETWEEN.split(bare) if (part := each.strip())]
    taken = [_of_name(part) if _IN_BRACKETS.search(part) else _of_part(part) for part in parts]
    # "Doe, Jane <a@b.de>": what stands before a comma may belong to the name behind it
    names = [i for i, part in enumerate(parts[1:]) if "@" not in parts[i] and _IN_BRACKETS.search(part)]
    others = taken.count([]) - len(names) if parts else int(bare != text)
    remarks = bare != text and not _IN_BRACKETS.search(text)
    return FoundAddresses([address for each in taken for address in each], others, remarks)


def _of_name(part: str) -> list[str]:
    """Return the addresses in angle brackets; none if the text outside the brackets holds a different address."""
    if _REMARK.search(part):
        return []
    addresses = [address for inside in _IN_BRACKETS.findall(part) for address in _of_part(inside)]
    outside = _IN_BRACKETS.sub(" ", part).split()
    others = {word.strip(_AROUND).lower() for word in outside if "@" in word}
    return addresses if others <= {address.lower() for address in addresses} else []


def _of_part(part: str) -> list[str]:
    """Return the addresses of a part that holds nothing else than addresses, blanks and joints; none if any word is
    something else."""
    words = [bare for word in _LABEL.sub("", part).split() for bare in _bare(word)]
    return words if all(map(is_email, words)) else []


def _bare(word: str) -> list[str]:
    """Return the address in a word, without the punctuation around it; several if they are joined (`a@b.de/c@d.de`)."""
    if word in _JOINTS:
        return []
    bare = word.strip(_AROUND)
    link = _MAILTO.fullmatch(bare)
    bare = (link[1] if link else bare).strip(_AROUND).rstrip(_BEHIND)
    # A domain holds none of these: behind two @ only one reading is left.
    return _WITHIN.split(bare) if bare.count("@") > 1 else [bare]


def narrow(text: str) -> str:
    """Return an address written in full-width letters (an East Asian input method's) in ASCII; any other text
    unchanged."""
    if text.isascii():
        return text
    plain = text.translate(_FULL_WIDTH)
    return plain if is_ordinary(plain) else text
