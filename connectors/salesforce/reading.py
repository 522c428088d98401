"""One poll of a stream: the lanes of its children, the live lane, then the backfill."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

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
from connectors.salesforce.query_pages import SalesforceRow
from connectors.salesforce.read_plan import ChildObject, ObjectReadPlan, SalesforceReadPlan
from connectors.salesforce.records import SalesforceRecords, id_of, merged_into
from connectors.salesforce.rest_client import Client
from connectors.salesforce.soql import Select, is_id
from sync.shared.words import Json, Page, Record, Touch

LIVE = "live"
BACKFILL = "backfill"


def child_lane(name: str) -> str:
    """The lane in which changes of that child are followed."""
    return f"child:{name}"


@dataclass(frozen=True, slots=True)
class _Content:
    """What a page carries."""

    records: Sequence[Record] = ()
    touched: Sequence[Touch] = ()


@dataclass(frozen=True, slots=True)
class _Track:
    """An object that is followed, and what a page of its rows carries."""

    lane: str
    source: ObjectReadPlan
    select: Select
    content: Callable[[Sequence[SalesforceRow]], _Content]


class SalesforcePoll:
    """One `read`. Salesforce's clock is looked at once, before anything is read."""

    def __init__(self, client: Client, plan: SalesforceReadPlan) -> None:
        self._client = client
        self._plan = plan
        self._makes = SalesforceRecords(client, plan)
        self._overlap = _whole_seconds(plan.spec.overlap)
        self._settle = _whole_seconds(plan.spec.settle)

    def pages(self, lanes: Mapping[str, Json]) -> Iterator[Page]:
        """The poll's pages. Lanes that do not exist yet begin in an order in which a stop loses nothing: children are
        followed before their parents are read, and the live lane begins before the backfill."""
        account = self._client.account
        account.quota.begin(f"{account.source}.{self._plan.stream}", account.now())
        now = self._client.now(self._plan.stream)
        for child in self._plan.children:
            yield from self._follow(self._child_track(child), lanes, now)
        yield from self._follow(self._track(), lanes, now)
        yield from self._fill(lanes, now)

    def _page(self, lane: str, cursor: Json, content: _Content, *, backfill: bool = False) -> Page:
        """The page, with a note of what was left out since the last one, also of records that were read by id."""
        left_out = self._client.without_label
        notes = {"without_label": dict(left_out)} if left_out else {}
        left_out.clear()
        return Page(lane, cursor, content.records, content.touched, backfill=backfill, notes=notes)

    def _follow(self, track: _Track, lanes: Mapping[str, Json], now: int) -> Iterator[Page]:
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
        for _ in range(2 if resumed else 1):
            if lane.window is None:
                lane = plan(lane, now, self._overlap, self._settle, backfilled=backfilled)
            while lane.window is not None:
                for rest, rows in self._read(track, lane.window):
                    lane = advance(lane, rest)
                    content = track.content(rows)
                    yield self._page(track.lane, lane_to_json(lane), content)

    def _fill(self, lanes: Mapping[str, Json], now: int) -> Iterator[Page]:
        source, stored = self._plan.source, lanes.get(BACKFILL)
        if stored is not None and stored.get("done"):
            return
        if stored is not None and stored["of"] != source.of:
            # the live lane, dated by another field, reads everything anew
            yield Page(BACKFILL, backfill_to_json(SalesforceBackfill(source.of, None)), backfill=True)
            return
        track = _Track(BACKFILL, source, source.rows(*source.selection.fields), self._records)
        backfill = first_backfill(source.of, now, self._settle) if stored is None else backfill_from_json(stored)
        while backfill.window is not None:
            self._client.account.quota.spare(self._plan.stream)
            for rest, rows in self._read(track, backfill.window):
                backfill = replace(backfill, window=rest)
                yield self._page(BACKFILL, backfill_to_json(backfill), track.content(rows), backfill=True)
                self._client.account.quota.spare(self._plan.stream)

    def _read(
        self, track: _Track, window: SalesforceWindow
    ) -> Iterator[tuple[SalesforceWindow | None, Sequence[SalesforceRow]]]:
        """Pages of a window, each with what is to be read after it: the rest of the window, at its end the next part,
        None after the last one. Where Salesforce gives up, the rest is cut in half, to be begun anew."""
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

    def _track(self) -> _Track:
        source = self._plan.source
        return _Track(LIVE, source, source.changes(*source.selection.fields), self._records)

    def _records(self, rows: Sequence[SalesforceRow]) -> _Content:
        """The rows' records, and those that others were merged into: they may have changed without a trace."""
        records = self._makes.of(rows)
        here = {record.id for record in records}
        masters = [master for row in rows if (master := merged_into(row)) and master not in here]
        return _Content(records=[*records, *self._makes.fetch(masters)] if masters else records)

    def _child_track(self, child: ChildObject) -> _Track:
        def content(rows: Sequence[SalesforceRow]) -> _Content:
            return _Content(touched=[touch for row in rows for touch in self._touches(child, row)])

        return _Track(child_lane(child.name), child.source, child.source.changes(child.via), content)

    def _touches(self, child: ChildObject, row: SalesforceRow) -> Iterator[Touch]:
        """A changed child re-reads its parent; one that was merged, also the parent of the one it is now."""
        parent = row.get(child.via)
        id_ = id_of(self._client, self._plan, row)
        yield Touch(child.name, id_, parent if isinstance(parent, str) and is_id(parent) else None)
        if (master := merged_into(row)) is not None:
            yield Touch(child.name, master, None)


def _whole_seconds(span: timedelta) -> int:
    """Rounded up."""
    return -(-span // timedelta(seconds=1))
