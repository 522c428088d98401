"""Short ways to open the stand-in as a source; the conformance suite's world over it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.conformance_world import ContractNames
from connectors.interface import Connector, StreamSpec
from connectors.salesforce.connector import SalesforceConnector
from connectors.salesforce.options import SalesforceChild, SalesforceSource, SalesforceStream
from connectors.salesforce.session import SalesforceSession
from sync.shared.words import Json, Page, Record, Touch, Wanted
from tests.salesforce.sf_faults import Asked
from tests.salesforce.sf_org import sf_id
from tests.salesforce.sf_proxy import Proxy
from tests.salesforce.sf_server import StandIn

COMPANY = Wanted(frozenset({("Name",), ("BillingCity",)}), {"contacts": Wanted(frozenset({("Email",)}))})


def source(stand_in: StandIn, **options: Any) -> SalesforceSource:
    """With an open session, unless `auth` says otherwise."""
    auth = {"flow": "session", "session_id": "open-session", "instance": stand_in.host}
    return SalesforceSource.model_validate({"auth": auth, "ca_file": str(stand_in.authority.ca_file), **options})


CREDENTIALS = {"flow": "client_credentials", "client_id": "the-client-id", "client_secret": "the-client-secret"}


def account(stand_in: StandIn, now: Callable[[], float] | None = None, **options: Any) -> SalesforceSession:
    """`now` is the machine's own clock; it goes as Salesforce's does, unless a test wants another one."""
    return SalesforceSession("sf", source(stand_in, **options), now or (lambda: stand_in.org.now().timestamp()))


def connect(stand_in: StandIn, now: Callable[[], float] | None = None, **options: Any) -> SalesforceConnector:
    return SalesforceConnector(account(stand_in, now, **options))


def log_in(
    stand_in: StandIn, proxy: Proxy, now: Callable[[], float] | None = None, **options: Any
) -> SalesforceConnector:
    """One that logs in at My Domain, by client credentials unless `auth` says otherwise."""
    stand_in.instance = "acme.my.salesforce.com"
    return connect(stand_in, now, **{"auth": CREDENTIALS, "domain": "acme.my", "proxy": proxy.url, **options})


def on(part: str) -> Callable[[Asked], bool]:
    """Requests whose path or query has that in it."""
    return lambda asked: part in asked.path or part in (asked.soql or "")


def stream(
    wanted: Wanted = COMPANY,
    name: str = "Account",
    *,
    page_size: int = 1000,
    overlap: float = 600,
    settle: float = 5,
    children: Mapping[str, Mapping[str, Any]] | None = None,
    readers: Mapping[tuple[str, ...], list[str]] | None = None,
    **options: Any,
) -> StreamSpec:
    """Accounts with their contacts, unless it says otherwise."""
    if children is None:
        children = {"contacts": {"object": "Contact", "via": "AccountId"}} if name == "Account" else {}
    return StreamSpec(
        "sf",
        "accounts",
        SalesforceStream.model_validate({"object": name, **options}),
        {key: SalesforceChild.model_validate(child) for key, child in children.items()},
        wanted,
        timedelta(seconds=overlap),
        timedelta(seconds=settle),
        page_size,
        readers or {},
    )


def fields(*names: str) -> Wanted:
    return Wanted(frozenset(tuple(name.split(".")) for name in names))


def poll(connector: Connector, spec: StreamSpec, lanes: dict[str, Json], stop_after: int | None = None) -> list[Page]:
    """One poll; `lanes` moves with it, through JSON."""
    pages = []
    for page in connector.read(spec, lanes):
        lanes[page.lane] = json.loads(json.dumps(page.cursor))
        pages.append(page)
        if stop_after is not None and len(pages) == stop_after:
            break
    return pages


def records_of(pages: list[Page]) -> dict[str, Record]:
    return {record.id: record for page in pages for record in page.records}


def settle_down(stand_in: StandIn) -> None:
    """Lets all that was written be older than any overlap."""
    stand_in.org.advance(timedelta(hours=1))


class Reading:
    """A connector with its lanes, past its first reading."""

    def __init__(self, stand_in: StandIn, spec: Any = None, **options: Any) -> None:
        self.stand_in = stand_in
        self.spec = spec or stream()
        self.connector = connect(stand_in, **options)
        self.lanes: dict[str, Json] = {}

    def pages(self) -> list[Page]:
        """What a poll brings an hour later."""
        settle_down(self.stand_in)
        return poll(self.connector, self.spec, self.lanes)

    def records(self) -> dict[str, Record]:
        return records_of(self.pages())

    def touched(self) -> list[Touch]:
        return [touch for page in self.pages() for touch in page.touched]

    def listed(self) -> list[str]:
        return [id_ for listing in self.connector.sweep(self.spec, None) for id_, _ in listing.rows]


def firms(stand_in: StandIn, count: int = 3) -> list[str]:
    return [stand_in.org.put("Account", number, Name=f"Firm {number}") for number in range(count)]


class SalesforceWorld:
    """Companies are accounts, contacts are contacts. Answers hold at most `batch` rows."""

    names = ContractNames("Name", "BillingCity", "Description", "contacts", "Email")
    null_modified = False

    def __init__(self, stand_in: StandIn, batch: int = 2) -> None:
        self._stand_in = stand_in
        self._batch = batch
        stand_in.batch_size = batch

    def spec(self, wanted: Wanted, page_size: int, overlap: timedelta, settle: timedelta) -> StreamSpec:
        return stream(wanted, page_size=page_size, overlap=overlap.total_seconds(), settle=settle.total_seconds())

    def connector(self) -> Connector:
        return connect(self._stand_in)

    def now(self) -> datetime:
        return self._stand_in.org.now()

    def advance(self, by: timedelta) -> None:
        self._stand_in.org.advance(by)

    def put(self, number: int, name: str, city: str, at: datetime | None) -> None:
        assert at is not None
        self._stand_in.org.put(
            "Account", number, at, Name=name, BillingCity=city, Description="unwanted", IsDeleted=False
        )

    def delete(self, number: int) -> None:
        self._stand_in.org.delete("Account", sf_id("Account", number))

    def put_contact(self, number: int, company: int | None, email: str, at: datetime) -> None:
        parent = None if company is None else sf_id("Account", company)
        self._stand_in.org.put("Contact", number, at, AccountId=parent, Email=email)

    def id_of(self, number: int) -> str:
        return sf_id("Account", number)

    def contact_id_of(self, number: int) -> str:
        return sf_id("Contact", number)

    def modified_of(self, at: datetime | None) -> str | None:
        return None if at is None else f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.000000Z"

    def clear(self) -> None:
        clock = self._stand_in.org.clock
        self._stand_in.org.clear()
        self._stand_in.org.clock = clock
