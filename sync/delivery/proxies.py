"""The proxy that the environment names for an address, found the way httpx finds it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from sync.config.value_types import is_loopback


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy's address, name and password; its text shows neither name nor password."""

    scheme: str
    host: str
    port: int
    login: str = ""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def proxy_of(url: str) -> Proxy | None:
    """Return the proxy for this address; None where there is none, or none that can be read. Loopback has none."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    named = getproxies_environment()
    # httpx's own order: the scheme's variable, then ALL_PROXY
    text = named.get(parts.scheme) or named.get("all")
    if not text or is_loopback(host) or proxy_bypass(host):
        return None
    try:
        proxy = urlsplit(text if "://" in text else f"http://{text}")
        port = proxy.port or (443 if proxy.scheme == "https" else 80)
    except ValueError:
        return None
    login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}" if proxy.username else ""
    return Proxy(proxy.scheme, proxy.hostname or "", port, login)
