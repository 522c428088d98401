"""The configuration keys of the HubSpot connector; their descriptions are the reference in the docs."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from connectors.hubspot.api_paths import DEFAULT_FAMILY, FAMILIES, LEGACY_APPS_END, newest_family
from connectors.interface import EndOfSupport
from sync.shared.durations import Duration
from sync.shared.secrets import SecretRef

_OBJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
# No user or password: those would be sent to whatever host stands behind them.
_HOST = re.compile(r"[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\]")


def _an_object(name: str) -> str:
    if not _OBJECT.fullmatch(name):
        raise ValueError('must be an object such as "companies", "contacts", "2-123456" or a custom object\'s name')
    return name


def _a_family(name: str) -> str:
    if name not in FAMILIES:
        raise ValueError("must be " + " or ".join(f'"{known}"' for known in FAMILIES))
    return name


def _a_base_url(value: str) -> str:
    """Return `scheme://host[:port]`. Raises ValueError, whose message never shows the value: it may hold a password."""
    try:
        url = urlsplit(value)
        port = url.port
    except ValueError:
        raise ValueError('must be an address such as "https://api.hubapi.com"') from None
    # `hostname` would drop what must be refused here, such as a user.
    host = url.netloc.rpartition(":")[0] if port is not None else url.netloc
    if url.scheme not in ("https", "http") or not _HOST.fullmatch(host):
        raise ValueError('must be an address such as "https://api.hubapi.com"')
    if url.path not in ("", "/") or url.query or url.fragment:
        raise ValueError("must end after the host and port: the program adds the API's path")
    if url.scheme == "http" and not _is_loopback(url.hostname or ""):
        raise ValueError("must be https: plain http is allowed only to this machine (127.0.0.1, ::1, localhost)")
    return f"{url.scheme}://{url.netloc.lower()}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


ObjectName = Annotated[str, AfterValidator(_an_object)]
BaseUrl = Annotated[str, AfterValidator(_a_base_url)]
FamilyName = Annotated[str, AfterValidator(_a_family)]


ListName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255)]
MEMBER = "@list"
"""The field of a record's data that is true for members of the stream's list."""


class _HubSpotTable(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)


class HubspotSource(_HubSpotTable):
    """Keys of `[sources.X]` with `connector = "hubspot"`."""

    token: SecretRef = Field(
        description="The access token of a private app, or a service key. It is read again when HubSpot refuses it."
    )
    portal: int | None = Field(
        None,
        ge=1,
        description="The account (Hub ID) that the token must open. Without it, the account of the first poll is kept.",
    )
    base_url: BaseUrl = Field(
        "https://api.hubapi.com",
        description="Where the API is. Plain http is allowed only to this machine.",
    )
    token_kind: Literal["service_key", "private_app"] | None = Field(
        None,
        description="Where the token comes from: legacy private apps lose support in 2027, service keys do not.",
    )
    api: FamilyName = Field(
        DEFAULT_FAMILY,
        description='The family of paths: a dated one, or "legacy" (v3 and v4, supported until 2027).',
    )
    timeout: Duration = Field(
        timedelta(seconds=60),
        ge=timedelta(milliseconds=100),
        le=timedelta(minutes=10),
        description="How long one call may take in all; it is then tried again.",
    )
    search_lag: Duration = Field(
        timedelta(minutes=60),
        ge=timedelta(minutes=1),
        le=timedelta(days=2),
        description="How late HubSpot's search may show a change: after that time everything is searched once more.",
    )
    bin_every: Duration = Field(
        timedelta(days=1),
        ge=timedelta(minutes=1),
        le=timedelta(days=30),
        description="How often the recycling bin is read for records that were deleted.",
    )
    list_every: Duration = Field(
        timedelta(minutes=10),
        ge=timedelta(seconds=10),
        le=timedelta(days=1),
        description="How often the members of a stream's `list` are asked for: a call for 250 of them.",
    )
    searches_per_second: float = Field(
        2.0,
        gt=0,
        le=5,
        description="Most searches a second; HubSpot allows five to all users of an account together.",
    )
    share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="The share of HubSpot's limit of calls in ten seconds that this source may use.",
    )
    reserve: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="The share of the day's calls that is left to others: below it nothing is read until midnight.",
    )
    proxy: SecretRef | None = Field(
        None, description='A proxy, such as "http://proxy.example.com:3128". It may hold a password, so it is a secret.'
    )
    ca_file: str | None = Field(
        None, description="A file of certificate authorities (PEM) to trust instead of the public ones."
    )

    def endings(self) -> Sequence[EndOfSupport]:
        """Return what HubSpot stops supporting of the configured paths and token, the earliest first."""
        return sorted([*self._of_paths(), *self._of_token()], key=lambda ending: ending.date)

    def _of_paths(self) -> Iterator[EndOfSupport]:
        newest = newest_family().name
        newer = f'set api = "{newest}"' if newest != self.api else "install a newer release of this program"
        for what, day in FAMILIES[self.api].ends.items():
            yield EndOfSupport(day, f'{what} of api = "{self.api}"', newer)

    def _of_token(self) -> Iterator[EndOfSupport]:
        cure = 'make a service key, set it as token, and token_kind = "service_key"'
        match self.token_kind:
            case None:
                yield EndOfSupport(LEGACY_APPS_END, "the token, if it is that of a legacy private app", cure)
            case "private_app":
                yield EndOfSupport(LEGACY_APPS_END, "the token", cure)


class HubspotStream(_HubSpotTable):
    """Keys of `[sources.X.streams.Y]`."""

    object: ObjectName = Field(
        description='"companies", "contacts", "deals", "leads", "tickets", or a custom object by name or type id.'
    )

    list: ListName | None = Field(
        None,
        description="A list (segment), by its id or its name: only its members are read, in addition to `where`.",
    )

    def filters(self) -> Mapping[str, str]:
        """Return the list as a filter that only HubSpot can evaluate."""
        return {} if self.list is None else {MEMBER: self.list}

    def bookkeeping(self) -> frozenset[str]:
        """Return the id, and the times that move although nothing in the record changed."""
        return frozenset({"hs_object_id", "hs_lastmodifieddate", "lastmodifieddate", "hs_updated_by_user_id"})


class HubspotChild(_HubSpotTable):
    """Keys of `[sources.X.streams.Y.children.Z]`: associated records, nested into their parent's as the list Z."""

    object: ObjectName = Field(description="The associated object, such as contacts.")
    limit: int = Field(
        50,
        ge=1,
        le=1000,
        description="How many of them one record carries at most: the primary ones first, then by their ids.",
    )
