"""Queries as text. All of them read in the order of ids: an order without ties, so that no page can split one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sync.shared.opaque import checksum

BATCH = 2000
"""Rows asked for at a time: as many as one answer can hold."""

_ID = re.compile(r"[a-zA-Z0-9]{15}(?:[a-zA-Z0-9]{3})?")


@dataclass(frozen=True, slots=True)
class Select:
    """`SELECT fields FROM object WHERE conditions`; `deleted`: with what lies in the bin."""

    object: str
    fields: tuple[str, ...]
    conditions: tuple[str, ...] = ()
    deleted: bool = False

    def where(self, *conditions: str | None) -> Select:
        more = tuple(condition for condition in conditions if condition)
        return Select(self.object, self.fields, (*self.conditions, *more), self.deleted)

    def page(self, after: str | None, limit: int) -> str:
        """The rows after an id."""
        conditions = (*self.conditions, *((f"Id > {id_literal(after)}",) if after else ()))
        return f"SELECT {','.join(self.fields)} FROM {self.object}{_where(conditions)} ORDER BY Id LIMIT {limit}"  # noqa: S608 - names and literals of this file

    def count(self) -> str:
        return f"SELECT COUNT() FROM {self.object}{_where(self.conditions)}"  # noqa: S608 - likewise


def _where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def is_id(text: str, prefix: str | None = None) -> bool:
    """Return whether that can be an id (of an object whose ids begin so). Ids of 15 characters are told by case; those
    of 18 end in three that hold it."""
    if not _ID.fullmatch(text) or (prefix and not text.startswith(prefix)):
        return False
    return len(text) == 15 or text[15:] == checksum(text[:15])


def whole_id(id_: str) -> str:
    """An id of 15 or 18 characters with 18, as answers have it."""
    return id_ + checksum(id_) if len(id_) == 15 else id_


def id_literal(id_: str) -> str:
    if not _ID.fullmatch(id_):
        raise ValueError("is no id")  # nothing else ever gets into a query
    return f"'{id_}'"


def ids_in(field: str, ids: Iterable[str]) -> str:
    return f"{field} IN ({','.join(map(id_literal, ids))})"


def time_literal(seconds: int) -> str:
    """Seconds since 1970 as SOQL writes a time: in UTC, whole seconds, unquoted."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def seconds_of(text: str) -> int:
    """A time as answers write it (`2026-05-01T07:25:37.000+0000`), in whole seconds. Raises ValueError."""
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError("a time without a zone")
    return int(when.timestamp() // 1)


def moment(seconds: int) -> str:
    """Seconds since 1970 in the form of `Record.modified`."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.000000Z"


def canonical(text: str | None) -> str | None:
    """The same as `Record.modified`. Raises ValueError."""
    if text is None:
        return None
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError("a time without a zone")
    return f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
