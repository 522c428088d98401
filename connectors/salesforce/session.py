"""What all streams of a source share: session and login lock, the server's clock, quota, descriptions of objects."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from xml.parsers.expat import ExpatError

import requests
from simple_salesforce.exceptions import SalesforceAuthenticationFailed

from connectors.salesforce.access import login_fault
from connectors.salesforce.credentials import Credentials
from connectors.salesforce.descriptions import ObjectSchema
from connectors.salesforce.errors import NotAccessible, error_of, unclear
from connectors.salesforce.fault_kinds import SalesforceFault
from connectors.salesforce.options import Jwt, SalesforceSource
from connectors.salesforce.quota import Quota, parse_usage
from connectors.salesforce.transport import Http, connection_error
from sync.shared.clock import SystemClock
from sync.shared.errors import SourceRefused, SourceUnavailable, SyncError

_CLOCK = SystemClock()
SHORTEST_SESSION = 60.0
"""Seconds: sessions that end sooner are ended by somebody; logging in again and again would only lock the user."""
SHORTEST_REST = 60.0
LONGEST_REST = 3600.0
DESCRIBED_FOR = 86_400.0
"""Seconds for which an object's description is believed."""
ABSENT_FOR = 3600.0
"""Seconds for which it is believed that the user does not see an object, where nothing is refused because of it."""
UNLABELLED_FOR = 3600.0
"""Seconds for which it is believed that a code has no label."""
MOST_UNLABELLED = 1000
"""Codes without a label of one object that are remembered; so many come from no list."""
COMPOSITE_SINCE = 38
"""The version of the API from which on a query can travel in a request's body.
(https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_composite_composite.htm)"""
MOST_IDS, FEWER_IDS = 4000, 400
"""Ids in a query's list: 84,000 characters of its text, which may have 100,000, where it travels in a body; as many as
an address holds elsewhere. A list that is too long for Salesforce, or takes it too long, is halved."""
LONGEST_URI = 12_000
"""Bytes of an encoded address; Salesforce takes 16,384 for it and the headers together."""


@dataclass(frozen=True, slots=True)
class Token:
    """A session: its secret, and the host that it is of."""

    session_id: str
    host: str

    def __repr__(self) -> str:
        return f"Token({self.host!r})"


class SalesforceSession:
    """One source's access. Thread-safe; streams read at the same time, each over its own connection.

    `now` is a clock in seconds that never goes back and goes on while the machine sleeps.
    """

    def __init__(self, source: str, options: SalesforceSource, now: Callable[[], float] = _CLOCK.boot) -> None:
        self.source = source
        self.options = options
        self.now = now
        self.credentials = Credentials(source, options)
        self.quota = Quota(source, options.quota)
        self.longest_uri = LONGEST_URI
        self.most_ids = MOST_IDS if float(options.api_version) >= COMPOSITE_SINCE else FEWER_IDS
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._renewed: float | None = None
        self._refusals = 0
        self._rests_until = 0.0
        self._refusal: SyncError | None = None
        self._clock: tuple[float, float] | None = None
        self._described: dict[str, _Described] = {}
        self._descriptions = 0
        self._unlabelled: dict[str, set[str]] = {}

    def http(self) -> Http:
        """A session of requests for one connector."""
        options = self.options
        proxy = options.proxy.read(key=f"sources.{self.source}.proxy").reveal() if options.proxy else None
        return Http(
            timeout=options.timeout.total_seconds(),
            connect_timeout=options.connect_timeout.total_seconds(),
            observe=self.observe,
            proxy=proxy,
            ca_file=options.certificates,
        )

    # ---- what the answers' headers say

    def observe(self, headers: Mapping[str, str]) -> None:
        now = self.now()
        if usage := parse_usage(headers.get("Sforce-Limit-Info") or ""):
            self.quota.observe(usage, now)
        try:
            self._clock = (parsedate_to_datetime(headers.get("Date") or "").timestamp(), now)
        except ValueError:
            return

    def server_clock(self) -> float | None:
        """Seconds since 1970 by Salesforce's own clock, at the latest; None before its first answer. An answer's date
        is cut to seconds and older than its arrival, so rows that are written from now on bear a later time."""
        if self._clock is None:
            return None
        date, seen = self._clock
        return date + (self.now() - seen)

    # ---- the session

    def token(self, http: Http, stream: str | None, instead_of: Token | None = None) -> Token:
        """The session in use, or a new one if there is none or it is `instead_of` (which Salesforce refused). One
        thread logs in, the others wait for it. Raises SourceRefused, SourceUnavailable."""
        with self._lock:
            if self._token is not None and self._token != instead_of:
                return self._token
            now = self.now()
            if self._refusal is not None and now < self._rests_until:
                raise _again(self._refusal, stream)
            if instead_of is not None:
                self._may_renew(now, stream)
            try:
                self._token = self._log_in(http, stream)
            except SourceRefused as refused:
                self._rest(refused, now)
                raise
            return self._token

    def worked(self) -> None:
        """Salesforce took the session."""
        if self._refusals:
            self._refusals, self._refusal = 0, None

    def refused(self, token: Token, error: SourceRefused) -> None:
        """Salesforce refused a session that was just opened: no other is opened for a while, by any stream."""
        with self._lock:
            if self._token == token:
                self._token = None
                self._rest(error, self.now())

    def _may_renew(self, now: float, stream: str | None) -> None:
        self._token = None
        if self._renewed is not None and now < self._renewed + SHORTEST_SESSION:
            raise SourceUnavailable(
                "sessions end within a minute",
                hint="see who logs out or revokes them: Setup, Session Management; Setup, Login History",
                source=self.source,
                stream=stream,
            )
        self._renewed = now

    def _rest(self, error: SyncError, now: float) -> None:
        """Longer each time: repeated bad logins lock the user."""
        self._refusals += 1
        self._refusal = error
        self._rests_until = now + min(LONGEST_REST, SHORTEST_REST * 2.0 ** (self._refusals - 1))

    def _log_in(self, http: Http, stream: str | None) -> Token:
        try:
            session_id, host = self.credentials.open(http)
        except SalesforceAuthenticationFailed as failed:
            fault = login_fault(failed.code, failed.auth_message)
        except (requests.exceptions.RequestException, OSError) as error:
            raise connection_error(error, self.source, stream) from None
        except (AttributeError, KeyError, IndexError, TypeError, ValueError, ExpatError):
            raise unclear("to the login", self.source, stream) from None
        else:
            if not session_id or not host:
                raise unclear("to the login", self.source, stream)
            return Token(session_id, host.split("/")[0])
        if fault.kind in {"daily", "crowded"}:
            self.limited(fault)
        raise error_of(self._with_clock(fault), self.source, stream)

    def _with_clock(self, fault: SalesforceFault) -> SalesforceFault:
        """A signed assertion is good for three minutes of Salesforce's clock."""
        server = self.server_clock()
        if not isinstance(self.options.auth, Jwt) or server is None or abs(server - time.time()) < 60:
            return fault
        apart = timedelta(seconds=abs(round(server - time.time())))
        return SalesforceFault(
            fault.kind, fault.what, f"this machine's clock is {apart} off: set it by NTP; {fault.hint}"
        )

    # ---- limits that Salesforce told us of, and descriptions

    def limited(self, fault: SalesforceFault) -> None:
        """Salesforce takes no requests for now: all streams of the source rest."""
        seconds = 900.0 if fault.kind == "daily" else 30.0 + 90.0 * random.random()  # noqa: S311 - jitter, no secret
        self.quota.rest(seconds, fault.what, self.now())

    def schema(self, name: str, describe: Callable[[], ObjectSchema]) -> ObjectSchema:
        """An object's description; asked for once a day. That it is absent is believed for an hour. Raises Absent."""
        known = self._described.get(name)
        if known is None or self.now() > known.until:
            try:
                found: ObjectSchema | NotAccessible = describe()
            except NotAccessible as absent:
                found = absent
            with self._lock:
                self._descriptions += 1
            lasts = ABSENT_FOR if isinstance(found, NotAccessible) else DESCRIBED_FOR
            known = _Described(found, self.now(), self.now() + lasts, self._descriptions)
            self._described[name] = known
        if isinstance(known.schema, NotAccessible):
            raise known.schema.of(name)
        return known.schema

    @property
    def descriptions(self) -> int:
        """How many descriptions were asked for so far."""
        return self._descriptions

    def forget(self, names: Iterable[str], since: int) -> bool:
        """Forget descriptions of these objects, but for those that are younger than the first `since` ones. Return
        whether there was any: then it is worth while to ask anew."""
        old = [name for name in names if (known := self._described.get(name)) and known.number <= since]
        for name in old:
            self._described.pop(name, None)
        return bool(old)

    def forget_schemas(self) -> None:
        self._described = {}

    def doubt(self, name: str, codes: Set[str]) -> None:
        """Forget an object's description that has no label for these codes of its fields, unless it was asked for
        anew because of them within the last hour."""
        known, asked = self._described.get(name), self._unlabelled.setdefault(name, set())
        if known is None:
            return
        if (codes <= asked or len(asked) >= MOST_UNLABELLED) and self.now() < known.since + UNLABELLED_FOR:
            return
        asked |= codes
        self._described.pop(name, None)


@dataclass(frozen=True, slots=True)
class _Described:
    """A description, or that there is none: when it was asked for, how long it is believed, its number."""

    schema: ObjectSchema | NotAccessible
    since: float
    until: float
    number: int


def _again(error: SyncError, stream: str | None) -> SyncError:
    """The same refusal for another poll."""
    return type(error)(error.message, hint=error.hint, source=error.source, stream=stream)
