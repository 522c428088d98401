"""One answer of HubSpot, and what it reports: the limit that was reached, a missing scope, a record that is gone.

All members of an error's body are optional (docs/sources.md#hubspot-limits-and-errors): each may be absent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sync.shared.words import Json

_EMAIL = re.compile(r"[^\s\"'<>,;:]+@[^\s\"'<>,;:]+")
WORD = re.compile(r"[A-Za-z0-9_.-]{1,80}")
_NOT_FOUND = re.compile(r"\b(object|resource) not found\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. Header names are in lower case; `body` is None unless it is a JSON object; `size` is the length of its
    text in bytes."""

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, Json] | None
    size: int = 0

    def text(self, key: str) -> str:
        """Return a text member of the body, or ""."""
        found = None if self.body is None else self.body.get(key)
        return found if isinstance(found, str) else ""

    @property
    def reference(self) -> str:
        """Return `; correlation id …`, by which HubSpot's support finds the call, or ""."""
        found = self.text("correlationId") or self.headers.get("x-hubspot-correlation-id", "")
        return f"; correlation id {found}" if WORD.fullmatch(found) else ""


def retry_after(reply: Reply) -> float:
    """Return the seconds to wait; 0 where the answer says nothing usable."""
    text = reply.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 8 else 0.0


def policy_of(reply: Reply) -> str:
    """Return the limit that a 429 names: `DAILY`, `TEN_SECONDLY`, `SECONDLY`, or "" for another one.

    A search names its limit in the message only.
    """
    # TEN_SECONDLY before SECONDLY, which is a part of it.
    text = f"{reply.text('policyName')} {reply.text('message')}".upper()
    return next((name for name in ("DAILY", "TEN_SECONDLY", "SECONDLY") if name in text), "")


def is_json(reply: Reply) -> bool:
    """Return true if the body is a JSON object, as all of HubSpot's own answers are."""
    return reply.body is not None


def lacks_scope(reply: Reply) -> bool:
    """Return true if the answer reports a missing scope, whatever its status."""
    return reply.text("category") == "MISSING_SCOPES" or bool(scopes_of(reply.body))


def lacks_rights(reply: Reply) -> bool:
    """Return true if the user who made the token may not do this."""
    return "USER_DOES_NOT_HAVE_PERMISSIONS" in (reply.text("category"), reply.text("subCategory"))


def is_expired(reply: Reply) -> bool:
    """Return true if the token has expired."""
    return reply.text("category") == "EXPIRED_AUTHENTICATION"


def names_no_record(reply: Reply) -> bool:
    """Return true if HubSpot itself says that there is no such record.

    It does so by `category` OBJECT_NOT_FOUND, or without a category by a message such as "Object not found. …". Its own
    answers always carry a correlation id, those of a proxy never do.
    """
    # A record is believed to be gone only if HubSpot itself says so.
    if not reply.reference:
        return False
    category = reply.text("category")
    return category == "OBJECT_NOT_FOUND" or (not category and _NOT_FOUND.search(reply.text("message")) is not None)


def trimmed(message: str) -> str:
    """Return HubSpot's message on one line, at most 200 characters, without e-mail addresses."""
    plain = " ".join("".join(mark if mark.isprintable() else " " for mark in message).split())
    # Messages quote values; errors end up in logs.
    hidden = _EMAIL.sub("…", plain)
    return hidden if len(hidden) <= 200 else f"{hidden[:199]}…"


def category_of(reply: Reply) -> str:
    """Return the category of an error, or "without a category"."""
    found = reply.text("category") or reply.text("errorType")
    return found if WORD.fullmatch(found) else "without a category"


def scopes_of(body: Mapping[str, Json] | None) -> list[str]:
    """Return the scopes that the body's context or its errors name; at least one of them is missing."""
    if body is None:
        return []
    errors = body.get("errors")
    places = [body, *(errors if isinstance(errors, list) else ())]
    found: list[str] = []
    for place in places:
        context = place.get("context") if isinstance(place, dict) else None
        named = context.get("requiredGranularScopes") if isinstance(context, dict) else None
        found += [scope for scope in named if isinstance(scope, str)] if isinstance(named, list) else []
    return [scope for scope in dict.fromkeys(found) if WORD.fullmatch(scope)][:6]
