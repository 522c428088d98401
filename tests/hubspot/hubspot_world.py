"""The conformance suite's world over the stand-in HubSpot."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.conformance_world import ContractNames
from connectors.hubspot.connector import HubspotConnectorType
from connectors.hubspot.options import HubspotChild, HubspotSource, HubspotStream
from connectors.interface import Connector, StreamSpec
from sync.shared.errors import SyncError
from sync.shared.words import Wanted
from tests.hubspot.hubspot_portal import Portal
from tests.hubspot.hubspot_server import TOKEN, Standin

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)


def source(standin: Standin, **options: Any) -> HubspotSource:
    return HubspotSource.model_validate({"token": TOKEN, "base_url": standin.url, "api": standin.api, **options})


def spec(wanted: Wanted, object_: str = "companies", children: dict[str, Any] | None = None, **more: Any) -> StreamSpec:
    """A stream of the source `hub`; `list` is its option of that name."""
    stream = HubspotStream.model_validate({"object": object_, "list": more.pop("list", None)})
    models = {name: HubspotChild.model_validate(each) for name, each in (children or {}).items()}
    spans = {"overlap": timedelta(minutes=10), "settle": timedelta(seconds=5), **more}
    return StreamSpec("hub", object_, stream, models, wanted, **spans)


class HubspotWorld:
    """Companies and associated contacts of an account; ids are as long as HubSpot's."""

    names = ContractNames()
    null_modified = False

    def __init__(self, standin: Standin, **options: Any) -> None:
        self.standin = standin
        self.portal: Portal = standin.portal
        self.options = source(standin, **options)
        self._type = HubspotConnectorType(self.portal.clock)

    def spec(self, wanted: Wanted, page_size: int, overlap: timedelta, settle: timedelta) -> StreamSpec:
        return spec(
            wanted, children={"contacts": {"object": "contacts"}}, overlap=overlap, settle=settle, page_size=page_size
        )

    def connector(self) -> Connector:
        return self._type.open("hub", self.options)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.portal.clock.time, UTC)

    def advance(self, by: timedelta) -> None:
        self.portal.clock.time += by.total_seconds()

    def put(self, number: int, name: str, city: str, at: datetime | None) -> None:
        assert at is not None
        self.portal.put("companies", self._id(number), _ms(at), name=name, city=city, secret="unwanted")

    def delete(self, number: int) -> None:
        self.portal.delete("companies", self._id(number))

    def put_contact(self, number: int, company: int | None, email: str, at: datetime) -> None:
        id_ = int(self.contact_id_of(number))
        self.portal.put("contacts", id_, _ms(at), email=email)
        self.portal.unlink("contacts", id_, "companies")
        if company is not None:
            self.portal.link("contacts", id_, "companies", self._id(company), primary=number % 2 == 0)

    def id_of(self, number: int) -> str:
        return str(self._id(number))

    def contact_id_of(self, number: int) -> str:
        return str(700 + number * 97)

    def modified_of(self, at: datetime | None) -> str | None:
        assert at is not None
        return (EPOCH + (at - EPOCH) // MS * MS).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def clear(self) -> None:
        self.portal.clear()

    @staticmethod
    def _id(number: int) -> int:
        return 40 + number * 36


def _ms(at: datetime) -> int:
    return (at - EPOCH) // MS


COMPANIES = spec(Wanted(frozenset({("name",)})))


def opened(standin: Standin, **options: Any) -> Connector:
    """A connector of its own, at its own pace."""
    return HubspotConnectorType(standin.portal.clock).open("hub", source(standin, **options))


def poll(connector: Connector, stream: StreamSpec = COMPANIES) -> list[str]:
    """A first poll: the ids that it reads."""
    return [record.id for page in connector.read(stream, {}) for record in page.records]


def failure(standin: Standin, **options: Any) -> SyncError:
    """How a first poll fails, without a word of the token."""
    with pytest.raises(SyncError) as caught:
        poll(opened(standin, **options))
    said = f"{caught.value} {caught.value.__cause__} {caught.value.__context__}"
    assert TOKEN not in said
    assert "canary" not in said
    return caught.value


@contextmanager
def talking(say: Any, heard: list[bytes] | None = None) -> Iterator[str]:
    """A server that says its piece on every connection, once it `heard` something."""
    server = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                (heard if heard is not None else []).append(connection.recv(65536))
                try:
                    say(connection, over)
                except OSError:
                    continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    finally:
        over.set()
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()
