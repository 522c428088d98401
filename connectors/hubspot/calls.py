"""One HubSpot account as this process calls it: paced, tried again, read strictly, its errors in words."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Generic, NoReturn, TypeVar

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
_SINGLE = frozenset({"one", "segment_by_id", "segment_by_name"})
"""Calls for one thing, which may be gone."""


class NotThere(Exception):
    """HubSpot knows no such record, or list."""


@dataclass(frozen=True, slots=True)
class Got(Generic[AnswerT]):
    value: AnswerT


@dataclass(frozen=True, slots=True)
class Call:
    """One call: its name in the path table, what the path holds, its query and body; `about` says in an error what it
    asks for, where the name does not."""

    name: str
    method: str = "GET"
    places: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Json = None
    about: str = ""

    @property
    def target(self) -> str:
        """Return in words the thing that is asked for."""
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


class HubSpotCalls:
    """The calls of one connector. `stream` is named in errors: set it before a stream's calls."""

    def __init__(
        self,
        source: str,
        options: HubspotSource,
        clock: Clock,
        pace: RequestSpacing,
        connect: Callable[[Secret], Transport],
    ) -> None:
        """`connect` makes the transport, at the first call."""
        self.source = source
        self.stream: str | None = None
        self.options = options
        self.pace = pace
        self._clock = clock
        self._connect = connect
        self._transport: Transport | None = None
        self._token: Secret | None = None
        self._portal: tuple[float, Portal] | None = None
        self._told: tuple[float, float] | None = None
        self._random = random.Random()  # noqa: S311 - jitter, no secret

    # ---- what is asked

    def ask(self, call: Call, read: Callable[[Mapping[str, Json]], AnswerT]) -> AnswerT:
        """The answer as `read` understands it; `read` raises Malformed where it lacks what it must have.

        Raises NotThere, SourceUnavailable, SourceRefused.
        """
        attempt = 1
        while True:
            match self._attempt(call, attempt, read):
                case Got(value=value):
                    return value
                case RetryLater() as again:
                    self._wait(call, attempt, again)
                    attempt += 1
                case Unauthorised(why=why):
                    if not self._renew():
                        self.refuse(f"HubSpot: {why}", f"put a valid token into the {self.options.token.where}")
                case Gone() if call.name in _SINGLE:
                    raise NotThere
                case NotFound() if call.name == "one":
                    hint = "is a proxy in between? HubSpot itself says it in JSON where a record is gone"
                    self.unavailable(f"HubSpot answers 404 for a record, not in its own words ({call.target})", hint)
                case other:
                    self._give_up(call, other)

    def _wait(self, call: Call, attempt: int, again: RetryLater) -> None:
        if attempt >= ATTEMPTS:
            self.unavailable(f"HubSpot {again.why}, {attempt} times in a row ({call.target})", again.hint)
        jittered = again.seconds * (1 + self._random.random() / 4)
        if again.whole:
            self.pace.pause(jittered)
        nap(self._clock, jittered)

    def _give_up(self, call: Call, verdict: AccountPause | Denied | Gone | NotFound) -> NoReturn:
        match verdict:
            case AccountPause(seconds=seconds, why=why):
                self.pace.rest(seconds, f"HubSpot {why}")
                self.unavailable(f"HubSpot {why}", "it goes on by itself")
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
        path = FAMILIES[self.options.api].paths[call.name].format(**call.places)
        transport = self._open()
        try:
            self.pace.take(search=call.name == "search")
        except Resting as resting:
            self.unavailable(resting.why, "it goes on by itself")
        reply = transport.send(call.method, path, call.query, call.body)
        self._hear(reply)
        self.pace.learn(reply.headers, self.now())
        return reply

    # ---- whose account it is, and what time it is there

    def now(self) -> datetime:
        """HubSpot's own clock, by the `Date` of its last answer: never ahead, at most about a second behind."""
        if self._told is None:
            return datetime.fromtimestamp(self._clock.wall(), UTC)
        said, heard = self._told
        return datetime.fromtimestamp(said + self._clock.boot() - heard, UTC)

    def portal(self) -> Portal:
        """Return the account that the token opens, looked at once a day. Raises SourceRefused where it is not the one
        that `portal` names."""
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
        self.pace.zone = zone_of(details)
        return portal

    def _renew(self) -> bool:
        """Reads the token anew: whether it is another one. It must open the same account."""
        try:
            fresh = read_token(self.source, self.options)
        except ConfigError as error:
            self.refuse(f"the token cannot be read again: {error.problems[0].what}", error.problems[0].hint)
        if fresh == self._token or self._transport is None:
            return False
        self._token = fresh
        self._transport.use(fresh)
        before, self._portal = self._portal, None
        if before is not None and self.portal().id != before[1].id:
            now, self._portal = self.portal().id, None
            self.refuse(
                f"the new token opens the account {now}, the one before opened {before[1].id}",
                "put a token of the same account there; another account is another source",
            )
        return True

    def _open(self) -> Transport:
        if self._transport is None:
            self._token = read_token(self.source, self.options)
            self._transport = self._connect(self._token)
        return self._transport

    def _hear(self, reply: Reply) -> None:
        try:
            said = parsedate_to_datetime(reply.headers["date"]).timestamp()
        except (LookupError, ValueError, OverflowError):
            return
        self._told = (said, self._clock.boot())

    def close(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    # ---- errors

    def unavailable(self, what: str, hint: str = "") -> NoReturn:
        """Raise SourceUnavailable: it may pass."""
        raise SourceUnavailable(what, hint=hint, source=self.source, stream=self.stream)

    def refuse(self, what: str, hint: str = "", field: str | None = None) -> NoReturn:
        """For what a person must mend in the account or the file."""
        raise SourceRefused(what, hint=hint, source=self.source, stream=self.stream, field=field)


def _absence(call: Call) -> str:
    """Return what to look at where HubSpot knows nothing of what a call is about."""
    if "list" in call.places:
        return "was the list deleted? Or is a proxy in between?"
    return f"is {call.places['object']!r} an object of this account and plan?" if "object" in call.places else ""


def read_token(source: str, options: HubspotSource) -> Secret:
    """Raises ConfigError where it cannot be had, or cannot be a token."""
    key = f"sources.{source}.token"
    token = options.token.read(key=key)
    text = token.reveal()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigError([Problem(key, "holds characters that no token has", "copy the token again")])
    return token


def _with_portal(body: Mapping[str, Json]) -> Mapping[str, Json]:
    id_of(body, "portalId")
    return body
