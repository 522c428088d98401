"""Sends one call through the vendor's client: raw JSON in and out, a total deadline, no hidden retries.

All calls use one `ApiClient` that is kept: the client's own properties make a new one, with a new connection pool, at
each access. The client also has no default time-out, takes a broken 200 for an empty success, and quotes bodies and
headers in its exceptions. None of that leaves this file. (docs/sources.md#hubspot-api-client)
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from connectors.bounds import LONGEST_ANSWER, LONGEST_ERROR, BeyondBudget, TooLarge, joined
from connectors.exchange import Deadline
from connectors.hubspot.options import HubspotSource
from connectors.hubspot.replies import Reply
from sync.shared.secrets import Secret
from sync.shared.words import Json

CONNECT_TIMEOUT = 10.0
"""Seconds to wait for a connection."""


class Unreachable(Exception):
    """No answer came. `refused` is true if a person must act, else it may pass."""

    def __init__(self, why: str, hint: str = "", *, refused: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.hint = hint
        self.refused = refused


class Transport(Protocol):
    """The seam to the network: one request, one answer, whatever its status."""

    def send(self, method: str, path: str, query: Mapping[str, str], body: Json, most: int | None = None) -> Reply:
        """Send a request. Raises Unreachable if no answer comes, BeyondBudget if it has more than `most` bytes."""
        ...

    def use(self, token: Secret) -> None:
        """Use this token for the calls from now on."""
        ...

    def close(self) -> None: ...


class ClientTransport:
    """The transport over hubspot-api-client. Not thread-safe."""

    def __init__(self, options: HubspotSource, token: Secret, proxy: Secret | None) -> None:
        self._timeout = options.timeout.total_seconds()
        self._deadline = Deadline()
        self._client = _api_client(options, token, proxy)
        rest = self._client.rest_client
        self._deadline.watch(rest.pool_manager)
        # The client has no hook for its pool, and only ever calls `request` on it.
        self._pools = rest.pool_manager = _BoundedPools(rest.pool_manager, self._deadline)

    def send(self, method: str, path: str, query: Mapping[str, str], body: Json, most: int | None = None) -> Reply:
        from hubspot.crm.objects.exceptions import ApiException

        self._pools.most = LONGEST_ANSWER if most is None else min(most, LONGEST_ANSWER)
        try:
            with self._deadline.of(self._timeout):
                response = self._client.call_api(
                    path,
                    method,
                    query_params=list(query.items()),
                    # The client itself asks for no compression; pages with many properties exceed 0.3 MB.
                    header_params={"Accept": "application/json", "Accept-Encoding": "gzip"},
                    body=body,
                    auth_settings=["oauth2"],
                    # Else the client parses the body itself, and a broken one becomes None.
                    _preload_content=False,
                    _request_timeout=(min(CONNECT_TIMEOUT, self._timeout), self._timeout),
                )
        except ApiException as error:
            if not error.status:
                raise Unreachable(*_TLS_FAILURE, refused=True) from None
            return _reply(error.status, error.headers or {}, error.body)
        except TooLarge:
            if most is not None:  # fewer records are then asked for
                raise BeyondBudget from None
            what = f"answers with more than {LONGEST_ANSWER >> 20} MiB"
            raise Unreachable(what, "lower the stream's page_size, or map fewer properties") from None
        except (HTTPError, OSError) as error:
            raise _unreachable(error, self._timeout, late=self._deadline.passed) from None
        except UnicodeDecodeError:  # the client decodes error bodies before it shows the status
            raise Unreachable("answers an error with a body that is not text") from None
        except (ValueError, AttributeError):  # from None: they may quote headers, and so the token
            raise Unreachable("gives an answer that the client cannot read") from None
        return _reply(response.status, response.headers, response.data)

    def use(self, token: Secret) -> None:
        self._client.configuration.access_token = token.reveal()

    def close(self) -> None:
        self._client.rest_client.pool_manager.clear()


class _BoundedPools:
    """A pool manager that reads answers whole, up to a limit of size.

    The client itself reads an error's body without any limit, before it looks at the status.
    """

    def __init__(self, pools: urllib3.PoolManager, deadline: Deadline) -> None:
        self._pools = pools
        self._deadline = deadline
        self.most = LONGEST_ANSWER

    def request(self, method: str, url: str, **options: Any) -> Answered:
        """Return the whole answer. Raises TooLarge; an error whose body is too long is returned with an empty body."""
        response = self._pools.request(method, url, **options)
        is_error = response.status >= 400
        try:
            content = joined(_parts(response), LONGEST_ERROR if is_error else self.most)
        except TooLarge:
            response.close()
            if not is_error:
                raise
            content = b""
        except BaseException:
            response.close()
            raise
        response.release_conn()
        if self._deadline.passed:  # a body without a length ends where the connection was shut
            raise TimeoutError
        return Answered(response.status, response.reason, response.headers, content)

    def clear(self) -> None:
        self._pools.clear()


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer that was read, with the members that the client looks at."""

    status: int
    reason: str | None
    headers: Mapping[str, str]
    data: bytes

    def getheaders(self) -> Mapping[str, str]:
        return self.headers


def _parts(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    while part := response.read1(1 << 16, decode_content=True):
        yield part


def _api_client(options: HubspotSource, token: Secret, proxy: Secret | None) -> Any:
    import hubspot

    client = hubspot.Client.create(
        access_token=token.reveal(),
        host=options.base_url,
        # Our own loop retries, so that limits, deadlines and stops apply.
        retry=urllib3.Retry(total=0, redirect=0, raise_on_redirect=False, raise_on_status=False),
        proxy=None if proxy is None else proxy.reveal(),
        ssl_ca_cert=options.ca_file,
        connection_pool_maxsize=1,
    )
    made = client.crm.objects.basic_api.api_client
    # The client sets these loggers up as it is made; whole bodies go to them.
    for name in ("hubspot", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return made


def _reply(status: int, headers: Mapping[str, str], content: str | bytes | None) -> Reply:
    try:
        body = orjson.loads(content or b"")
    except orjson.JSONDecodeError:
        body = None
    lowered = {name.lower(): value for name, value in headers.items()}
    return Reply(status, lowered, body if isinstance(body, dict) else None, len(content or b""))


_TLS_FAILURE = ("cannot be connected to by TLS", "is base_url right? Behind an inspecting proxy set ca_file")


def _unreachable(error: Exception, timeout: float, *, late: bool) -> Unreachable:
    cause = error.reason if isinstance(error, MaxRetryError) and error.reason else error
    # Past the deadline the socket was shut from outside: the error that follows is only a consequence.
    if late and not isinstance(cause, NameResolutionError):
        cause = TimeoutError()
    if isinstance(cause, SSLError | ssl.SSLError):
        return _no_tls(cause)
    match cause:
        case ProxyError():
            return Unreachable("cannot be reached through the proxy", "look at proxy")
        case NameResolutionError():
            return Unreachable("has a name that cannot be resolved", "check DNS and base_url")
        case ConnectTimeoutError() | NewConnectionError():
            return Unreachable("cannot be connected to", "check the network and base_url")
        case ReadTimeoutError() | TimeoutError():
            return Unreachable(f"does not answer within {timeout:g} s")
    return Unreachable("broke off the connection")


def _no_tls(error: Exception) -> Unreachable:
    inner = error.args[0] if error.args else None
    if not isinstance(inner, ssl.SSLCertVerificationError):
        return Unreachable(*_TLS_FAILURE)
    what = f"shows a certificate that is not trusted: {inner.verify_message}"
    return Unreachable(what, _TLS_FAILURE[1], refused=True)
