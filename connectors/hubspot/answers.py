"""Reads answers strictly: one without its required members is malformed, never empty."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from sync.shared.words import Json


class _Paged(Protocol):
    @property
    def after(self) -> str | None: ...


PagedT = TypeVar("PagedT", bound=_Paged)


class Malformed(Exception):
    """An answer without a required member; the call is repeated."""


def results_of(body: Mapping[str, Json]) -> list[Mapping[str, Json]]:
    """Return the rows of an answer. Raises Malformed."""
    return rows_of(body.get("results"))


def rows_of(found: Json) -> list[Mapping[str, Json]]:
    """Return a list of objects. Raises Malformed."""
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise Malformed("a list of results")
    return found


def one_of(found: Json) -> Mapping[str, Json]:
    """Return an object. Raises Malformed."""
    if not isinstance(found, dict):
        raise Malformed("an object where it should be")
    return found


def next_of(body: Mapping[str, Json]) -> str | None:
    """Return the position of the next page, or None if the answer names none.

    A short or even empty page may have a successor. (docs/sources.md#hubspot-search)
    """
    paging = body.get("paging")
    # HubSpot ends a list by leaving `paging` out, or only its `next`.
    if paging is None or (isinstance(paging, dict) and paging.get("next") is None):
        return None
    after = paging["next"].get("after") if isinstance(paging, dict) and isinstance(paging["next"], dict) else None
    if not is_id(after):
        raise Malformed("a readable paging.next.after")
    return str(after)


def onward(read: Callable[[Mapping[str, Json]], PagedT], after: str | None) -> Callable[[Mapping[str, Json]], PagedT]:
    """Return `read` with a check: a page that names itself as its successor would be read for ever."""

    def check(body: Mapping[str, Json]) -> PagedT:
        page = read(body)
        if page.after is not None and page.after == after:
            raise Malformed("a next page that is another one")
        return page

    return check


def id_of(row: Mapping[str, Json], key: str = "id") -> str:
    """Return an id as text; HubSpot sends some as numbers. Raises Malformed."""
    found = row.get(key)
    if not is_id(found):
        raise Malformed(f"a readable {key}")
    return str(found)


def is_id(value: Json) -> bool:
    """Return true for text that is not empty, and for integers."""
    return (isinstance(value, str) and value != "") or (isinstance(value, int) and not isinstance(value, bool))


def chunks(ids: Sequence[str], most: int) -> Iterable[Sequence[str]]:
    """Return the ids in parts of at most `most`."""
    return (ids[start : start + most] for start in range(0, len(ids), most))
