"""The facts learned of one stream's columns: the kind of a key, the scale of a cursor column, converters of values.

Where the driver names a column's type, that counts; SQLite and unknown databases are judged by stored values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import text

from connectors.sql.connection import Database
from connectors.sql.cursors import (
    Cursor,
    DeclaredColumn,
    UnfitCursor,
    mysql_declared,
    postgresql_declared,
    scale_by_kind,
    scale_by_values,
)
from connectors.sql.errors import Unconvertible
from connectors.sql.halving import unreadable
from connectors.sql.keys import KeyKind, Mixture, id_text
from connectors.sql.moments import TextTimeFormat, format_of
from connectors.sql.ordering import orders_of
from connectors.sql.scales import Days, Naive, Scale, SequenceScale
from connectors.sql.statements import Bounds, ColumnOrder, Relation, edge, one_row, page
from connectors.sql.values import Converter, as_bool, as_json, as_moment, as_single, plain
from sync.shared.errors import SourceRefused
from sync.shared.words import Json

IdWriter = Callable[[Any], str]
"""Makes the id of a key's value."""

_SAMPLE = 25
_GRAINS = {"firebird": 100}
"""Microseconds to which a database rounds its timestamps, and the values they are compared with."""
_LOOKS = 40
"""Attempts to find the greatest value, each below `_SAMPLE` unusable ones."""


@dataclass(frozen=True, slots=True)
class LearnedScale:
    """A cursor column's scale; for text also the format to remember and the number of values at its ends that are no
    time. `scale` is None while the column is empty."""

    scale: Scale | None
    shape: Json = None
    odd: int = 0


@dataclass(frozen=True, slots=True)
class TextEnds:
    """The two ends of a text column: how many values there are no time, and whether there are times in another
    format."""

    no_times: int
    differ: bool


class StreamColumns:
    """The columns of one stream that have been examined; forgotten at the start of every poll."""

    def __init__(self, database: Database, stream: str) -> None:
        self._database = database
        self._stream = stream
        self._hints: dict[Relation, Mapping[str, Converter]] = {}
        self._keys: dict[tuple[Relation, str], KeyKind] = {}
        self._ends: dict[tuple[Relation, str], tuple[Any, ...]] = {}
        self._scales: dict[tuple[Relation, Cursor], LearnedScale] = {}
        self._orders: dict[tuple[Relation, tuple[str, ...]], tuple[ColumnOrder, ...]] = {}

    def forget(self) -> None:
        """Forget everything learned."""
        self._orders.clear()
        self._hints.clear()
        self._keys.clear()
        self._ends.clear()
        self._scales.clear()

    # ---- the order of rows

    def orders(self, relation: Relation, columns: Sequence[str]) -> tuple[ColumnOrder, ...]:
        """Return how the database orders and compares these columns."""
        asked = (relation, tuple(columns))
        if asked not in self._orders:
            self._orders[asked] = orders_of(self._database, self._stream, relation, columns)
        return self._orders[asked]

    def loses_digits(self, relation: Relation, column: str) -> bool:
        """Return whether some of the least values have more digits than the driver returns."""
        (order,) = self.orders(relation, (column,))
        if order.loses is None:
            return False
        statement = page(relation, [column], False, orders=[order], bounds=Bounds(), limit=_SAMPLE)
        rows = self._database.run(statement, self._stream).rows
        return any(order.loses(plain, exact) for plain, exact in rows)

    # ---- keys

    def key_kind(self, relation: Relation, key: str) -> KeyKind | None:
        """Return the kind of the key column's values; None for an empty table, which is examined again later."""
        kind = self._keys.get((relation, key)) or self._find_key_kind(relation, key)
        if kind is not None:
            self._keys[relation, key] = kind
        return kind

    def _find_key_kind(self, relation: Relation, key: str) -> KeyKind | None:
        if self._database.backend == "sqlite":
            return "any"
        # Any value would do; the least one is found by the key's index.
        found = self._database.run(edge(relation, key, greatest=False), self._stream)
        if not found.rows:
            return None
        if self._database.backend == "postgresql":
            from connectors.sql import postgresql

            return postgresql.key_kind(found.columns[0][1])
        kinds: list[tuple[type, KeyKind]] = [(int, "integer"), (Decimal, "decimal"), (float, "float"), (str, "text")]
        kinds += [(UUID, "uuid"), (bytes, "bytes")]
        if self._database.backend != "duckdb":  # which reads the text of a time as a time
            kinds += [(datetime, "moment"), (date, "day"), (time, "clock")]
        return next((kind for python, kind in kinds if isinstance(found.rows[0][0], python)), "other")

    def extremes(self, relation: Relation, key: str) -> tuple[Any, ...]:
        """Return the least and the greatest value of a SQLite column, empty for an empty table. They tell the kinds it
        holds, because SQLite sorts numbers before text, and text before bytes."""
        if (relation, key) not in self._ends:
            statements = (edge(relation, key, greatest=greatest) for greatest in (False, True))
            rows = [row for statement in statements for row in self._database.run(statement, self._stream).rows]
            self._ends[relation, key] = tuple(row[0] for row in rows)
        return self._ends[relation, key]

    def id_writers(self, relation: Relation, keys: Sequence[str]) -> tuple[IdWriter, ...]:
        """Return for each of the key's columns the function that makes the id of its value."""
        if self._database.backend != "sqlite":
            return (id_text,) * len(keys)
        return tuple(_id_writer(*self.extremes(relation, key)) for key in keys)

    # ---- cursor columns

    def scale(self, relation: Relation, cursor: Cursor, shape: Json = None) -> LearnedScale:
        """Return the column's scale. `shape` is the remembered format of a text column.

        Raises SourceRefused where its values cannot serve as a cursor.
        """
        if shape is not None and (known := cursor.text_scale(shape)) is not None:
            return LearnedScale(known, shape)
        if (relation, cursor) not in self._scales:
            try:
                self._scales[relation, cursor] = self.find_scale(relation, cursor)
            except UnfitCursor as unfit:
                source = self._database.source
                what = f"the column {cursor.column!r} {unfit.what}"
                raise SourceRefused(what, hint=unfit.hint, source=source, stream=self._stream) from None
        return self._scales[relation, cursor]

    def find_scale(self, relation: Relation, cursor: Cursor) -> LearnedScale:
        """Return the column's scale as the database shows it now. Raises UnfitCursor."""
        backend = self._database.backend
        if cursor.modified_as in ("epoch_s", "epoch_ms") and self.orders(relation, (cursor.column,))[0].single:
            raise UnfitCursor(
                "holds numbers of single precision, which tell a time to minutes only",
                "store it as bigint or double precision, or name another column",
            )
        declared = self.declared(relation, cursor.column)
        if declared.kind not in ("text", "unknown"):
            return LearnedScale(
                scale_by_kind(declared.kind, cursor, backend, declared.grain, numbers=declared.sequence)
            )
        scale, shape = scale_by_values(self.sample(relation, cursor.column), cursor, backend)
        if isinstance(scale, Naive) and (grain := _GRAINS.get(backend)):
            scale = replace(scale, grain=grain)
        return LearnedScale(scale, shape)

    def declared(self, relation: Relation, column: str) -> DeclaredColumn:
        """Return a cursor column as the database declares it."""
        # SQLite's columns hold any values, and other drivers' descriptions are not known well enough.
        if self._database.backend not in ("postgresql", "mysql"):
            return DeclaredColumn("unknown")
        described = self._database.run(one_row(relation, [column], limit=0), self._stream).columns[0]
        if self._database.backend == "mysql":
            return mysql_declared(described)
        with self._database.connection(self._stream) as connection:
            version = connection.dialect.server_version_info or ()
        return postgresql_declared(described, version)

    def sample(self, relation: Relation, column: str) -> list[Any]:
        """Return some values of the column: the least, the greatest, and others."""
        statements = [
            edge(relation, column, greatest=False, limit=_SAMPLE),
            edge(relation, column, greatest=True, limit=_SAMPLE),
            one_row(relation, [column], limit=2 * _SAMPLE),
        ]
        try:
            rows = [row for statement in statements for row in self._database.run(statement, self._stream).rows]
        except Unconvertible:
            raise unreadable(self._database, self._stream, column) from None
        return [row[0] for row in rows if row[0] is not None]

    def greatest(self, relation: Relation, cursor: Cursor, scale: Scale, now: int) -> int | None:
        """Return the greatest position in the column up to now (a sequence: at all); None where it holds none.

        Unusable values (NaN, text among numbers, a 30th of February) that sort above it are skipped. Raises
        SourceRefused where there are too many of them.
        """
        below = scale.top if isinstance(scale, SequenceScale) else scale.high(now)
        for _ in range(_LOOKS):
            statement = edge(relation, cursor.column, greatest=True, below=below, limit=_SAMPLE)
            values = [row[0] for row in self._database.run(statement, self._stream).rows]
            positions = (scale.position(value) for value in values)
            if (greatest := next((spot for spot in positions if spot is not None), None)) is not None:
                return greatest
            if len(values) < _SAMPLE:
                return None
            # Nothing usable among these: look below the least of them.
            below = values[-1]
        raise SourceRefused(
            f"the greatest values of the column {cursor.column!r} cannot be read as {scale.words}, so nobody knows "
            "where it stands",
            hint=f"correct these values, or leave them out by reading `query` with a WHERE on {cursor.column!r}",
            source=self._database.source,
            stream=self._stream,
        )

    def ends(self, relation: Relation, cursor: Cursor, shape: TextTimeFormat) -> TextEnds:
        """Return the state of the two ends of a text cursor column: times in another format than `shape` sort there,
        where no window reads."""
        looks = [edge(relation, cursor.column, greatest=greatest, limit=_SAMPLE) for greatest in (False, True)]
        values = [row[0] for look in looks for row in self._database.run(look, self._stream).rows]
        shapes = [format_of(value) if isinstance(value, str) else None for value in values]
        differs = any(one is not None and not shape.covers(one) for one in shapes)
        return TextEnds(len({value for value, one in zip(values, shapes, strict=True) if one is None}), differs)

    def is_never_past(self, relation: Relation, cursor: Cursor, scale: Scale, now: int) -> bool:
        """Return whether even the least value is as new as the source's clock, as `now()` would be: no window ever
        holds such rows."""
        if isinstance(scale, SequenceScale | Days):
            return False
        rows = self._database.run(edge(relation, cursor.column, greatest=False), self._stream).rows
        least = scale.position(rows[0][0]) if rows else None
        return least is not None and least >= scale.floor(now)

    # ---- values

    def converters(self, relation: Relation, described: Sequence[Any]) -> list[Converter]:
        """Return for each column of a result the function that makes plain JSON of its values."""
        backend = self._database.backend
        if backend == "mysql":
            return self._mysql_converters(relation, described)
        if backend == "duckdb":
            return [as_single if str(column[1]) == "FLOAT" else plain for column in described]
        # Other drivers return each type as Python's own, so its values say everything.
        hints = self._hints_of(relation, self._sqlite_hints) if backend == "sqlite" else {}
        return [hints.get(column[0], plain) for column in described]

    def _mysql_converters(self, relation: Relation, described: Sequence[Any]) -> list[Converter]:
        from connectors.sql import mysql

        known = [mysql.converter(column[1], column[3]) for column in described]
        could_be_json = any(mysql.is_long_text(column[1], column[3]) for column in described)
        # It takes several statements: only where a column may be JSON at all.
        hints = self._hints_of(relation, self._json_columns) if could_be_json else {}
        return [of or hints.get(column[0], plain) for of, column in zip(known, described, strict=True)]

    def _hints_of(
        self, relation: Relation, find: Callable[[Relation], Mapping[str, Converter]]
    ) -> Mapping[str, Converter]:
        """Return converters of columns whose declared type says more than their values, found once per poll."""
        if relation not in self._hints:
            self._hints[relation] = find(relation)
        return self._hints[relation]

    def _sqlite_hints(self, relation: Relation) -> Mapping[str, Converter]:
        """Return converters by declared type. SQLite knows the declared type behind each column of a view, so a query
        is made a temporary view, in this connection's memory; the file stays open read-only."""
        name, schema = relation.name, relation.schema or "main"
        with self._database.connection(self._stream) as connection:
            if relation.query is not None:
                name, schema = "closingdealz_sync_columns", "temp"
                view = f"CREATE TEMP VIEW {name} AS SELECT * FROM ({relation.query}\n)"  # noqa: S608 - the operator's
                for sql in ("PRAGMA temp_store = MEMORY", "PRAGMA query_only = OFF", view, "PRAGMA query_only = ON"):
                    connection.exec_driver_sql(sql)
            described = text("SELECT name, type FROM pragma_table_info(:name, :schema)")
            rows = connection.execute(described, {"name": name, "schema": schema}).all()
        return {column: hint for column, declared in rows if (hint := _sqlite_hint(str(declared)))}

    def _json_columns(self, relation: Relation) -> Mapping[str, Converter]:
        """Return converters of MariaDB's JSON columns, which are text with a check; MySQL's JSON is a type of its
        own."""
        from connectors.sql import mysql

        with self._database.connection(self._stream) as connection:
            if not getattr(connection.dialect, "is_mariadb", False):
                return {}
            schema = relation.schema or str(connection.execute(text("SELECT database()")).scalar())
            return dict.fromkeys(mysql.mariadb_json(connection, relation, schema), as_json)


def _id_writer(least: Any = None, greatest: Any = None) -> IdWriter:
    kinds = [0 if isinstance(end, int | float) else 1 if isinstance(end, str) else 2 for end in (least, greatest)]
    return id_text if kinds[0] == kinds[1] else Mixture(blobs=kinds[1] == 2)


def _sqlite_hint(declared: str) -> Converter | None:
    name = declared.upper()
    if "BOOL" in name:
        return as_bool
    if "JSON" in name:
        return as_json
    return as_moment if name.startswith(("TIMESTAMP", "DATETIME")) else None
