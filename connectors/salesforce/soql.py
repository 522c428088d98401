"""Queries as text. All sort by id, an order without ties, so that a page never splits records of the same time.
(docs/sources.md#salesforce-queries)"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sync.shared.opaque import checksum

BATCH = 2000
"""Rows requested at a time: the most that one answer holds. (docs/sources.md#salesforce-queries)"""

_ID = re.compile(r"[a-zA-Z0-9]{15}(?:[a-zA-Z0-9]{3})?")


@dataclass(frozen=True, slots=True)
class Select:
    """`SELECT fields FROM object WHERE conditions`; `deleted` includes the recycle bin."""

    object: str
    fields: tuple[str, ...]
    conditions: tuple[str, ...] = ()
    deleted: bool = False

    def where(self, *conditions: str | None) -> Select:
        """Return the query with these conditions added; None and "" add nothing."""
        more = tuple(condition for condition in conditions if condition)
        return Select(self.object, self.fields, (*self.conditions, *more), self.deleted)

    def page(self, after: str | None, limit: int) -> str:
        """Return the text of the query for at most `limit` rows after an id."""
        # Not by OFFSET, which ends at 2,000 rows:
        # https://developer.salesforce.com/docs/atlas.en-us.soql_sosl.meta/soql_sosl/sforce_api_calls_soql_select_offset.htm
        conditions = (*self.conditions, *((f"Id > {id_literal(after)}",) if after else ()))
        return f"SELECT {','.join(self.fields)} FROM {self.object}{_where(conditions)} ORDER BY Id LIMIT {limit}"  # noqa: S608 - names and literals of this file

    def count(self) -> str:
        """Return the text of the query that counts the rows."""
        return f"SELECT COUNT() FROM {self.object}{_where(self.conditions)}"  # noqa: S608 - likewise


def _where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def is_id(text: str, prefix: str | None = None) -> bool:
    """Return true for a valid id, of an object whose ids begin with `prefix` if that is given.

    Ids of 15 characters depend on case; the last three of 18 are a checksum of it.
    """
    if not _ID.fullmatch(text) or (prefix and not text.startswith(prefix)):
        return False
    return len(text) == 15 or text[15:] == checksum(text[:15])


def whole_id(id_: str) -> str:
    """Return an id of 15 or 18 characters with 18, as in answers."""
    return id_ + checksum(id_) if len(id_) == 15 else id_


def id_literal(id_: str) -> str:
    """Return an id as SOQL writes it. Raises ValueError for anything else: no other text ever enters a query."""
    if not _ID.fullmatch(id_):
        raise ValueError("is no id")  # nothing else ever gets into a query
    return f"'{id_}'"


def ids_in(field: str, ids: Iterable[str]) -> str:
    return f"{field} IN ({','.join(map(id_literal, ids))})"


def time_literal(seconds: int) -> str:
    """Return seconds since 1970 as SOQL writes a time: in UTC, whole seconds, unquoted.
    (docs/sources.md#salesforce-times-of-change)"""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def seconds_of(text: str) -> int:
    """Return a time of an answer (`2026-05-01T07:25:37.000+0000`) in whole seconds. Raises ValueError."""
    # Floor division, because int() alone rounds times before 1970 up.
    return int(_moment_of(text).timestamp() // 1)


def moment(seconds: int) -> str:
    """Return seconds since 1970 in the form of `Record.modified`."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.000000Z"


def canonical(text: str | None) -> str | None:
    """Return a time of an answer in the form of `Record.modified`. Raises ValueError."""
    return None if text is None else f"{_moment_of(text).astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def _moment_of(text: str) -> datetime:
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError("a time without a zone")
    return when
