"""Shared by all streams of a source: the session and its login lock, the server's clock, quota, descriptions of
objects."""

from __future__ import annotations

import base64
import hashlib
import random
import ssl
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from xml.parsers.expat import ExpatError

import jwt
import requests
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from simple_salesforce.exceptions import SalesforceAuthenticationFailed
from simple_salesforce.login import SalesforceLogin, token_login

from connectors.salesforce.access import login_fault
from connectors.salesforce.descriptions import ObjectSchema
from connectors.salesforce.domains import host_of, is_login_host
from connectors.salesforce.errors import NotAccessible, error_of, unclear
from connectors.salesforce.fault_kinds import SalesforceFault
from connectors.salesforce.options import ClientCredentials, Jwt, Password, SalesforceSource, SessionId, Text
from connectors.salesforce.quota import Quota, parse_usage
from connectors.salesforce.transport import Http, connection_error
from sync.shared.clock import SystemClock
from sync.shared.errors import ConfigError, Problem, SourceRefused, SourceUnavailable, SyncError
from sync.shared.secrets import SecretRef

_CLOCK = SystemClock()
SHORTEST_SESSION = 60.0
"""Seconds: sessions that end sooner are ended by somebody, and logging in over and over would only lock the user."""
SHORTEST_REST = 60.0
"""Seconds after the first refused login; each further one doubles them, up to LONGEST_REST."""
LONGEST_REST = 3600.0
DESCRIBED_FOR = 86_400.0
"""Seconds for which an object's description is used."""
ABSENT_FOR = 3600.0
"""Seconds for which it is believed that the user does not see an object, as long as nothing is refused because of
it."""
UNLABELLED_FOR = 3600.0
"""Seconds for which it is believed that a code has no label."""
MOST_UNLABELLED = 1000
"""Codes without a label that are remembered for one object; a field with so many is no list."""
COMPOSITE_SINCE = 38
"""First version of the API in which a query can be sent in a request's body. (docs/sources.md#salesforce-queries)"""
MOST_IDS, FEWER_IDS = 4000, 400
"""Ids in a query's list. If the query is sent in a body: 84,000 characters, of the 100,000 that its text may have; else
as many as an address holds. A list that is too long, or too slow, is halved. (docs/sources.md#salesforce-queries)"""
LONGEST_URI = 12_000
"""Bytes of an encoded address; Salesforce accepts 16,384 for it and the headers together.
(docs/sources.md#salesforce-queries)"""


@dataclass(frozen=True, slots=True)
class Token:
    """A session's secret and host."""

    session_id: str
    host: str

    def __repr__(self) -> str:
        return f"Token({self.host!r})"


class SalesforceSession:
    """One source's access. Thread-safe; each stream has its own connection.

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
        # When a session was last renewed, in `now` seconds.
        self._renewed: float | None = None
        self._refusals = 0
        self._rests_until = 0.0
        self._refusal: SyncError | None = None
        # Salesforce's time (since 1970), and our `now` when it came.
        self._clock: tuple[float, float] | None = None
        self._described: dict[str, _Described] = {}
        # Counts descriptions, so that a caller can tell those made before a moment from later ones.
        self._descriptions = 0
        self._unlabelled: dict[str, set[str]] = {}

    def http(self) -> Http:
        """Return a requests session for one connector."""
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
        """Take quota and clock from an answer's headers."""
        now = self.now()
        if usage := parse_usage(headers.get("Sforce-Limit-Info") or ""):
            self.quota.observe(usage, now)
        try:
            self._clock = (parsedate_to_datetime(headers.get("Date") or "").timestamp(), now)
        except ValueError:
            return

    def server_clock(self) -> float | None:
        """Return Salesforce's time in seconds since 1970, or None before its first answer. It may be behind, never
        ahead.

        An answer's date is cut to seconds and older than its arrival, so rows that are written from now on have a later
        time.
        """
        if self._clock is None:
            return None
        date, seen = self._clock
        return date + (self.now() - seen)

    # ---- the session

    def token(self, http: Http, stream: str | None, instead_of: Token | None = None) -> Token:
        """Return the session in use, or a new one if there is none or it is `instead_of`, which Salesforce refused.

        One thread logs in, the others wait for it. Raises SourceRefused, SourceUnavailable.
        """
        with self._lock:
            # Another thread renewed it while this one waited for the lock.
            if self._token is not None and self._token != instead_of:
                return self._token
            now = self.now()
            # Refused without another attempt: each bad login brings the user nearer to being locked.
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
        """Note that Salesforce accepted the session."""
        if self._refusals:
            self._refusals, self._refusal = 0, None

    def refused(self, token: Token, error: SourceRefused) -> None:
        """Stop opening sessions for a while, in all streams: Salesforce refused one that was just opened."""
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
        """Wait longer after each refusal: repeated bad logins lock the user. (docs/sources.md#salesforce-login)"""
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
        """Return the fault with a hint if the clocks differ: a signed assertion is valid for three minutes by
        Salesforce's."""
        server = self.server_clock()
        if not isinstance(self.options.auth, Jwt) or server is None or abs(server - time.time()) < 60:
            return fault
        skew = timedelta(seconds=abs(round(server - time.time())))
        return SalesforceFault(
            fault.kind, fault.what, f"this machine's clock is {skew} off: set it by NTP; {fault.hint}"
        )

    # ---- limits that Salesforce reported, and descriptions

    def limited(self, fault: SalesforceFault) -> None:
        """Let all streams of the source rest: Salesforce takes no requests now."""
        seconds = 900.0 if fault.kind == "daily" else 30.0 + 90.0 * random.random()  # noqa: S311 - jitter, no secret
        self.quota.rest(seconds, fault.what, self.now())

    def schema(self, name: str, describe: Callable[[], ObjectSchema]) -> ObjectSchema:
        """Return an object's description, read at most once a day. Raises NotAccessible, which is believed for an
        hour."""
        known = self._described.get(name)
        if known is None or self.now() > known.until:
            try:
                found: ObjectSchema | NotAccessible = describe()
            # Kept like a description: else every poll would ask for what the user may not see.
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
        """Return the number of descriptions read so far."""
        return self._descriptions

    def forget(self, names: Iterable[str], since: int) -> bool:
        """Forget descriptions of these objects, except those younger than the first `since`.

        Return true if there were any: then reading them again may change the answer.
        """
        old = [name for name in names if (known := self._described.get(name)) and known.number <= since]
        for name in old:
            self._described.pop(name, None)
        return bool(old)

    def forget_schemas(self) -> None:
        """Forget all descriptions."""
        self._described = {}

    def doubt(self, name: str, codes: Set[str]) -> None:
        """Forget an object's description that lacks labels for these codes, unless it was read because of them an hour
        ago."""
        known, asked = self._described.get(name), self._unlabelled.setdefault(name, set())
        if known is None:
            return
        if (codes <= asked or len(asked) >= MOST_UNLABELLED) and self.now() < known.since + UNLABELLED_FOR:
            return
        asked |= codes
        self._described.pop(name, None)


@dataclass(frozen=True, slots=True)
class _Described:
    """A description, or its absence: when it was read, how long it is used, its number."""

    schema: ObjectSchema | NotAccessible
    since: float
    until: float
    number: int


def _again(error: SyncError, stream: str | None) -> SyncError:
    """Return the same refusal for another poll."""
    return type(error)(error.message, hint=error.hint, source=error.source, stream=stream)


# ---- credentials


_ASSERTED_FOR = timedelta(minutes=3)
"""Salesforce accepts no signed assertion with a longer validity. (docs/sources.md#salesforce-login)"""


class Credentials:
    """The credentials of one source. Secrets are read again at each use; all methods raise ConfigError if that
    fails."""

    def __init__(self, source: str, options: SalesforceSource) -> None:
        self._source = source
        self._options = options

    def open(self, http: Http) -> tuple[str, str]:
        """Return the secret and the host of a new session. Raises whatever simple-salesforce and the connection
        raise."""
        auth, host = self._options.auth, host_of(self._options.domain or "login")
        match auth:
            case SessionId():
                return self._secret(auth.session_id, "session_id"), auth.instance
            case ClientCredentials():
                return self._with_client(http, auth, host)
            case Jwt():
                return self._with_assertion(http, auth, host)
            case Password():
                return self._with_password(http, auth, host)

    def _with_client(self, http: Http, auth: ClientCredentials, host: str) -> tuple[str, str]:
        client, secret = self._text(auth.client_id, "client_id"), self._secret(auth.client_secret, "client_secret")
        basic = base64.b64encode(f"{client}:{secret}".encode()).decode()
        return _token(http, host, client, {"grant_type": "client_credentials"}, {"Authorization": f"Basic {basic}"})

    def _with_assertion(self, http: Http, auth: Jwt, host: str) -> tuple[str, str]:
        client = self._text(auth.client_id, "client_id")
        claims = {
            "iss": client,
            "sub": self._text(auth.username, "username"),
            "aud": f"https://{host_of(auth.audience) if auth.audience else host}",
            "exp": f"{(datetime.now(UTC) + _ASSERTED_FOR).timestamp():.0f}",
        }
        assertion = jwt.encode(claims, self._private_key(auth), algorithm="RS256")
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
        return _token(http, host, client, form, None)

    def _with_password(self, http: Http, auth: Password, host: str) -> tuple[str, str]:
        session, instance = SalesforceLogin(
            scratch_url=f"https://{host}",
            username=self._text(auth.username, "username"),
            password=self._secret(auth.password, "password"),
            security_token=self._secret(auth.security_token, "security_token") if auth.security_token else "",
            sf_version=self._options.api_version,
            client_id="closingdealz-sync",
            session=http,
        )
        return str(session or ""), str(instance or "")

    def _private_key(self, auth: Jwt) -> str:
        pem = self._secret(auth.private_key, "private_key")
        try:
            key = load_pem_private_key(pem.encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, RSAPrivateKey):
            what = "holds no RSA private key in PEM form without a password"
            raise ConfigError([Problem(f"sources.{self._source}.auth.private_key", what)])
        return pem

    def _secret(self, ref: SecretRef, key: str) -> str:
        return ref.read(key=f"sources.{self._source}.auth.{key}").reveal()

    def _text(self, text: Text, key: str) -> str:
        return text if isinstance(text, str) else self._secret(text, key)

    def check_files(self) -> None:
        """Raise ConfigError if a secret or certificate file that the options name cannot be used."""
        options = self._options
        if options.certificates is not None:
            try:
                ssl.create_default_context(cafile=options.certificates)
            except OSError:
                key = f"sources.{self._source}.ca_file"
                raise ConfigError([Problem(key, "cannot be read, or holds no certificates in PEM form")]) from None
        if options.proxy is not None:
            options.proxy.read(key=f"sources.{self._source}.proxy")
        for name in type(options.auth).model_fields:
            value = getattr(options.auth, name)
            if isinstance(value, SecretRef):
                self._secret(value, name)

    def place(self) -> str:
        """Return the organisation's host, without a request.

        A login host (`login`, `test`) names no organisation: there the user's name is added, hashed because it may be a
        person.
        """
        auth, domain = self._options.auth, self._options.domain or "login"
        if isinstance(auth, SessionId):
            return auth.instance
        if is_login_host(domain) and not isinstance(auth, ClientCredentials):
            user = self._text(auth.username, "username").lower().encode()
            return f"{host_of(domain)}/{hashlib.blake2b(user, digest_size=8).hexdigest()}"
        return host_of(domain)


def _token(http: Http, host: str, client: str, form: dict[str, str], headers: dict[str, str] | None) -> tuple[str, str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it would print the client's id
        url = f"https://{host}/services/oauth2/token"
        session, instance = token_login(url, form, host, client, headers, None, http)
    return str(session or ""), str(instance or "")
