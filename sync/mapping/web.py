"""Recognises web addresses and profiles in text, and refuses what must never become a link."""

from __future__ import annotations

import re

from sync.mapping.emails import is_email
from sync.shared.timestamps import iso_8601

_WEB = re.compile(
    r"https?://(?:[^\s/?#@]*@)?(?:\[[0-9a-f:.]+\]|(?=[^/?#]*[^\W_])[^\s/?#@:\[\]]+)(?::\d{1,5})?(?:[/?#]\S*)?",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):(.?)", re.IGNORECASE | re.DOTALL)
_ACTIVE = frozenset({"javascript", "vbscript", "data", "file", "blob", "about", "view-source", "filesystem", "jar"})
"""Schemes that run or open something: they stay out however they are written."""
_LOCAL = frozenset({"localhost"})
_ACCESS_LINK = re.compile(r"[^#]*#\s*(https?://[^#\s]+)#[^#]*", re.IGNORECASE)
"""A hyperlink of Microsoft Access as text: what is shown, the address, a place in it."""
_BETWEEN = re.compile(r"(?:\s*[;|]\s*|\s*,?\s+)(?=https?://)", re.IGNORECASE)
# Browsers take these out of an address before they look at its scheme.
_PASSED_OVER = re.compile("[\t\r\n\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
# They turn the direction or mark a place to break a line; copied along with an address, they break its link.
_STRAY = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")


# The short way: what all of the below takes as it is. Nothing in it that parts two addresses, marks a place or hides.
ORDINARY = re.compile(r"https?://(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,24}(?:/[A-Za-z0-9/._~%+=&?@,-]*)?")


def is_ordinary(text: str) -> bool:
    """Return True for plain web addresses that need no further check; False means unknown."""
    return ORDINARY.fullmatch(text) is not None


def web_addresses(text: str) -> list[str]:
    """Return the addresses in a trimmed text, usually the text itself; each is still to be checked by `is_profile`.

    Several are separated if each begins with http:// or https://. Of a hyperlink of Microsoft Access
    (`Acme#https://acme.de#`) only the address is returned.
    """
    if link := _ACCESS_LINK.fullmatch(text):
        text = link[1]
    if not text.isascii():
        text = _STRAY.sub("", text)
    return _BETWEEN.split(text) if text[:4].lower() == "http" else [text]


def is_profile(text: str) -> bool:
    """Return whether text may be a web address (http or https), a page without a scheme, or a handle.

    Numbers of accounts may; what else has no letter (a date, a telephone number), times and e-mail addresses may not.
    """
    if not any(map(str.isalpha, text)):
        return text.isdecimal() and set(text) != {"0"}
    if "<" in text or ("@" in text and is_email(text)) or (text[:1].isdecimal() and ":" in text and iso_8601(text)):
        return False
    # Judge what a browser would see: it drops these characters before it reads the scheme.
    bare = text if text.isascii() and text.isprintable() else _PASSED_OVER.sub("", text)
    found = _SCHEME.match(bare)
    return not found or _is_passable(found[1].lower(), found[2], text)


def _is_passable(scheme: str, following: str, text: str) -> bool:
    """Return whether the text before the first colon is no scheme, or a scheme of the web."""
    if scheme in ("http", "https"):
        return _WEB.fullmatch(text) is not None
    if scheme in _ACTIVE:
        return False
    if following.isspace():  # "LinkedIn: joe"
        return True
    return following.isdecimal() and ("." in scheme or scheme in _LOCAL)  # a port
