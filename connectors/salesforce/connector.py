"""The Salesforce connector: reads any object by the time of its changes, with children. It never writes."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from importlib.resources import files
from typing import TYPE_CHECKING, Literal, cast

from pydantic import BaseModel

from connectors.interface import Connector, Discovered, FieldKind, Finding, LaneProgress, StreamSpec
from connectors.salesforce.lanes import lane_progress
from connectors.salesforce.options import SalesforceChild, SalesforceSource, SalesforceStream
from sync.shared.errors import SourceRefused
from sync.shared.words import Json, Listing, Page, Record

if TYPE_CHECKING:  # half a second, and not everybody has it installed
    from connectors.salesforce.read_plan import SalesforceReadPlan
    from connectors.salesforce.rest_client import Client
    from connectors.salesforce.session import SalesforceSession


class SalesforceConnector:
    """One organisation, opened for one stream. All streams of the source share the session `account`."""

    def __init__(self, account: SalesforceSession) -> None:
        from connectors.salesforce.rest_client import Client

        self._account = account
        self._client: Client = Client(account)

    def identity(self, stream: StreamSpec) -> Mapping[str, str]:
        options = cast("SalesforceStream", stream.options)
        return {"connector": "salesforce", "organisation": self._account.credentials.place(), "object": options.object}

    def check(self, stream: StreamSpec) -> Sequence[Finding]:
        from connectors.salesforce.checking import look_at

        # `check` is run right after permissions were changed: cached descriptions would hide that.
        self._account.forget_schemas()
        return list(look_at(self._client, stream))

    def position(self, stream: StreamSpec) -> str:
        from connectors.salesforce.soql import moment

        return moment(self._client.now(stream.name))

    def size(self, stream: StreamSpec) -> int | None:
        from connectors.salesforce.errors import Slow

        try:
            return self._client.count(self._plan(stream).source.rows(), stream.name)
        except Slow:
            return None

    def read(self, stream: StreamSpec, lanes: Mapping[str, Json]) -> Iterator[Page]:
        from connectors.salesforce.reading import SalesforcePoll

        with self._planned(stream) as plan:
            yield from SalesforcePoll(self._client, plan).pages(lanes)

    def fetch(self, stream: StreamSpec, ids: Sequence[str]) -> Sequence[Record]:
        return [record for part in self.fetch_in_parts(stream, ids) for record in part]

    def fetch_in_parts(self, stream: StreamSpec, ids: Sequence[str]) -> Iterator[Sequence[Record]]:
        from connectors.salesforce.records import SalesforceRecords

        if not ids:
            return
        with self._planned(stream) as plan:
            yield from SalesforceRecords(self._client, plan).fetch_in_parts(ids)

    def sweep(self, stream: StreamSpec, cursor: Json) -> Iterator[Listing]:
        from connectors.salesforce.reading import listings

        with self._planned(stream) as plan:
            yield from listings(self._client, plan, cursor)

    def describe(self, stream: StreamSpec) -> Mapping[tuple[str, ...], FieldKind]:
        from connectors.salesforce.checking import kinds_of

        return kinds_of(self._plan(stream))

    def discover(self, name: str | None) -> Sequence[Discovered]:
        from connectors.salesforce.checking import fields_of, objects

        return objects(self._client) if name is None else fields_of(self._client, name)

    def close(self) -> None:
        self._client.close()

    def _plan(self, stream: StreamSpec) -> SalesforceReadPlan:
        """Return the stream's read plan.

        Descriptions of objects are cached: those that a refusal rests on are read again before the refusal is believed.
        """
        from connectors.salesforce.errors import Doubtful
        from connectors.salesforce.read_plan import plan_of

        before = self._account.descriptions
        while True:  # once for each object at most: no description is forgotten that is younger
            try:
                return plan_of(self._client, stream)
            except Doubtful as doubtful:
                if not self._account.forget(doubtful.objects, before):
                    raise doubtful.settled() from None

    @contextlib.contextmanager
    def _planned(self, stream: StreamSpec) -> Iterator[SalesforceReadPlan]:
        """Provide the read plan; if Salesforce refuses a query made from it, forget the descriptions behind the plan.

        The next attempt reads them again. An unknown field is named with the line of the mapping that wants it.
        """
        from connectors.salesforce.errors import FieldRefused
        from connectors.salesforce.read_plan import with_readers

        plan = self._plan(stream)
        try:
            yield plan
        except SourceRefused as refused:
            # If Salesforce names the object, only that description is doubted; the others cost a request each.
            named = {refused.entity} & plan.objects if isinstance(refused, FieldRefused) else None
            self._account.forget(named or plan.objects, self._account.descriptions)
            if isinstance(refused, FieldRefused):
                # Raises the better error, with all missing fields, if the fresh description lacks the field too.
                self._plan(stream)
                raise with_readers(refused, stream) from None
            raise


class Accounts:
    """One session for each source of the configuration in force; a reloaded configuration gets sessions of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_options: dict[int, SalesforceSession] = {}

    def of(self, source: str, options: SalesforceSource) -> SalesforceSession:
        """Return the session of the source with these very options."""
        from connectors.salesforce.session import SalesforceSession

        # By identity: options that were read anew are other ones, even if they are equal.
        key = id(options)
        with self._lock:
            if key not in self._by_options:
                # a copy: the account must not keep the options alive, whose end is its own
                self._by_options[key] = SalesforceSession(source, options.model_copy())
                weakref.finalize(options, self._by_options.pop, key, None)
            return self._by_options[key]


class SalesforceConnectorType:
    """The connector as the engine sees it before it opens a source."""

    name = "salesforce"
    every = timedelta(minutes=2)
    source_options: type[BaseModel] = SalesforceSource
    stream_options: type[BaseModel] = SalesforceStream
    child_options: type[BaseModel] = SalesforceChild
    vendor_ids: Literal[True] = True
    packages = ("simple_salesforce",)

    def __init__(self) -> None:
        self._accounts = Accounts()

    def progress(self, cursor: Json) -> LaneProgress:
        """Return how far a lane is read, from its cursor as the ledger holds it."""
        return lane_progress(cursor)

    def starters(self) -> Mapping[str, str]:
        """Return the file to start from."""
        return {"": files(__package__).joinpath("starter.toml").read_text(encoding="utf-8")}

    def open(self, source: str, options: BaseModel) -> Connector:
        """Open the source. Raises ConfigError if a secret cannot be read."""
        account = self._accounts.of(source, cast("SalesforceSource", options))
        account.credentials.check_files()
        return SalesforceConnector(account)


CONNECTOR = SalesforceConnectorType()
