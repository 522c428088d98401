"""One poll of a stream (the lanes of its children, the live lane, then the backfill), and the sweep."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from connectors.bounds import AnswerBudget, in_parts
from connectors.salesforce.errors import Slow
from connectors.salesforce.lanes import (
    SalesforceBackfill,
    SalesforceLane,
    SalesforceWindow,
    advance,
    backfill_from_json,
    backfill_to_json,
    first_backfill,
    first_lane,
    lane_from_json,
    lane_to_json,
    plan,
)
from connectors.salesforce.options import SalesforceStream
from connectors.salesforce.query_pages import SalesforceRow
from connectors.salesforce.read_plan import ChildObject, ObjectReadPlan, SalesforceReadPlan
from connectors.salesforce.records import SalesforceRecords, id_of, merged_into, when_of
from connectors.salesforce.rest_client import Client
from connectors.salesforce.soql import Select, is_id
from sync.shared.words import Json, Listing, Page, Record, Touch

LIVE = "live"
BACKFILL = "backfill"


def child_lane(name: str) -> str:
    """Return the name of the lane that follows changes of this child."""
    return f"child:{name}"


@dataclass(frozen=True, slots=True)
class _SalesforceContent:
    """The content of a page."""

    records: Sequence[Record] = ()
    touched: Sequence[Touch] = ()


@dataclass(frozen=True, slots=True)
class _SalesforceTrack:
    """An object that is followed; `content` turns rows into the content of a page."""

    lane: str
    source: ObjectReadPlan
    select: Select
    content: Callable[[Sequence[SalesforceRow]], _SalesforceContent]


class SalesforcePoll:
    """One `read`. Salesforce's clock is read once, before anything else."""

    def __init__(self, client: Client, plan: SalesforceReadPlan) -> None:
        self._client = client
        self._plan = plan
        self._makes = SalesforceRecords(client, plan)
        self._overlap = _whole_seconds(plan.spec.overlap)
        self._settle = _whole_seconds(plan.spec.settle)

    def pages(self, lanes: Mapping[str, Json]) -> Iterator[Page]:
        """Yield the poll's pages.

        New lanes begin in an order in which a stop loses nothing: children are followed before their parents are read,
        and the live lane begins before the backfill.
        """
        account = self._client.account
        # Before the first request: a slowed-down poll must cost none.
        account.quota.begin(f"{account.source}.{self._plan.stream}", account.now())
        # One moment for all lanes: the children's windows end where the parents' do.
        now = self._client.now(self._plan.stream)
        for child in self._plan.children:
            yield from self._follow(self._child_track(child), lanes, now)
        yield from self._follow(self._track(), lanes, now)
        yield from self._fill(lanes, now)

    def _page(self, lane: str, cursor: Json, content: _SalesforceContent, *, backfill: bool = False) -> Page:
        """Return the page, with a note of labels that were missing since the last page, also in records that were read
        by id."""
        left_out = self._client.without_label
        notes = {"without_label": dict(left_out)} if left_out else {}
        left_out.clear()
        return Page(lane, cursor, content.records, content.touched, backfill=backfill, notes=notes)

    def _follow(self, track: _SalesforceTrack, lanes: Mapping[str, Json], now: int) -> Iterator[Page]:
        """Yield the changes of one object: first the rest of an interrupted window, then the window up to `now`."""
        stored = lanes.get(track.lane)
        if stored is None or stored["of"] != track.source.of:
            lane = first_lane(track.source.of, now, self._settle)
            if stored is not None:  # dated by another field from now on: everything is read anew
                lane = SalesforceLane(track.source.of, 0)
            yield Page(track.lane, lane_to_json(lane))
        else:
            lane = lane_from_json(stored)
        resumed = lane.window is not None
        backfilled = bool((lanes.get(BACKFILL) or {}).get("done"))
        # An interrupted window ends at an earlier poll's time: after it comes the one up to now.
        for _ in range(2 if resumed else 1):
            if lane.window is None:
                lane = plan(lane, now, self._overlap, self._settle, backfilled=backfilled)
            while lane.window is not None:
                for rest, content in self._contents(track, lane.window):
                    lane = advance(lane, rest)
                    yield self._page(track.lane, lane_to_json(lane), content)
                    del content  # the next page is read without it in memory

    def _fill(self, lanes: Mapping[str, Json], now: int) -> Iterator[Page]:
        """Yield the rest of the backfill, unless it is done."""
        source, stored = self._plan.source, lanes.get(BACKFILL)
        if stored is not None and stored.get("done"):
            return
        if stored is not None and stored["of"] != source.of:
            # the live lane, dated by another field, reads everything anew
            yield Page(BACKFILL, backfill_to_json(SalesforceBackfill(source.of, None)), backfill=True)
            return
        track = _SalesforceTrack(BACKFILL, source, source.rows(*source.selection.fields), self._records)
        backfill = first_backfill(source.of, now, self._settle) if stored is None else backfill_from_json(stored)
        while backfill.window is not None:
            self._client.account.quota.spare(self._plan.stream)
            for rest, content in self._contents(track, backfill.window):
                backfill = replace(backfill, window=rest)
                yield self._page(BACKFILL, backfill_to_json(backfill), content, backfill=True)
                del content
                self._client.account.quota.spare(self._plan.stream)

    def _contents(
        self, track: _SalesforceTrack, window: SalesforceWindow
    ) -> Iterator[tuple[SalesforceWindow | None, _SalesforceContent]]:
        """Yield what `_read` does, with the content of the rows: in parts, where they are too long with their
        children."""

        def read(some: Sequence[SalesforceRow], budget: AnswerBudget) -> tuple[SalesforceRow, _SalesforceContent]:
            with self._client.within(budget):
                return some[-1], track.content(some)

        for rest, rows in self._read(track, window):
            if rest is None or not rows:
                yield rest, track.content(rows)
            else:
                for last, content in in_parts(rows, read, first=len(rows), most=len(rows), held=self._client.held):
                    yield replace(rest, after=id_of(self._client, self._plan, last)), content
                    del content

    def _read(
        self, track: _SalesforceTrack, window: SalesforceWindow
    ) -> Iterator[tuple[SalesforceWindow | None, Sequence[SalesforceRow]]]:
        """Yield pages of a window, each with what is to be read after it.

        That is the rest of the window; at its end the next part, or None after the last one. If Salesforce gives up on
        the query, it is the first half of the rest, with no rows.
        """
        size, rest = self._plan.spec.page_size, window
        select = track.select.where(*track.source.within(window.low, window.high))
        try:
            for batch in self._client.batches(select, self._plan.stream, window.after):
                for start in range(0, len(batch), size):
                    page = batch[start : start + size]
                    rest = replace(rest, after=id_of(self._client, self._plan, page[-1]))
                    yield rest, page
        except Slow:
            if (half := rest.halved()) is None:
                raise
            yield half, ()
        else:
            yield window.next(), ()

    # ---- what the tracks carry

    def _track(self) -> _SalesforceTrack:
        source = self._plan.source
        return _SalesforceTrack(LIVE, source, source.changes(*source.selection.fields), self._records)

    def _records(self, rows: Sequence[SalesforceRow]) -> _SalesforceContent:
        """Return the rows' records, and the records that others were merged into: those may show no change of their
        own."""
        records = self._makes.of(rows)
        here = {record.id for record in records}
        masters = [master for row in rows if (master := merged_into(row)) and master not in here]
        return _SalesforceContent(records=[*records, *self._makes.fetch(masters)] if masters else records)

    def _child_track(self, child: ChildObject) -> _SalesforceTrack:
        def content(rows: Sequence[SalesforceRow]) -> _SalesforceContent:
            return _SalesforceContent(touched=[touch for row in rows for touch in self._touches(child, row)])

        return _SalesforceTrack(child_lane(child.name), child.source, child.source.changes(child.via), content)

    def _touches(self, child: ChildObject, row: SalesforceRow) -> Iterator[Touch]:
        """Yield the parents to read again for a changed child; if it was merged, also the parent of the surviving
        record."""
        parent = row.get(child.via)
        id_ = id_of(self._client, self._plan, row)
        # The engine remembers the former parent, and reads that one again too.
        yield Touch(child.name, id_, parent if isinstance(parent, str) and is_id(parent) else None)
        if (master := merged_into(row)) is not None:
            yield Touch(child.name, master, None)


def _whole_seconds(span: timedelta) -> int:
    """Return the seconds of a span, rounded up."""
    return -(-span // timedelta(seconds=1))


# ---- the sweep


def listings(client: Client, plan: SalesforceReadPlan, cursor: Json) -> Iterator[Listing]:
    """Yield ids and times of change after `cursor`. Raises SourceUnavailable while requests are scarce."""
    options = plan.spec.options
    reread = isinstance(options, SalesforceStream) and options.reread
    size, after = plan.spec.page_size, None if cursor is None else str(cursor["after"])
    waiting: Sequence[SalesforceRow] = ()
    client.account.quota.spare(plan.stream)
    for batch in client.batches(plan.source.rows(), plan.stream, after, patient=True):
        for start in range(0, len(batch), size):
            # One page behind: only when the next one comes is it known that this was not the last.
            if waiting:
                yield _listing(client, plan, waiting, last=False, reread=reread)
            waiting = batch[start : start + size]
        client.account.quota.spare(plan.stream)
    yield _listing(client, plan, waiting, last=True, reread=reread)


def _listing(
    client: Client, plan: SalesforceReadPlan, rows: Sequence[SalesforceRow], *, last: bool, reread: bool
) -> Listing:
    """Return a page of the sweep. With `reread` the times are None: a formula may have changed without moving them."""
    listed = [(id_of(client, plan, row), None if reread else when_of(client, plan, row)) for row in rows]
    return Listing(None if last else {"after": listed[-1][0]}, listed)
