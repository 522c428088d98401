"""Decides from HubSpot's answer what to do: use it, retry, pause the account, or ask a person. One table; all pure.

Statuses and bodies are from docs/sources.md#hubspot-limits-and-errors. A 429 has `policyName` instead of `category` and
promises no Retry-After. An HTML page comes from something in between (a proxy, an edge server), so it says nothing
about records, tokens or permissions; HubSpot itself sends one only for an unknown path (404).
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
"""Attempts of one call before the poll ends."""
LONGEST_NAP = 30.0
"""Seconds: a longer wait ends the poll instead of holding its thread."""
LONGEST_REST = 3600.0
"""Seconds after which a paused account is tried again, however long HubSpot told us to wait."""
LOCKED = 2.0
"""Seconds that a lock (423) lasts."""


@dataclass(frozen=True, slots=True)
class Done:
    """The answer can be used."""

    body: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Retry after at least `seconds` (the caller adds jitter). `whole`: all calls of the account wait, not only this
    one."""

    seconds: float
    why: str
    whole: bool = False
    hint: str = ""


@dataclass(frozen=True, slots=True)
class AccountPause:
    """No call of this account for `seconds`; the poll ends."""

    seconds: float
    why: str


@dataclass(frozen=True, slots=True)
class Unauthorised:
    """The token is not accepted: read it again, it may have been rotated."""

    why: str


@dataclass(frozen=True, slots=True)
class Denied:
    """A person must act."""

    why: str
    hint: str


@dataclass(frozen=True, slots=True)
class Gone:
    """HubSpot itself says that the record does not exist."""

    why: str


@dataclass(frozen=True, slots=True)
class NotFound:
    """Any other 404: an unknown path, or an answer that is not HubSpot's."""

    why: str


ResponseClass = Done | RetryLater | AccountPause | Unauthorised | Denied | Gone | NotFound


@dataclass(frozen=True, slots=True)
class CallAttempt:
    """The circumstances of an answer: the attempt (from 1), the account's time and time zone, its burst window in
    seconds."""

    attempt: int
    now: datetime
    zone: tzinfo
    interval: float


def judge(reply: Reply, attempt: int, *, now: datetime, zone: tzinfo, interval: float) -> ResponseClass:
    """Return what to do, by the first row of TABLE that matches. The arguments are those of CallAttempt."""
    row = next(row for row in TABLE if reply.status in row.statuses and row.holds(reply))
    return row.verdict(reply, CallAttempt(attempt, now, zone, interval))


def backoff(attempt: int) -> float:
    """Return the seconds to wait after the `attempt`-th failure of a call: 1, 2, 4, 8, then 16."""
    return float(min(2 ** (attempt - 1), 16))


def midnight_after(now: datetime, zone: tzinfo) -> datetime:
    """Return when the daily limit is reset: the next midnight in the account's time zone."""
    local = now.astimezone(zone)
    return datetime.combine(local.date() + timedelta(days=1), datetime.min.time(), zone).astimezone(UTC)


def zone_of(account: Mapping[str, Json]) -> tzinfo:
    """Return the account's time zone, by its name or else by its offset; UTC if neither can be used."""
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
    # HubSpot's own word first; else the limit is reset at midnight.
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
    hint = "the user who made the token lost rights: have a super admin create a new one"
    return Denied(f"the token's user may not do this ({reply.status}{reply.reference})", hint)


def _elsewhere(reply: Reply, _: CallAttempt) -> ResponseClass:
    return Denied(f"answers {reply.status}, which is not an answer of the API", "is base_url right?")


def _no_proxy(_: Reply, __: CallAttempt) -> ResponseClass:
    return Denied("a proxy wants a name and password (407)", "put them into proxy")


def _too_long(_: Reply, __: CallAttempt) -> ResponseClass:
    return Denied("the address of the call is too long (414)", "let the mapping read fewer properties")


def _forbidden(reply: Reply, at: CallAttempt) -> ResponseClass:
    return Denied(_refused(reply, at).why, "look at the token's scopes, and whether the account's plan has this object")


def _refused(reply: Reply, _: CallAttempt) -> Denied:
    message = trimmed(reply.text("message"))
    what = f"refuses the call ({reply.status} {category_of(reply)}{reply.reference})"
    return Denied(f"{what}{': ' if message else ''}{message}", "")


def _after(seconds: float, why: str, *, whole: bool = False) -> ResponseClass:
    # A long wait inside of a poll would keep its lock and its thread.
    return RetryLater(seconds, why, whole) if seconds <= LONGEST_NAP else AccountPause(min(seconds, LONGEST_REST), why)


# ---- the table


@dataclass(frozen=True, slots=True)
class StatusRule:
    """Answers with one of these statuses for which `holds` is true get this verdict."""

    statuses: Container[int]
    verdict: Callable[[Reply, CallAttempt], ResponseClass]
    holds: Callable[[Reply], bool] = _always


TABLE: Final = (
    # The first row that matches counts: specific ones come before general ones.
    StatusRule(range(200, 300), _done, is_json),
    # HTML or half a body: never an empty result.
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
    # Before 401 and 403: a proxy's page says nothing about the token.
    StatusRule(range(400, 500), _page, lambda reply: not is_json(reply)),
    StatusRule({401}, _expired, is_expired),
    StatusRule({401}, _unauthorised),
    # Whatever the status: a missing scope is what an administrator can fix.
    StatusRule(range(400, 500), _without_scope, lacks_scope),
    StatusRule(range(400, 500), _without_rights, lacks_rights),
    StatusRule({403}, _forbidden),
    # Everything else needs a person: repeating it could not help.
    StatusRule(range(1000), _refused),
)
