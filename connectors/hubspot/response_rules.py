"""Decides what an answer of HubSpot calls for: done, once more after a moment, later, or a person. One table, all pure.

Statuses and bodies as HubSpot's "Error handling" and "Usage guidelines" have them (developers.hubspot.com). A 429 has
`policyName` instead of `category`, and promises no Retry-After. A page instead of JSON comes from whatever stands
between, so it says nothing about records, tokens or rights; HubSpot itself answers with one only where it knows no such
path (404).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from connectors.hubspot.replies import (
    WORD,
    Reply,
    category_of,
    is_expired,
    is_json,
    lacks_rights,
    lacks_scope,
    names_no_record,
    policy_of,
    retry_after,
    scopes_of,
    trimmed,
)
from sync.shared.words import Json

ATTEMPTS = 5
"""How often one call is made at most before the poll ends."""
LONGEST_NAP = 30.0
"""Seconds: a longer wait ends the poll instead."""
LONGEST_REST = 3600.0
"""Seconds after which a resting account is tried again, whatever it said."""
LOCKED = 2.0
"""Seconds for which a lock (423) lasts."""


@dataclass(frozen=True, slots=True)
class Done:
    body: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class RetryLater:
    """After `seconds`, at the most; the caller adds jitter. `whole`: all calls of the account wait, not this alone."""

    seconds: float
    why: str
    whole: bool = False
    hint: str = ""


@dataclass(frozen=True, slots=True)
class AccountPause:
    """No call of this account for `seconds`."""

    seconds: float
    why: str


@dataclass(frozen=True, slots=True)
class Unauthorised:
    why: str


@dataclass(frozen=True, slots=True)
class Denied:
    why: str
    hint: str


@dataclass(frozen=True, slots=True)
class Gone:
    """HubSpot's own word that there is no such record."""

    why: str


@dataclass(frozen=True, slots=True)
class NotFound:
    """Any other 404: no such path, or not HubSpot's answer."""

    why: str


ResponseClass = Done | RetryLater | AccountPause | Unauthorised | Denied | Gone | NotFound


@dataclass(frozen=True, slots=True)
class CallAttempt:
    """When an answer came: after which attempt of its call (from 1), at what time (`now` and `zone` are the account's,
    for its midnight), and how long its burst window is in seconds."""

    attempt: int
    now: datetime
    zone: tzinfo
    interval: float


def judge(reply: Reply, attempt: int, *, now: datetime, zone: tzinfo, interval: float) -> ResponseClass:
    """Return what to do now, by the first row of the table that fits; the arguments are those of Moment."""
    row = next(row for row in TABLE if reply.status in row.statuses and row.holds(reply))
    return row.verdict(reply, CallAttempt(attempt, now, zone, interval))


def backoff(attempt: int) -> float:
    """Seconds to wait after the `attempt`-th failure of a call."""
    return float(min(2 ** (attempt - 1), 16))


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
        if isinstance(offset, int) and abs(offset) < 86_400_000:
            return timezone(timedelta(milliseconds=offset))
        return UTC


def _always(_: Reply) -> bool:
    return True


# ---- what is done then


def _done(reply: Reply, _: CallAttempt) -> ResponseClass:
    return Done(reply.body or {})


def _garbled(reply: Reply, at: CallAttempt) -> ResponseClass:
    return RetryLater(backoff(at.attempt), f"answers {reply.status} with something that is not the JSON it should be")


def _day_used_up(reply: Reply, at: CallAttempt) -> ResponseClass:
    seconds = retry_after(reply) or (midnight_after(at.now, at.zone) - at.now).total_seconds()
    return AccountPause(
        seconds, "says that the calls of the day are used up; they begin anew at the account's midnight"
    )


def _second_used_up(reply: Reply, _: CallAttempt) -> ResponseClass:
    return _limited(reply, 1.0, "secondly")


def _burst_used_up(reply: Reply, at: CallAttempt) -> ResponseClass:
    return _limited(reply, at.interval, "ten_secondly")


def _other_used_up(reply: Reply, at: CallAttempt) -> ResponseClass:
    named = reply.text("policyName")
    return _limited(reply, at.interval, named.lower() if WORD.fullmatch(named) else "rate")


def _limited(reply: Reply, seconds: float, policy: str) -> ResponseClass:
    why = f"says that its {policy} limit is reached: others use it too"
    return _after(max(seconds, retry_after(reply)), why, whole=True)


def _moving(reply: Reply, _: CallAttempt) -> ResponseClass:
    return AccountPause(retry_after(reply) or LONGEST_REST, "moves this account to another place (477)")


def _locked(reply: Reply, at: CallAttempt) -> ResponseClass:
    return _after(max(backoff(at.attempt), LOCKED, retry_after(reply)), f"answers 423{reply.reference}")


def _failing(reply: Reply, at: CallAttempt) -> ResponseClass:
    return _after(max(backoff(at.attempt), retry_after(reply)), f"answers {reply.status}{reply.reference}")


def _page(reply: Reply, at: CallAttempt) -> ResponseClass:
    why = f"answers {reply.status} with a page instead of its own JSON"
    return RetryLater(
        backoff(at.attempt), why, hint="is a proxy or firewall in between, and does it let the calls through?"
    )


def _malformed_token(_: Reply, __: CallAttempt) -> ResponseClass:
    return Unauthorised("answers 530, as it does to a malformed token")


def _expired(reply: Reply, _: CallAttempt) -> ResponseClass:
    return Unauthorised(f"the token has expired (401 {category_of(reply)}{reply.reference})")


def _unauthorised(reply: Reply, _: CallAttempt) -> ResponseClass:
    return Unauthorised(f"the token is refused (401 {category_of(reply)}{reply.reference})")


def _gone(reply: Reply, _: CallAttempt) -> ResponseClass:
    return Gone(f"knows no such record (404 {category_of(reply)}{reply.reference})")


def _absent(reply: Reply, _: CallAttempt) -> ResponseClass:
    return NotFound(f"knows no such thing (404 {category_of(reply)}{reply.reference})")


def _without_scope(reply: Reply, _: CallAttempt) -> ResponseClass:
    scopes = " or ".join(scopes_of(reply.body)) or "HubSpot does not say which"
    what = f"the token lacks a scope: {scopes} ({reply.status}{reply.reference})"
    return Denied(what, "add it to the private app or service key, then wait or restart")


def _without_rights(reply: Reply, _: CallAttempt) -> ResponseClass:
    hint = "the user who made the token lost rights: let a super admin make it anew"
    return Denied(f"the token's user may not do this ({reply.status}{reply.reference})", hint)


def _elsewhere(reply: Reply, _: CallAttempt) -> ResponseClass:
    return Denied(f"answers {reply.status}: it wants to be called elsewhere", "is base_url right?")


def _no_proxy(_: Reply, __: CallAttempt) -> ResponseClass:
    return Denied("a proxy wants a name and password (407)", "put them into proxy")


def _too_long(_: Reply, __: CallAttempt) -> ResponseClass:
    return Denied("the address of the call is too long (414)", "let the mapping read fewer properties")


def _forbidden(reply: Reply, at: CallAttempt) -> ResponseClass:
    return Denied(_refused(reply, at).why, "look at the token's scopes, and whether the account's plan has this object")


def _refused(reply: Reply, _: CallAttempt) -> Denied:
    said = trimmed(reply.text("message"))
    what = f"refuses the call ({reply.status} {category_of(reply)}{reply.reference})"
    return Denied(f"{what}{': ' if said else ''}{said}", "")


def _after(seconds: float, why: str, *, whole: bool = False) -> ResponseClass:
    return RetryLater(seconds, why, whole) if seconds <= LONGEST_NAP else AccountPause(min(seconds, LONGEST_REST), why)


# ---- the table


@dataclass(frozen=True, slots=True)
class StatusRule:
    """Of answers with these statuses those for which `holds` is true get this verdict."""

    statuses: Container[int]
    verdict: Callable[[Reply, CallAttempt], ResponseClass]
    holds: Callable[[Reply], bool] = _always


TABLE: Final = (
    StatusRule(range(200, 300), _done, is_json),
    StatusRule(range(200, 300), _garbled),
    StatusRule(range(300, 400), _elsewhere),
    StatusRule({429}, _day_used_up, lambda reply: policy_of(reply) == "DAILY"),
    StatusRule({429}, _burst_used_up, lambda reply: policy_of(reply) == "TEN_SECONDLY"),
    StatusRule({429}, _second_used_up, lambda reply: policy_of(reply) == "SECONDLY"),
    StatusRule({429}, _other_used_up),
    StatusRule({477}, _moving),
    StatusRule({423}, _locked),
    StatusRule({530}, _malformed_token),  # as Airbyte's connector has it
    StatusRule({408, 425, *range(500, 600)}, _failing),
    StatusRule({407}, _no_proxy),
    StatusRule({414}, _too_long),
    StatusRule({404}, _gone, names_no_record),
    StatusRule({404}, _absent),
    StatusRule(range(400, 500), _page, lambda reply: not is_json(reply)),
    StatusRule({401}, _expired, is_expired),
    StatusRule({401}, _unauthorised),
    StatusRule(range(400, 500), _without_scope, lacks_scope),
    StatusRule(range(400, 500), _without_rights, lacks_rights),
    StatusRule({403}, _forbidden),
    StatusRule(range(1000), _refused),
)
