"""Reads all records of a window of modified times by search, although a query returns at most 10,000.

A search does not keep to its sort order, and its offsets shift while records change. So the records of a window are
taken as a set, compared with the `total` that HubSpot counts, and read again if some are missing. A window with too
many records is halved, down to one millisecond; a millisecond with too many is read by id.
(docs/sources.md#hubspot-search)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from connectors.hubspot.api_paths import modified_property
from connectors.hubspot.crm import LIST_LIMIT, SEARCH_LIMIT, Crm, HubSpotPage, HubSpotRow
from connectors.hubspot.values import milliseconds
from sync.shared.words import Json

CAP = 10_000
"""Results of one query that can be paged through."""
ROOM = 200
"""Records that may come in while a window is read, before it has to be halved."""
READINGS = 3
"""Times a window is read before records that are still missing are left to the settled pass and the sweep."""
FIRST = 1000
"""Earliest time in a filter (ms): one at 1970-01-01T00:00:00Z makes HubSpot answer 500."""

UNSEEN_OK = 2 * 3600 * 1000
"""Milliseconds for which a new record may be missing from the search of an otherwise empty object."""

Stamp = tuple[str, int | None]
"""A record's id, and its modified time (ms since 1970) as the search shows it."""


@dataclass(frozen=True, slots=True)
class FoundStamps:
    """Records of a part of the window: all up to `through`. `within` (a millisecond and an id) says how far the
    millisecond after it is read."""

    stamps: Sequence[Stamp]
    through: int
    within: tuple[int, str] | None = None
    notes: dict[str, Json] = field(default_factory=dict)


class Search:
    """Searches one object by its modified time."""

    def __init__(self, crm: Crm, name: str) -> None:
        self._crm = crm
        self._name = name
        self.property = modified_property(name)

    def window(self, low: int, high: int, within: tuple[int, str] | None = None) -> Iterator[FoundStamps]:
        """Yield all records of `low <= modified <= high`, in parts from the earliest to the latest. `within` resumes in
        `low`."""
        low = max(low, FIRST)
        if within is not None:
            # The rest of a millisecond that an earlier poll read in part.
            yield from self._crowd(within[0], within[1])
            low = within[0] + 1
        if low <= high:
            yield from self._part(low, high)

    def any(self) -> bool:
        """Return true if a search by the modified property finds any record at all."""
        return self._page(FIRST, None, None).total > 0

    def _part(self, low: int, high: int) -> Iterator[FoundStamps]:
        """Yield the records from `low` to `high`, halving the window until a query can be paged to its end."""
        first = self._page(low, high, None)
        whole = self._whole(low, high, first) if first.total <= CAP - ROOM else None
        if whole is not None:
            yield whole
        elif low == high:
            yield from self._crowd(low, None)
        else:
            # By time, not by count: nothing tells how records are spread over the window.
            middle = (low + high) // 2
            yield from self._part(low, middle)
            yield from self._part(middle + 1, high)

    def _whole(self, low: int, high: int, page: HubSpotPage) -> FoundStamps | None:
        """Return all records of a part, or None if it grew beyond what can be paged through."""
        stamps: dict[str, int | None] = {}
        total = page.total
        # Offsets shift while records change, so a page may skip some: what is missing is found by reading again.
        for reading in range(READINGS):
            if reading:
                page = self._page(low, high, None)
                total = page.total
            while True:
                stamps |= self._stamps(page.rows)
                if page.after is None:
                    break
                # It grew beyond the cap meanwhile; paging on would be a 400.
                if not page.after.isdigit() or int(page.after) + SEARCH_LIMIT > CAP:
                    return None
                page = self._page(low, high, page.after)
            if len(stamps) >= total:
                return FoundStamps(list(stamps.items()), high)
        # Reported in the notes: the settled pass and the sweep read them.
        return FoundStamps(list(stamps.items()), high, notes={"search_lacks": total - len(stamps)})

    def _crowd(self, at: int, after: str | None) -> Iterator[FoundStamps]:
        """Yield the records of one millisecond by keyset: always the first page behind the last id, in HubSpot's own
        order.

        Falls back to the list of all records if that order is not strictly ascending or records are missing.
        """
        seen: set[str] = set()
        order, began = _Order(), after
        expected: int | None = None
        while True:
            page = self._beyond(at, after)
            expected = page.total if expected is None else expected
            stamps = self._stamps(page.rows)
            # Without a strict order, or if ids come twice, keyset paging would skip records or never end.
            if not order.goes_on(stamps) or seen & stamps.keys() or (not stamps and page.after is not None):
                yield from self._listed(at, {"search_out_of_order": True})
                return
            seen |= stamps.keys()
            if page.after is None:
                break
            # The last id as received, never the largest: which order HubSpot follows is unknown.
            after = next(reversed(stamps))
            yield FoundStamps(list(stamps.items()), at - 1, (at, after))
        if len(seen) < expected:  # unless some were modified meanwhile, and left this millisecond
            expected = self._beyond(at, began).total
        if len(seen) < expected:
            yield from self._listed(at, {"search_lacks": expected - len(seen)})
        else:
            yield FoundStamps(list(stamps.items()), at)

    def _listed(self, at: int, notes: dict[str, Json]) -> Iterator[FoundStamps]:
        """Yield the records of one millisecond out of the list of all: slow, but independent of the search."""
        after: str | None = None
        stamps: list[Stamp] = []
        while True:
            page = self._crm.page(self._name, [self.property], after, LIST_LIMIT)
            # Exactly this millisecond: all others have their own window.
            stamps += [(id_, when) for id_, when in self._stamps(page.rows).items() if when == at]
            after = page.after
            if after is None:
                break
        yield FoundStamps(stamps, at, notes={**notes, "listed_instead": True})

    def _stamps(self, rows: Sequence[HubSpotRow]) -> dict[str, int | None]:
        return {str(row["id"]): milliseconds((row.get("properties") or {}).get(self.property)) for row in rows}

    def _page(self, low: int, high: int | None, after: str | None) -> HubSpotPage:
        filters = [_filter(self.property, "GTE", str(low))]
        if high is not None:
            filters.append(_filter(self.property, "LTE", str(high)))
        return self._ask(filters, after)

    def _beyond(self, at: int, id_: str | None) -> HubSpotPage:
        filters = [_filter(self.property, "EQ", str(at))]
        if id_ is not None:
            filters.append(_filter("hs_object_id", "GT", id_))
        return self._ask(filters, None)

    def _ask(self, filters: list[dict[str, str]], after: str | None) -> HubSpotPage:
        body: dict[str, Json] = {
            "filterGroups": [{"filters": filters}],
            # By id: times repeat, and a sort by them is not kept to.
            "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
            "properties": [self.property],
        }
        if after is not None:
            body["after"] = after
        return self._crm.search(self._name, body)


def search_is_blind(crm: Crm, name: str) -> tuple[str, str] | None:
    """Return what is wrong and the cure if a search by the modified property finds none of the records that exist, else
    None.

    Filtering by a wrong property finds nothing, without an error, for good. (docs/sources.md#hubspot-modified-times)
    """
    search = Search(crm, name)
    if search.any():
        return None
    # The list of all records does not depend on the search index.
    rows = crm.page(name, (search.property,), None, 1).rows
    if not rows or not _is_old(rows[0], search.property, crm.account.now().timestamp() * 1000):
        return None
    what = f"{name}: a search by {search.property!r} finds nothing, although there are records"
    return what, "nothing new would ever be seen: ask HubSpot's support, or check whether the token may search them"


def _is_old(row: HubSpotRow, modified: str, now: float) -> bool:
    when = milliseconds((row.get("properties") or {}).get(modified) or row.get("updatedAt"))
    return when is not None and now - when > UNSEEN_OK


class _Order:
    """Follows whether ids ascend, as numbers or as text: HubSpot does not document which of the two its search uses."""

    def __init__(self) -> None:
        self._last = ""
        self._numbers = self._text = True

    def goes_on(self, ids: dict[str, int | None]) -> bool:
        """Return true while all ids so far ascend in at least one of the two orders."""
        for id_ in ids:
            if self._last:
                self._numbers = self._numbers and id_.isdigit() and int(self._last) < int(id_)
                self._text = self._text and self._last < id_
            self._last = id_
        return self._numbers or self._text


def _filter(name: str, operator: str, value: str) -> dict[str, str]:
    return {"propertyName": name, "operator": operator, "value": value}
