"""Is this text an e-mail address? The library's verdict, with a short way for ordinary addresses."""

from __future__ import annotations

import re
from functools import lru_cache

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
