"""Tests whether a server can be reached: DNS, connection, TLS. Sends no request."""

from __future__ import annotations

import base64
import contextlib
import http.client
import queue
import socket
import ssl
import threading
from dataclasses import dataclass
from urllib.parse import urlsplit

from sync.delivery.proxies import Proxy, proxy_of

_GRACE = 1.0
"""Seconds beyond its time-out after which an attempt is abandoned."""


@dataclass(frozen=True, slots=True)
class Reach:
    """The result of an attempt; `later`: waiting may help, no person is needed."""

    ok: bool
    text: str
    hint: str = ""
    later: bool = False


def reach(base_url: str, *, timeout: float = 10.0, context: ssl.SSLContext | None = None) -> Reach:
    """Resolve, connect and (https) shake hands within `timeout` seconds each, then hang up without a request.

    `context` says which certificates are trusted; None trusts the same as sending leads does.
    """
    result: queue.SimpleQueue[Reach] = queue.SimpleQueue()

    def attempt() -> None:
        result.put(_attempt(base_url, timeout, context))

    # A resolver keeps its own time: it is left behind rather than waited for.
    threading.Thread(target=attempt, name="reach", daemon=True).start()
    try:
        return result.get(timeout=timeout + _GRACE)
    except queue.Empty:
        return Reach(False, f"{base_url} does not answer within {timeout:g} s", "check the network", later=True)


def _attempt(base_url: str, timeout: float, context: ssl.SSLContext | None) -> Reach:
    if proxy := proxy_of(base_url):
        return _through(proxy, base_url, timeout, context)
    try:
        with socket.create_connection(_address(base_url), timeout=timeout) as connection:
            how = ""
            if base_url.startswith("https:"):
                trust = context or _senders_trust()
                with trust.wrap_socket(connection, server_hostname=_address(base_url)[0]) as shielded:
                    how = f" ({shielded.version()})"
            return Reach(True, f"{base_url} can be reached{how}; nothing was sent")
    except OSError as error:
        return _failure(base_url, timeout, error)


def _through(proxy: Proxy, base_url: str, timeout: float, context: ssl.SSLContext | None) -> Reach:
    """Connect through the proxy: with a tunnel for TLS, else only as far as the proxy."""
    try:
        socket.create_connection((proxy.host, proxy.port), timeout=timeout).close()
    except OSError as error:
        text = f"the proxy {proxy}: {_reason(error)}"
        return Reach(False, f"{base_url} cannot be reached: {text}", "check HTTPS_PROXY and DNS", later=True)
    if not base_url.startswith("https:") or proxy.scheme != "http":
        return Reach(True, f"{base_url}: its proxy {proxy} can be reached; nothing was sent")
    trust = context or _senders_trust()
    tunnel = http.client.HTTPSConnection(proxy.host, proxy.port, timeout=timeout, context=trust)
    login = base64.b64encode(proxy.login.encode()).decode()
    tunnel.set_tunnel(*_address(base_url), headers={"Proxy-Authorization": f"Basic {login}"} if login else {})
    try:
        with contextlib.closing(tunnel):
            tunnel.connect()
    except OSError as error:
        # http.client raises a bare OSError for a tunnel that the proxy refuses
        if error.errno is None and not isinstance(error, TimeoutError | ssl.SSLError):
            text = f"{base_url} cannot be reached: the proxy {proxy} will not connect"
            return Reach(False, text, "is this machine allowed to use it, and does it need a user name and password?")
        return _failure(base_url, timeout, error)
    return Reach(True, f"{base_url} can be reached through the proxy {proxy}; nothing was sent")


def _reason(error: OSError) -> str:
    match error:
        case socket.gaierror():
            return "its name cannot be resolved"
        case TimeoutError():
            return "it does not answer"
        case _:
            return error.strerror or type(error).__name__


def _address(base_url: str) -> tuple[str, int]:
    url = urlsplit(base_url)
    return url.hostname or "", url.port or (443 if url.scheme == "https" else 80)


def _failure(base_url: str, timeout: float, error: OSError) -> Reach:
    match error:
        case ssl.SSLCertVerificationError():
            hint = "is base_url right? Behind an inspecting proxy set SSL_CERT_FILE"
            return Reach(False, f"{base_url}: its certificate is not trusted: {error.verify_message}", hint)
        case ssl.SSLError():
            reason = (error.reason or "the connection was closed").replace("_", " ").lower()
            return Reach(False, f"{base_url}: no TLS connection: {reason}", "is base_url right?")
        case socket.gaierror():
            text = f"{base_url}: the name {_address(base_url)[0]} cannot be resolved"
            return Reach(False, text, "check DNS and base_url", later=True)
        case TimeoutError():
            return Reach(False, f"{base_url} does not answer within {timeout:g} s", "check the network", later=True)
        case _:
            return Reach(False, f"{base_url} cannot be reached: {_reason(error)}", "is the server running?", later=True)


def _senders_trust() -> ssl.SSLContext:
    import httpx

    return httpx.create_ssl_context()
