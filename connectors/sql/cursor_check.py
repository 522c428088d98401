"""`check` of one cursor column: its scale, its newest value as we understand it, and whatever looks wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from sqlalchemy import Executable

from connectors.interface import Finding
from connectors.sql.columns import StreamColumns
from connectors.sql.connection import Database
from connectors.sql.cursors import Cursor, UnfitCursor
from connectors.sql.moments import DAY, canonical
from connectors.sql.newest import (
    Newest,
    in_words,
    moves_with_the_clock,
    newest_of,
    odd_kinds,
    other_reading,
    written_otherwise,
)
from connectors.sql.scales import Days, Naive, Scale, SequenceScale, TextScale
from connectors.sql.statements import Relation, edge, null_in
from sync.shared.errors import SyncError

T = TypeVar("T")

PATIENCE = timedelta(seconds=10)
"""Time limit of one probe on which nothing depends."""
_SWEEP_ONLY = "only the sweep finds such rows: store them alike, or convert them in query"


@dataclass(frozen=True, slots=True)
class CheckContext:
    """The database under `check`; `quick` is the same with a short time limit, for probes on which nothing depends."""

    database: Database
    quick: Database
    columns: StreamColumns
    stream: str

    def try_probe(self, probe: Callable[[], T]) -> T | None:
        """Return the result of an optional probe; None where it fails or takes too long."""
        try:
            return probe()
        except SyncError:
            return None

    def now(self) -> int:
        """Return the source's clock in microseconds since 1970 UTC."""
        return self.database.now(self.stream)


def look_at_cursor(context: CheckContext, relation: Relation, cursor: Cursor) -> Iterator[Finding]:
    """Yield all findings about a cursor column but whether an index serves it."""
    yield from _CursorLook(context, relation, cursor).findings()


class _CursorLook:
    def __init__(self, context: CheckContext, relation: Relation, cursor: Cursor) -> None:
        self._context = context
        self._relation = relation
        self._cursor = cursor
        self._column = repr(cursor.column)

    def findings(self) -> Iterator[Finding]:
        try:
            # Not `scale`, which polls use: here the fault itself is the finding.
            scale = self._context.columns.find_scale(self._relation, self._cursor).scale
        except UnfitCursor as unfit:
            yield Finding("error", f"modified column {self._column} {unfit.what}", unfit.hint)
            return
        if scale is None:
            yield Finding(
                "warning", f"modified column {self._column} is empty: what it holds is found out when rows come"
            )
        else:
            yield Finding("ok", f"modified column {self._column} holds {scale.words}{_zone_words(scale, self._cursor)}")
            yield from self._newest(scale)
        # MySQL counts a date 0000-00-00 among the NULLs: the value tells which it is.
        if nulls := self._context.try_probe(lambda: self._rows(null_in(self._relation, [self._cursor.column]))):
            value = nulls[0][0]
            what = f"{self._column} is NULL" if value is None else f"{self._column} holds {odd_kinds([value])[0]}"
            yield Finding("warning", f"there are rows without a modified time ({what}): only the sweep finds them")

    def _newest(self, scale: Scale) -> Iterator[Finding]:
        """Yield the newest value as we understand it, and whatever looks wrong about it."""
        before, newest = self._look(scale)
        if newest is None:
            yield Finding("warning", f"newest change: cannot be told (an index on {self._column} may help)")
            return
        now = self._context.now()
        if newest.position is not None:
            yield Finding("ok", f"newest change: {in_words(newest, scale, now)}")
        if self._is_made_up(scale, before, newest):
            what = f"{self._column} is as new as the clock at every look: such rows are never old enough to be read"
            hint = "is it now() or the like? Name a column that is stored, or leave out modified"
            yield Finding("warning", what, hint)
        # A wrong unit explains a time far ahead as well, and is the better hint.
        elif rather := other_reading(newest, scale, now):
            what = f"the newest value of {self._column} makes no sense as {scale.words}: {rather[0]}"
            yield Finding("warning", what, rather[1])
        else:
            yield from _ahead(self._column, scale, newest, now)
        yield from self._odd(scale, newest)

    def _look(self, scale: Scale) -> tuple[int, Newest | None]:
        """Return the clock, and the newest value after it."""
        context = self._context
        now = context.now()
        return now, context.try_probe(
            lambda: newest_of(context.quick, context.stream, self._relation, self._cursor, scale)
        )

    def _is_made_up(self, scale: Scale, before: int, newest: Newest) -> bool:
        # A second look: by then a query that computes its cursor by now() has moved on.
        after, again = self._look(scale)
        if newest.position is None or again is None or again.position is None:
            return False
        rows = self._context.try_probe(lambda: self._rows(edge(self._relation, self._cursor.column, greatest=False)))
        least = scale.position(rows[0][0]) if rows else None
        return moves_with_the_clock((before, newest.position), (after, again.position), least, scale)

    def _odd(self, scale: Scale, newest: Newest) -> Iterator[Finding]:
        """Warn of values that no poll reads, and of times that do not sort among the others."""
        quick = StreamColumns(self._context.quick, self._context.stream)
        sample = self._context.try_probe(lambda: quick.sample(self._relation, self._cursor.column)) or []
        # Unusable values sort to the ends; the sample adds some from between.
        if odd := odd_kinds([*newest.odd, *(value for value in sample if scale.position(value) is None)]):
            meant = "whole numbers" if isinstance(scale, SequenceScale) else "times that can be read"
            yield Finding("warning", f"some values of {self._column} are no {meant}: {', '.join(odd)}", _SWEEP_ONLY)
        if written_otherwise(scale, sample):
            what = f"some times of {self._column} are written otherwise than the rest, and do not sort among them"
            yield Finding("warning", what, _SWEEP_ONLY)

    def _rows(self, statement: Executable) -> Sequence[Any]:
        return self._context.quick.run(statement, self._context.stream).rows


def _ahead(column: str, scale: Scale, newest: Newest, now: int) -> Iterator[Finding]:
    """Warn of a newest value ahead of the source's clock: a wrong zone, or no real time."""
    ahead = newest.position
    if isinstance(scale, SequenceScale) or ahead is None:
        return
    # A minute of grace for clocks that are not quite in step; a date stands for its whole day.
    if ahead <= now + (DAY if isinstance(scale, Days) else 60_000_000):
        return
    if ahead <= now + DAY:
        what = f"the newest value of {column} lies ahead of the database's clock, {canonical(now)}"
        yield Finding("warning", what, "is zone the one in which it is written? Such rows wait until their time")
    else:
        what = f"values of {column} lie more than a day ahead: only the sweep finds such rows"
        yield Finding("warning", what)


def _zone_words(scale: Scale, cursor: Cursor) -> str:
    zoneless = isinstance(scale, Naive | Days) or (isinstance(scale, TextScale) and scale.shape.offset is None)
    return f", read as {cursor.zone}" if zoneless else ""
