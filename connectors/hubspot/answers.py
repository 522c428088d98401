"""Strict reading of answers: one that lacks what it must have is no empty one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sync.shared.words import Json


class Malformed(Exception):
    """An answer that lacks what it must have: to be asked for again."""


def results_of(body: Mapping[str, Json]) -> list[Mapping[str, Json]]:
    """The rows of an answer. Raises Malformed: an answer without them is no empty one."""
    return rows_of(body.get("results"))


def rows_of(found: Json) -> list[Mapping[str, Json]]:
    """A list of objects. Raises Malformed."""
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise Malformed("a list of results")
    return found


def one_of(found: Json) -> Mapping[str, Json]:
    """An object. Raises Malformed."""
    if not isinstance(found, dict):
        raise Malformed("an object where it should be")
    return found


def next_of(body: Mapping[str, Json]) -> str | None:
    """Where the next page begins; None only where the answer names none, however short it is."""
    paging = body.get("paging")
    if paging is None or (isinstance(paging, dict) and paging.get("next") is None):
        return None
    after = paging["next"].get("after") if isinstance(paging, dict) and isinstance(paging["next"], dict) else None
    if not is_id(after):
        raise Malformed("a readable paging.next.after")
    return str(after)


def id_of(row: Mapping[str, Json], key: str = "id") -> str:
    """An id as text; HubSpot gives some as numbers."""
    found = row.get(key)
    if not is_id(found):
        raise Malformed(f"a readable {key}")
    return str(found)


def is_id(value: Json) -> bool:
    return (isinstance(value, str) and value != "") or (isinstance(value, int) and not isinstance(value, bool))


def chunks(ids: Sequence[str], most: int) -> Iterable[Sequence[str]]:
    """The ids in parts of at most so many."""
    return (ids[start : start + most] for start in range(0, len(ids), most))
