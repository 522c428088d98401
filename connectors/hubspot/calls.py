"""Calls to one HubSpot account: spaced, retried, read strictly, their errors translated."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Generic, NoReturn, TypeVar

from connectors.bounds import Budgeted
from connectors.hubspot.answers import Malformed, id_of
from connectors.hubspot.api_paths import FAMILIES
from connectors.hubspot.options import HubspotSource
from connectors.hubspot.replies import Reply
from connectors.hubspot.response_rules import (
    ATTEMPTS,
    AccountPause,
    Denied,
    Done,
    Gone,
    NotFound,
    RetryLater,
    Unauthorised,
    backoff,
    judge,
    zone_of,
)
from connectors.hubspot.spacing import RequestSpacing, Resting, nap
from connectors.hubspot.transport import Transport, Unreachable
from sync.shared.clock import Clock
from sync.shared.errors import ConfigError, Problem, SourceRefused, SourceUnavailable
from sync.shared.secrets import Secret
from sync.shared.words import Json

AnswerT = TypeVar("AnswerT")
DAY = 86400.0
"""Seconds of a day."""
_SINGLE = frozenset({"one", "segment_by_id", "segment_by_name"})
"""Calls for a single thing, whose absence is an answer and no error."""


_OF_RECORDS = frozenset({"list", "batch", "one", "associations"})
"""Calls for records and what belongs to them."""


class NotThere(Exception):
    """HubSpot knows no such record or list."""


@dataclass(frozen=True, slots=True)
class Got(Generic[AnswerT]):
    """An answer that was understood."""

    value: AnswerT


@dataclass(frozen=True, slots=True)
class Call:
    """One call: its name in the path table, the values of the path's placeholders, its query and body.

    `about` names in errors what is asked for, if the name does not.
    """

    name: str
    method: str = "GET"
    places: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Json = None
    about: str = ""

    @property
    def target(self) -> str:
        """Return what is asked for, in words."""
        return self.about or " ".join(
            part for part in (self.name, self.places.get("object"), self.places.get("to")) if part
        )


@dataclass(frozen=True, slots=True)
class Portal:
    """The account that the token opens."""

    id: str
    kind: str
    zone: str
    region: str


class HubSpotCalls(Budgeted):
    """The calls of one connector. `stream` is named in errors: set it before the calls of a stream."""

    def __init__(
        self,
        source: str,
        options: HubspotSource,
        clock: Clock,
        pace: RequestSpacing,
        connect: Callable[[Secret], Transport],
    ) -> None:
        """Store the parts; `connect` makes the transport when the first call is made."""
        self.source = source
        self.stream: str | None = None
        self.options = options
        self.pace = pace
        self._clock = clock
        self._connect = connect
        self._transport: Transport | None = None
        # The token in use, to notice that the file holds another one by now.
        self._token: Secret | None = None
        self._portal: tuple[float, Portal] | None = None
        # HubSpot's time (since 1970) and when it was heard, in seconds since boot.
        self._server_clock: tuple[float, float] | None = None
        self._random = random.Random()  # noqa: S311 - jitter, no secret

    # ---- what is asked

    def ask(self, call: Call, read: Callable[[Mapping[str, Json]], AnswerT]) -> AnswerT:
        """Return the answer as `read` understands it; `read` raises Malformed if a required member is missing.

        Retries by the table in response_rules.py. Raises NotThere, SourceUnavailable, SourceRefused.
        """
        # Attempts count failures only: a token that was rotated meanwhile must not use one up.
        attempt = 1
        while True:
            match self._attempt(call, attempt, read):
                case Got(value=value):
                    return value
                case RetryLater() as again:
                    self._wait(call, attempt, again)
                    attempt += 1
                case Unauthorised(why=why):
                    # A token that has changed in the file: the same attempt again, with it.
                    if not self._renew():
                        self.refuse(f"HubSpot: {why}", f"put a valid token into the {self.options.token.where}")
                # For a single thing HubSpot's own 404 is an answer; for a list it means a wrong path.
                case Gone() if call.name in _SINGLE:
                    raise NotThere
                # A 404 may come from a proxy. If it were believed, every record would look deleted.
                case NotFound() if call.name == "one":
                    hint = "is a proxy in between? HubSpot itself says it in JSON where a record is gone"
                    self.unavailable(f"HubSpot answers 404 for a record, not in its own words ({call.target})", hint)
                case other:
                    self._give_up(call, other)

    def _wait(self, call: Call, attempt: int, again: RetryLater) -> None:
        if attempt >= ATTEMPTS:
            self.unavailable(f"HubSpot {again.why}, {attempt} times in a row ({call.target})", again.hint)
        # Never earlier than HubSpot said: jitter only adds.
        jittered = again.seconds * (1 + self._random.random() / 4)
        # A shared limit: calls of other streams would only fail for the same reason.
        if again.whole:
            self.pace.pause(jittered)
        nap(self._clock, jittered)

    def _give_up(self, call: Call, verdict: AccountPause | Denied | Gone | NotFound) -> NoReturn:
        match verdict:
            case AccountPause(seconds=seconds, why=why):
                self.pace.rest(seconds, f"HubSpot {why}")
                self.unavailable(f"HubSpot {why}", "it resumes automatically")
            case Denied(why=why, hint=hint):
                self.refuse(f"HubSpot: {why} ({call.target})", hint)
            case Gone(why=why) | NotFound(why=why):
                self.refuse(f"HubSpot {why} ({call.target})", _absence(call))

    def _attempt(
        self, call: Call, attempt: int, read: Callable[[Mapping[str, Json]], AnswerT]
    ) -> Got[AnswerT] | RetryLater | AccountPause | Unauthorised | Denied | Gone | NotFound:
        try:
            reply = self._send(call)
        except Unreachable as error:
            if error.refused:
                self.refuse(f"HubSpot {error.why}", error.hint)
            return RetryLater(backoff(attempt), error.why, hint=error.hint)
        burst = self.pace.burst
        verdict = judge(reply, attempt, now=self.now(), zone=self.pace.zone, interval=burst.seconds)
        if not isinstance(verdict, Done):
            return verdict
        try:
            return Got(read(verdict.body))
        except Malformed as error:
            return RetryLater(backoff(attempt), f"answers {reply.status} without {error}{reply.reference}")

    def _send(self, call: Call) -> Reply:
        # The family is a setting: a new one is an entry in the table, no change here.
        path = FAMILIES[self.options.api].paths[call.name].format(**call.places)
        transport = self._open()
        try:
            self.pace.take(search=call.name == "search")
        except Resting as resting:
            self.unavailable(resting.why, "it resumes automatically")
        # Definitions and labels are kept for all records, so they are no part of what is held with some.
        budget = self.budget if call.name in _OF_RECORDS else None
        reply = transport.send(call.method, path, call.query, call.body, None if budget is None else budget.left)
        if budget is not None:
            budget.held += reply.size
        # Errors count too: a 429 is the answer that says most about limits.
        self._note_clock(reply)
        self.pace.learn(reply.headers, self.now())
        return reply

    # ---- whose account it is, and what time it is there

    def now(self) -> datetime:
        """Return HubSpot's time by the `Date` of its last answer: never ahead, at most about a second behind.

        Windows must end by the clock that stamps the records, not by ours.
        """
        # No answer yet: our own clock will do for the first call, which reads no window.
        if self._server_clock is None:
            return datetime.fromtimestamp(self._clock.wall(), UTC)
        then, heard = self._server_clock
        # By the boot clock, which goes on steadily; the wall clock may be set.
        return datetime.fromtimestamp(then + self._clock.boot() - heard, UTC)

    def portal(self) -> Portal:
        """Return the account that the token opens, read once a day. Raises SourceRefused if `portal` names another
        one."""
        if self._portal is None or self._clock.boot() - self._portal[0] > DAY:
            self._portal = (self._clock.boot(), self._look_at_portal())
        return self._portal[1]

    def _look_at_portal(self) -> Portal:
        details = self.ask(Call("account"), _with_portal)
        portal = Portal(
            str(details["portalId"]),
            *(str(details.get(key, "")) for key in ("accountType", "timeZone", "dataHostingLocation")),
        )
        wanted = self.options.portal
        if wanted is not None and portal.id != str(wanted):
            self.refuse(f"the token opens the account {portal.id}, not {wanted}", f"look at {self.options.token.where}")
        # Needed to tell when the daily limit is reset.
        self.pace.zone = zone_of(details)
        return portal

    def _renew(self) -> bool:
        """Read the token again and return true if it has changed. Raises SourceRefused if it opens another account."""
        try:
            fresh = read_token(self.source, self.options)
        except ConfigError as error:
            self.refuse(f"the token cannot be read again: {error.problems[0].what}", error.problems[0].hint)
        if fresh == self._token or self._transport is None:
            return False
        self._token = fresh
        self._transport.use(fresh)
        # Forgotten first, so that the new token is asked which account it opens.
        before, self._portal = self._portal, None
        if before is not None and self.portal().id != before[1].id:
            # Not kept: the next poll must ask again, and refuse again.
            now, self._portal = self.portal().id, None
            self.refuse(
                f"the new token opens the account {now}, the one before opened {before[1].id}",
                "put a token of the same account there; another account is another source",
            )
        return True

    def _open(self) -> Transport:
        if self._transport is None:
            # Read late, so that a rotated secret counts without a restart.
            self._token = read_token(self.source, self.options)
            self._transport = self._connect(self._token)
        return self._transport

    def _note_clock(self, reply: Reply) -> None:
        try:
            date = parsedate_to_datetime(reply.headers["date"]).timestamp()
        except (LookupError, ValueError, OverflowError):
            return
        self._server_clock = (date, self._clock.boot())

    def close(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    # ---- errors

    def unavailable(self, what: str, hint: str = "") -> NoReturn:
        """Raise SourceUnavailable: it may pass."""
        raise SourceUnavailable(what, hint=hint, source=self.source, stream=self.stream)

    def refuse(self, what: str, hint: str = "", field: str | None = None) -> NoReturn:
        """Raise SourceRefused: a person must fix something in the account or the file."""
        raise SourceRefused(what, hint=hint, source=self.source, stream=self.stream, field=field)


def _absence(call: Call) -> str:
    """Return the hint for a call about something that HubSpot does not know."""
    if "list" in call.places:
        return "was the list deleted? Or is a proxy in between?"
    return f"is {call.places['object']!r} an object of this account and plan?" if "object" in call.places else ""


def read_token(source: str, options: HubspotSource) -> Secret:
    """Return the token. Raises ConfigError if it cannot be read, or contains characters that a token cannot have."""
    key = f"sources.{source}.token"
    token = options.token.read(key=key)
    text = token.reveal()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigError([Problem(key, "contains characters that a token cannot have", "copy the token again")])
    return token


def _with_portal(body: Mapping[str, Json]) -> Mapping[str, Json]:
    id_of(body, "portalId")
    return body
