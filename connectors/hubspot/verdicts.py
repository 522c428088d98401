"""What an answer of HubSpot calls for: done, once more after a moment, later, or a person. Pure decisions.

Statuses and bodies as HubSpot's error handling and usage guidelines have them; a 429 has `policyName` instead of
`category` and promises no Retry-After.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from sync.words import Json

ATTEMPTS = 5
"""How often one call is made at most before the poll ends."""
LONGEST_NAP = 30.0
"""Seconds: a longer wait ends the poll instead."""
LONGEST_REST = 3600.0
"""Seconds after which a resting account is tried again, whatever it said."""

_TRANSIENT = frozenset({408, 423, 500, 502, 503, 504, 520, 521, 522, 523, 524, 525, 526})
_EMAIL = re.compile(r"[^\s\"'<>,;:]+@[^\s\"'<>,;:]+")
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,80}")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: header names in small letters; `body` None where it is not the JSON object it should be."""

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, Json] | None

    def text(self, key: str) -> str:
        """A text of the body, or ""."""
        found = None if self.body is None else self.body.get(key)
        return found if isinstance(found, str) else ""

    @property
    def reference(self) -> str:
        """`; correlation id …`, by which HubSpot's support finds the call; "" without one."""
        found = self.text("correlationId") or self.headers.get("x-hubspot-correlation-id", "")
        return f"; correlation id {found}" if _WORD.fullmatch(found) else ""


@dataclass(frozen=True, slots=True)
class Done:
    body: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Again:
    """After `seconds`, at the most; the caller adds jitter. `whole`: all calls of the account wait, not this alone."""

    seconds: float
    why: str
    whole: bool = False
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Rest:
    """No call of this account for `seconds`."""

    seconds: float
    why: str


@dataclass(frozen=True, slots=True)
class Unauthorised:
    why: str


@dataclass(frozen=True, slots=True)
class Refused:
    why: str
    hint: str


@dataclass(frozen=True, slots=True)
class Absent:
    """404: there is no such record, or no such path."""

    why: str


Verdict = Done | Again | Rest | Unauthorised | Refused | Absent


def judge(reply: Reply, attempt: int, *, now: datetime, zone: tzinfo, interval: float) -> Verdict:
    """What to do after the `attempt`-th call (from 1). `now` and `zone` are the account's, for its midnight;
    `interval` is the length of its burst window in seconds."""
    if 200 <= reply.status < 300:
        if reply.body is not None:
            return Done(reply.body)
        return Again(backoff(attempt), f"answers {reply.status} with something that is not the JSON it should be")
    if reply.status == 429:
        return _limited(reply, now, zone, interval)
    if reply.status == 477:
        return Rest(retry_after(reply) or LONGEST_REST, "moves this account to another place (477)")
    if reply.status in _TRANSIENT:
        seconds = max(backoff(attempt), 2.0 if reply.status == 423 else 0.0, retry_after(reply))
        return _after(seconds, f"answers {reply.status}{reply.reference}")
    return _for_a_person(reply)


def backoff(attempt: int) -> float:
    """Seconds to wait after the `attempt`-th failure of a call."""
    return float(min(2 ** (attempt - 1), 16))


def retry_after(reply: Reply) -> float:
    """Seconds; 0 where the answer says nothing usable."""
    text = reply.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 8 else 0.0


def midnight_after(now: datetime, zone: tzinfo) -> datetime:
    """When the day's budget begins anew: midnight in the account's time zone."""
    local = now.astimezone(zone)
    return datetime.combine(local.date() + timedelta(days=1), datetime.min.time(), zone).astimezone(UTC)


def zone_of(account: Mapping[str, Json]) -> tzinfo:
    """The account's time zone, by its name or else by its offset."""
    name, offset = account.get("timeZone"), account.get("utcOffsetMilliseconds")
    try:
        return ZoneInfo(str(name))
    except (ValueError, OSError, LookupError):
        span = timedelta(milliseconds=offset) if isinstance(offset, int) else timedelta()
        return timezone(span) if abs(span) < timedelta(days=1) else UTC


def policy_of(reply: Reply) -> str:
    """`DAILY`, `TEN_SECONDLY` or `SECONDLY`: a search says it in its message alone."""
    said = f"{reply.text('policyName')} {reply.text('message')}".upper()
    return next((name for name in ("DAILY", "TEN_SECONDLY") if name in said), "SECONDLY")


def _limited(reply: Reply, now: datetime, zone: tzinfo, interval: float) -> Verdict:
    policy, asked = policy_of(reply), retry_after(reply)
    if policy == "DAILY":
        seconds = asked or (midnight_after(now, zone) - now).total_seconds()
        return Rest(seconds, "says that the calls of the day are used up; they begin anew at the account's midnight")
    seconds = max(asked, interval if policy == "TEN_SECONDLY" else 1.0)
    return _after(seconds, f"says that its {policy.lower()} limit is reached: others use it too", whole=True)


def _after(seconds: float, why: str, *, whole: bool = False) -> Verdict:
    return Again(seconds, why, whole) if seconds <= LONGEST_NAP else Rest(min(seconds, LONGEST_REST), why)


def _for_a_person(reply: Reply) -> Verdict:
    if reply.status == 401:
        return Unauthorised(f"the token is refused (401 {_category(reply)}{reply.reference})")
    if reply.status == 404:
        return Absent(f"knows no such thing (404 {_category(reply)}{reply.reference})")
    return _refused(reply)


def _refused(reply: Reply) -> Refused:
    if scopes := _scopes(reply.body):
        what = f"the token lacks a scope: {' or '.join(scopes)} ({reply.status}{reply.reference})"
        return Refused(what, "add it to the private app or service key, then wait or restart")
    category = _category(reply)
    if "USER_DOES_NOT_HAVE_PERMISSIONS" in (category, reply.text("subCategory")):
        hint = "the user who made the token lost rights: let a super admin make it anew"
        return Refused(f"the token's user may not do this ({reply.status}{reply.reference})", hint)
    if reply.status == 530:
        return Refused("answers 530, as it does to a malformed token", "copy the token again")
    if 300 <= reply.status < 400:
        return Refused(f"answers {reply.status}: it wants to be called elsewhere", "is base_url right?")
    said = trimmed(reply.text("message"))
    return Refused(f"refuses the call ({reply.status} {category}{reply.reference}){': ' if said else ''}{said}", "")


def trimmed(message: str) -> str:
    """HubSpot's words, short, on one line, without e-mail addresses."""
    plain = " ".join("".join(mark if mark.isprintable() else " " for mark in message).split())
    hidden = _EMAIL.sub("…", plain)
    return hidden if len(hidden) <= 200 else f"{hidden[:199]}…"


def _category(reply: Reply) -> str:
    found = reply.text("category") or reply.text("errorType")
    return found if _WORD.fullmatch(found) else "without a category"


def _scopes(body: Mapping[str, Json] | None) -> list[str]:
    """The scopes of which one is missing, as the body's context or its errors name them."""
    if body is None:
        return []
    errors = body.get("errors")
    places = [body, *(errors if isinstance(errors, list) else ())]
    found: list[str] = []
    for place in places:
        context = place.get("context") if isinstance(place, dict) else None
        named = context.get("requiredGranularScopes") if isinstance(context, dict) else None
        found += [scope for scope in named if isinstance(scope, str)] if isinstance(named, list) else []
    return [scope for scope in dict.fromkeys(found) if _WORD.fullmatch(scope)][:6]
