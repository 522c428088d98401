"""The HubSpot connector: reads one account with the token of a private app or a service key."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from importlib.resources import files
from typing import Literal, cast
from urllib.parse import urlsplit

from pydantic import BaseModel

from connectors.bounds import BeyondBudget, longest_record
from connectors.hubspot.api_paths import standard_name
from connectors.hubspot.calls import HubSpotCalls, read_token
from connectors.hubspot.checking import fields_of, kinds_of, look_at, objects_of
from connectors.hubspot.crm import Crm
from connectors.hubspot.labels import HubSpotLabels
from connectors.hubspot.lanes import lane_progress
from connectors.hubspot.lists import LANE, Memberships, moves, without_list
from connectors.hubspot.options import HubspotChild, HubspotSource, HubspotStream
from connectors.hubspot.properties import Schema
from connectors.hubspot.read_plan import HubSpotReadPlan, plan_of
from connectors.hubspot.reading import EmittedVersions, HubSpotPoll
from connectors.hubspot.records import HubSpotRecords
from connectors.hubspot.spacing import RequestSpacing
from connectors.hubspot.transport import ClientTransport, Transport
from connectors.hubspot.values import canonical
from connectors.hubspot.windows import search_is_blind
from connectors.interface import Connector, Discovered, FieldKind, Finding, LaneProgress, StreamSpec
from sync.shared.clock import Clock, SystemClock
from sync.shared.errors import ConfigError, Problem, SourceRefused
from sync.shared.secrets import Secret
from sync.shared.words import Json, Listing, Page, Record


class HubspotConnector:
    """One opened account. `connect` makes the transport from the token when the first call is made."""

    def __init__(
        self,
        source: str,
        options: HubspotSource,
        pace: RequestSpacing,
        clock: Clock,
        connect: Callable[[Secret], Transport],
    ) -> None:
        self._options = options
        self._account = HubSpotCalls(source, options, clock, pace, connect)
        self._crm = Crm(self._account)
        self._schema = Schema(self._crm, clock)
        self._labels = HubSpotLabels(self._schema, clock)
        self._lists = Memberships(self._account, clock)
        # By stream, then by lane. Kept from poll to poll: windows overlap.
        self._emitted: dict[str, dict[str, EmittedVersions]] = {}
        self._proven: set[str] = set()

    def identity(self, stream: StreamSpec) -> Mapping[str, str]:
        """Return what must stay the same for the stream's ledger to stay valid."""
        options = cast("HubspotStream", stream.options)
        return {
            "connector": "hubspot",
            "organisation": urlsplit(self._options.base_url).netloc,
            "object": standard_name(options.object),
            "key": "id",
        }

    def account(self, stream: StreamSpec) -> str:
        self._account.stream = stream.name
        return f"HubSpot account {self._account.portal().id}"

    def check(self, stream: StreamSpec) -> Sequence[Finding]:
        self._account.stream = stream.name
        return look_at(self._crm, self._schema, self._labels, without_list(stream), self._options)

    def discover(self, name: str | None) -> Sequence[Discovered]:
        self._account.portal()
        return objects_of(self._schema) if name is None else fields_of(self._schema, self._labels, name)

    def describe(self, stream: StreamSpec) -> Mapping[tuple[str, ...], FieldKind]:
        return kinds_of(self._plan(stream), self._schema, self._labels)

    def position(self, stream: StreamSpec) -> str:
        self._account.stream = stream.name
        self._account.portal()
        return canonical(int(self._account.now().timestamp()) * 1000)

    def size(self, stream: StreamSpec) -> int | None:
        plan = self._plan(stream)
        with self._naming_vanished(plan):
            return self._crm.total(plan.object)

    def read(self, stream: StreamSpec, lanes: Mapping[str, Json]) -> Iterator[Page]:
        plan = self._plan(stream)
        with self._naming_vanished(plan):
            # Before the reader is made: who is in the list decides what is read of a record.
            self._lists.renew(stream, plan.object, first=LANE not in lanes)
            reader = self._reader(plan)
            known = self._lists.known(stream, plan.object)
            # Joining or leaving does not move a record's modified time, so no window shows it.
            yield from moves(lanes.get(LANE), known, reader.parts)
            yield from self._poll(plan, reader).pages(lanes)

    def fetch(self, stream: StreamSpec, ids: Sequence[str]) -> Sequence[Record]:
        return [record for part in self.fetch_in_parts(stream, ids) for record in part]

    def fetch_in_parts(self, stream: StreamSpec, ids: Sequence[str]) -> Iterator[Sequence[Record]]:
        # Ids come from people too (`show`, `reread`): HubSpot answers 400 for the whole batch if one is no number.
        asked = [id_ for id_ in ids if id_.isascii() and id_.isdigit() and len(id_) < 20]
        if not asked:
            return
        plan = self._plan(stream)
        with self._naming_vanished(plan):
            for _, records in self._reader(plan).parts(list(dict.fromkeys(asked))):
                yield records
                del records  # the next ones are read without these in memory

    def sweep(self, stream: StreamSpec, cursor: Json) -> Iterator[Listing]:
        plan = self._plan(stream)
        with self._naming_vanished(plan):
            yield from self._poll(plan, self._reader(plan)).listings(cursor)

    def close(self) -> None:
        self._account.close()

    def _poll(self, plan: HubSpotReadPlan, reader: HubSpotRecords) -> HubSpotPoll:
        for name in (plan.object, *(child.object for child in plan.children)):
            self._prove(name)
        emitted = self._emitted.setdefault(plan.spec.name, {})
        return HubSpotPoll(self._crm, reader, self._options, self._account.now(), emitted)

    def _reader(self, plan: HubSpotReadPlan) -> HubSpotRecords:
        members = self._lists.known(plan.spec, plan.object)
        return HubSpotRecords(self._crm, self._schema, self._labels, plan, None if members is None else members.ids)

    def _plan(self, stream: StreamSpec) -> HubSpotReadPlan:
        self._account.stream = stream.name
        self._account.portal()
        return plan_of(without_list(stream), self._schema)

    @contextmanager
    def _naming_vanished(self, plan: HubSpotReadPlan) -> Iterator[None]:
        """Report a custom object that was deleted as deleted, and a record that is too long as that.

        HubSpot itself only answers that it cannot understand a call for such an object.
        """
        try:
            yield
        except BeyondBudget:
            self._account.refuse(longest_record(), "map fewer properties")
        # Asked only now: a look at the custom objects before every poll would cost a call each.
        except SourceRefused:
            for name, called in plan.called.items():
                self._schema.refuse_vanished(name, called)
            raise

    def _prove(self, name: str) -> None:
        """Refuse the object if a search by its modified property finds nothing although records exist. Checked once an
        object."""
        if name not in self._proven:
            if unseen := search_is_blind(self._crm, name):
                self._account.refuse(*unseen)
            self._proven.add(name)


class HubspotConnectorType:
    """The connector as the engine sees it before it opens a source. Sources with the same options share one request
    spacing."""

    name = "hubspot"
    every = timedelta(minutes=1)
    source_options: type[BaseModel] = HubspotSource
    stream_options: type[BaseModel] = HubspotStream
    child_options: type[BaseModel] = HubspotChild
    vendor_ids: Literal[True] = True
    packages = ("hubspot",)

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._paces: dict[tuple[object, ...], RequestSpacing] = {}
        self._lock = threading.Lock()

    def progress(self, cursor: Json) -> LaneProgress:
        """Return how far a lane is read, from its cursor as the ledger holds it."""
        return lane_progress(cursor)

    def starters(self) -> Mapping[str, str]:
        """Return the file to start from."""
        return {"": files(__package__).joinpath("starter.toml").read_text(encoding="utf-8")}

    def open(self, source: str, options: BaseModel) -> Connector:
        """Open the source. Raises ConfigError if `token` or `proxy` cannot be read, or `ca_file` holds no
        certificates."""
        own = cast("HubspotSource", options)
        # Only to fail early: the connector reads it again when it connects.
        read_token(source, own)
        proxy = None if own.proxy is None else own.proxy.read(key=f"sources.{source}.proxy")
        if own.ca_file is not None:
            _check_ca_file(own.ca_file, f"sources.{source}.ca_file")

        def connect(token: Secret) -> Transport:
            return ClientTransport(own, token, proxy)

        return HubspotConnector(source, own, self._pace(source, own), self._clock, connect)

    def _pace(self, source: str, options: HubspotSource) -> RequestSpacing:
        """Return the request spacing that all streams of a source share.

        It outlives the connectors, which are closed after every failure: a rest that HubSpot asked for must not be
        forgotten.
        """
        settings = (options.searches_per_second, options.share, options.reserve)
        with self._lock:
            # Not by token: a rotated one is still the same account with the same limits.
            key = (source, options.base_url, *settings)
            pace = self._paces.get(key)
            if pace is None:
                pace = self._paces[key] = RequestSpacing(
                    self._clock,
                    searches_per_second=options.searches_per_second,
                    share=options.share,
                    reserve=options.reserve,
                )
            return pace


def _check_ca_file(path: str, key: str) -> None:
    """Raise ConfigError if the file cannot be read or holds no certificates."""
    import ssl

    try:
        ssl.create_default_context(cafile=path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it holds no certificates"
        raise ConfigError([Problem(key, f"the file {path} cannot be used: {reason}")]) from None


CONNECTOR = HubspotConnectorType()
