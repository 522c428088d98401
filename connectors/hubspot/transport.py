"""One call over the vendor's client: raw JSON in and out, a time limit on every call, no hidden retries.

All calls go through one `ApiClient` that is kept: the client's own properties make a new one, with a new connection
pool, at each access. The client has no time-out of its own, takes a broken 200 for an empty success, and quotes bodies
and headers in its exceptions: none of that leaves this file.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Mapping
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

from connectors.hubspot.options import HubspotSource
from connectors.hubspot.replies import Reply
from sync.secrets import Secret
from sync.words import Json

CONNECT_TIMEOUT = 10.0
LONGEST_BODY = 256 << 20
"""Bytes: more is no answer of this API."""


class Unreachable(Exception):
    """No answer came. `refused`: a person must act; else it may pass."""

    def __init__(self, why: str, hint: str = "", *, refused: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.hint = hint
        self.refused = refused


class Transport(Protocol):
    """The seam: one request, one answer, whatever its status."""

    def send(self, method: str, path: str, query: Mapping[str, str], body: Json) -> Reply:
        """Raises Unreachable."""
        ...

    def use(self, token: Secret) -> None:
        """The token of the calls from now on."""
        ...

    def close(self) -> None: ...


class ClientTransport:
    """The transport over hubspot-api-client. `now` is a clock in seconds, for the limit on a whole call."""

    def __init__(self, options: HubspotSource, token: Secret, proxy: Secret | None, now: Callable[[], float]) -> None:
        self._timeout = options.timeout.total_seconds()
        self._now = now
        self._client = _api_client(options, token, proxy)

    def send(self, method: str, path: str, query: Mapping[str, str], body: Json) -> Reply:
        from hubspot.crm.objects.exceptions import ApiException

        started = self._now()
        try:
            response = self._client.call_api(
                path,
                method,
                query_params=list(query.items()),
                header_params={"Accept": "application/json", "Accept-Encoding": "gzip"},
                body=body,
                auth_settings=["oauth2"],
                _preload_content=False,
                _request_timeout=(min(CONNECT_TIMEOUT, self._timeout), self._timeout),
            )
            content = self._read(response, started)
        except ApiException as error:
            if not error.status:
                raise Unreachable(*_TLS_FAILURE, refused=True) from None
            return _reply(error.status, error.headers or {}, error.body)
        except (HTTPError, OSError) as error:
            raise _unreachable(error, self._timeout) from None
        except UnicodeDecodeError:  # the client decodes error bodies before it shows the status
            raise Unreachable("answers an error with a body that is not text") from None
        except (ValueError, AttributeError):  # from None: they may quote headers, and so the token
            raise Unreachable("gives an answer that the client cannot read") from None
        return _reply(response.status, response.headers, content)

    def use(self, token: Secret) -> None:
        self._client.configuration.access_token = token.reveal()

    def close(self) -> None:
        self._client.rest_client.pool_manager.clear()

    def _read(self, response: urllib3.BaseHTTPResponse, started: float) -> bytes:
        """The body: a server that drips may not hold a poll for ever."""
        parts, size = [], 0
        try:
            while part := response.read1(1 << 16, decode_content=True):
                parts.append(part)
                size += len(part)
                if size > LONGEST_BODY:
                    raise Unreachable("answers with a body that has no end")
                if self._now() - started > self._timeout:
                    raise Unreachable(f"does not answer within {self._timeout:g} s")
        except BaseException:
            response.close()
            raise
        response.release_conn()
        return b"".join(parts)


def _api_client(options: HubspotSource, token: Secret, proxy: Secret | None) -> Any:
    import hubspot

    client = hubspot.Client.create(
        access_token=token.reveal(),
        host=options.base_url,
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
    return Reply(status, lowered, body if isinstance(body, dict) else None)


_TLS_FAILURE = ("makes no TLS connection", "is base_url right? Behind an inspecting proxy set ca_file")


def _unreachable(error: Exception, timeout: float) -> Unreachable:
    cause = error.reason if isinstance(error, MaxRetryError) and error.reason else error
    if isinstance(cause, SSLError | ssl.SSLError):
        return _no_tls(cause)
    match cause:
        case ProxyError():
            return Unreachable("cannot be reached through the proxy", "look at proxy")
        case NameResolutionError():
            return Unreachable("has a name that cannot be resolved", "look at DNS and base_url")
        case ConnectTimeoutError() | NewConnectionError():
            return Unreachable("cannot be connected to", "look at the network and base_url")
        case ReadTimeoutError() | TimeoutError():
            return Unreachable(f"does not answer within {timeout:g} s")
    return Unreachable("broke the connection off")


def _no_tls(error: Exception) -> Unreachable:
    inner = error.args[0] if error.args else None
    if not isinstance(inner, ssl.SSLCertVerificationError):
        return Unreachable(*_TLS_FAILURE)
    what = f"shows a certificate that is not trusted: {inner.verify_message}"
    return Unreachable(what, _TLS_FAILURE[1], refused=True)
