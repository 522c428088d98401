"""A window of modified times read whole by search, whatever its size: 10,000 records a query and no more.

The order of a search cannot be trusted and its offsets shift while records change, so a window's records are taken as a
set, held against the `total` that HubSpot counts, and read again where some are missing. A window with too many is
halved, down to one millisecond; one millisecond with too many is read by id.
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
"""So many may come in while a window is read."""
READINGS = 3
"""How often a window is read before what is still missing is left to the settled pass and the sweep."""
FIRST = 1000
"""The earliest time that is searched for: a filter at 1970-01-01T00:00:00Z makes HubSpot fail."""

UNSEEN_OK = 2 * 3600 * 1000
"""Milliseconds for which a new record may be unknown to the search of an otherwise empty object."""

Stamp = tuple[str, int | None]
"""A record's id, and when it was modified (milliseconds since 1970) as the search shows it."""


@dataclass(frozen=True, slots=True)
class FoundStamps:
    """Records of a part of the window. All up to `through` are read; `within` (a millisecond and an id) says how far
    the millisecond after it is."""

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
        """All records of `low <= modified <= high`, in parts from the earliest to the latest."""
        low = max(low, FIRST)
        if within is not None:
            yield from self._crowd(within[0], within[1])
            low = within[0] + 1
        if low <= high:
            yield from self._part(low, high)

    def any(self) -> bool:
        """Whether a search by the modified property finds anything at all."""
        return self._page(FIRST, None, None).total > 0

    def _part(self, low: int, high: int) -> Iterator[FoundStamps]:
        first = self._page(low, high, None)
        whole = self._whole(low, high, first) if first.total <= CAP - ROOM else None
        if whole is not None:
            yield whole
        elif low == high:
            yield from self._crowd(low, None)
        else:
            middle = (low + high) // 2
            yield from self._part(low, middle)
            yield from self._part(middle + 1, high)

    def _whole(self, low: int, high: int, page: HubSpotPage) -> FoundStamps | None:
        """The part read to its end; None where it grew over what can be paged through."""
        stamps: dict[str, int | None] = {}
        total = page.total
        for reading in range(READINGS):
            if reading:
                page = self._page(low, high, None)
                total = page.total
            while True:
                stamps |= self._stamps(page.rows)
                if page.after is None:
                    break
                if not page.after.isdigit() or int(page.after) + SEARCH_LIMIT > CAP:
                    return None
                page = self._page(low, high, page.after)
            if len(stamps) >= total:
                return FoundStamps(list(stamps.items()), high)
        return FoundStamps(list(stamps.items()), high, notes={"search_lacks": total - len(stamps)})

    def _crowd(self, at: int, after: str | None) -> Iterator[FoundStamps]:
        """One millisecond by id: always the first page of what lies behind the last id, as HubSpot orders them."""
        seen: set[str] = set()
        order, began = _Order(), after
        expected: int | None = None
        while True:
            page = self._beyond(at, after)
            expected = page.total if expected is None else expected
            stamps = self._stamps(page.rows)
            if not order.goes_on(stamps) or seen & stamps.keys() or (not stamps and page.after is not None):
                yield from self._listed(at, {"search_out_of_order": True})
                return
            seen |= stamps.keys()
            if page.after is None:
                break
            after = next(reversed(stamps))
            yield FoundStamps(list(stamps.items()), at - 1, (at, after))
        if len(seen) < expected:  # unless some were modified meanwhile, and left this millisecond
            expected = self._beyond(at, began).total
        if len(seen) < expected:
            yield from self._listed(at, {"search_lacks": expected - len(seen)})
        else:
            yield FoundStamps(list(stamps.items()), at)

    def _listed(self, at: int, notes: dict[str, Json]) -> Iterator[FoundStamps]:
        """The records of one millisecond out of the list of all: slow, and independent of the search."""
        after: str | None = None
        stamps: list[Stamp] = []
        while True:
            page = self._crm.page(self._name, [self.property], after, LIST_LIMIT)
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
            "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
            "properties": [self.property],
        }
        if after is not None:
            body["after"] = after
        return self._crm.search(self._name, body)


def search_is_blind(crm: Crm, name: str) -> tuple[str, str] | None:
    """What is wrong, and the cure, where a search by the modified property finds none of the records that there are.

    By a wrong property it finds nothing, without an error, and would for ever.
    """
    search = Search(crm, name)
    if search.any():
        return None
    rows = crm.page(name, (search.property,), None, 1).rows
    if not rows or not _is_old(rows[0], search.property, crm.account.now().timestamp() * 1000):
        return None
    what = f"{name}: a search by {search.property!r} finds nothing, although there are records"
    return what, "nothing new would ever be seen: ask HubSpot's support, or look whether the token may search them"


def _is_old(row: HubSpotRow, modified: str, now: float) -> bool:
    when = milliseconds((row.get("properties") or {}).get(modified) or row.get("updatedAt"))
    return when is not None and now - when > UNSEEN_OK


class _Order:
    """Whether ids go up, as numbers or as text: which of the two HubSpot's search goes by is not documented."""

    def __init__(self) -> None:
        self._last = ""
        self._numbers = self._text = True

    def goes_on(self, ids: dict[str, int | None]) -> bool:
        for id_ in ids:
            if self._last:
                self._numbers = self._numbers and id_.isdigit() and int(self._last) < int(id_)
                self._text = self._text and self._last < id_
            self._last = id_
        return self._numbers or self._text


def _filter(name: str, operator: str, value: str) -> dict[str, str]:
    return {"propertyName": name, "operator": operator, "value": value}
