"""What the database tells of columns: what a key holds, which scale a cursor column has, which values need a word more.

Where the driver names a column's type, that counts; SQLite and unknown databases are judged by stored values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text

from connectors.sql.database import Database
from connectors.sql.errors import Unconvertible
from connectors.sql.halving import unreadable
from connectors.sql.keys import KeyKind
from connectors.sql.scales import Scale
from connectors.sql.statements import Relation, edge, one_row
from connectors.sql.times import Cursor, Unfit, scale_by_kind, scale_by_values
from connectors.sql.values import Converter, as_bool, as_json, as_moment, plain
from sync.errors import SourceRefused
from sync.words import Json

Kind = Literal["zoned", "naive", "date", "number", "text", "other", "unknown"]
"""`unknown`: only values can tell."""

_SAMPLE = 25


@dataclass(frozen=True, slots=True)
class Found:
    """A cursor column's scale, and (text only) the shape to remember. `scale` is None while the column is empty."""

    scale: Scale | None
    shape: Json = None


class Columns:
    """What was learned of one stream's columns; forgotten at the start of every poll."""

    def __init__(self, database: Database, stream: str) -> None:
        self._database = database
        self._stream = stream
        self._hints: dict[Relation, Mapping[str, Converter]] = {}
        self._keys: dict[tuple[Relation, str], KeyKind | None] = {}
        self._scales: dict[tuple[Relation, Cursor], Found] = {}

    def forget(self) -> None:
        self._hints.clear()
        self._keys.clear()
        self._scales.clear()

    # ---- keys

    def key_kind(self, relation: Relation, key: str) -> KeyKind | None:
        """What the key column holds; None for an empty table."""
        if (relation, key) not in self._keys:
            self._keys[relation, key] = self._find_key_kind(relation, key)
        return self._keys[relation, key]

    def _find_key_kind(self, relation: Relation, key: str) -> KeyKind | None:
        if self._database.backend == "sqlite":
            return "any"
        found = self._database.run(one_row(relation, [key]), self._stream)
        if not found.rows:
            return None
        if self._database.backend == "postgresql":
            from connectors.sql import postgresql

            return postgresql.key_kind(found.columns[0][1])
        kinds: list[tuple[type, KeyKind]] = [(int, "integer"), (Decimal, "decimal"), (float, "float"), (str, "text")]
        kinds += [(UUID, "uuid"), (bytes, "bytes")]
        return next((kind for python, kind in kinds if isinstance(found.rows[0][0], python)), "other")

    # ---- cursor columns

    def scale(self, relation: Relation, cursor: Cursor, shape: Json = None) -> Found:
        """The column's scale. `shape` is what was remembered of a text column.

        Raises SourceRefused where its values cannot serve as a cursor.
        """
        if shape is not None and (known := cursor.of_shape(shape)) is not None:
            return Found(known, shape)
        if (relation, cursor) not in self._scales:
            try:
                self._scales[relation, cursor] = self.find_scale(relation, cursor)
            except Unfit as unfit:
                source = self._database.source
                what = f"the column {cursor.column!r} {unfit.what}"
                raise SourceRefused(what, hint=unfit.hint, source=source, stream=self._stream) from None
        return self._scales[relation, cursor]

    def find_scale(self, relation: Relation, cursor: Cursor) -> Found:
        """As `scale`, from the database itself. Raises Unfit."""
        kind, whole_seconds = self.kind(relation, cursor.column)
        if kind not in ("text", "unknown"):
            return Found(scale_by_kind(kind, cursor, self._database.backend, whole_seconds))
        scale, shape = scale_by_values(self.sample(relation, cursor.column), cursor)
        return Found(scale, shape)

    def kind(self, relation: Relation, column: str) -> tuple[Kind, bool]:
        """The declared kind of a column, and whether its timestamps hold whole seconds only."""
        if self._database.backend not in ("postgresql", "mysql"):
            return "unknown", False
        described = self._database.run(one_row(relation, [column], limit=0), self._stream).columns[0]
        if self._database.backend == "mysql":
            return _mysql_kind(described[1]), described[5] == 0
        return _postgresql_kind(described[1]), described[4] == 0

    def sample(self, relation: Relation, column: str) -> list[Any]:
        """Some values of the column: the least, the greatest, and others."""
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
        """The greatest position in the column up to now (a sequence: at all)."""
        below = scale.high(now) if cursor.modified_as != "sequence" else None
        rows = self._database.run(edge(relation, cursor.column, greatest=True, below=below), self._stream).rows
        return scale.position(rows[0][0]) if rows else None

    # ---- values

    def converters(self, relation: Relation, described: Sequence[Any]) -> list[Converter]:
        """How to make plain JSON of each column of a result."""
        hints = self._hints.get(relation)
        if hints is None:
            hints = self._hints[relation] = self._find_hints(relation)
        if self._database.backend != "mysql":
            return [hints.get(column[0], plain) for column in described]
        from connectors.sql.mysql import converter

        return [converter(column[1], column[3]) or hints.get(column[0], plain) for column in described]

    def _find_hints(self, relation: Relation) -> Mapping[str, Converter]:
        """Columns whose declared type says more than their values."""
        if relation.query is not None:
            return {}
        if self._database.backend == "sqlite":
            sql = text("SELECT name, type FROM pragma_table_info(:name, :schema)")
            sql = sql.bindparams(name=relation.name, schema=relation.schema or "main")
            rows = self._database.run(sql, self._stream).rows
            return {name: hint for name, declared in rows if (hint := _sqlite_hint(str(declared)))}
        if self._database.backend == "mysql":
            return self._json_columns(relation)
        return {}

    def _json_columns(self, relation: Relation) -> Mapping[str, Converter]:
        """MariaDB's JSON is text with a check; MySQL's is a type of its own, which needs no hint."""
        with self._database.connection(self._stream) as connection:
            if not getattr(connection.dialect, "is_mariadb", False):
                return {}
        sql = text(
            "SELECT constraint_name FROM information_schema.check_constraints WHERE table_name = :name "
            "AND constraint_schema = coalesce(:schema, database()) AND check_clause LIKE 'json\\_valid(%'"
        ).bindparams(name=relation.name, schema=relation.schema)
        return {row[0]: as_json for row in self._database.run(sql, self._stream).rows}


def _postgresql_kind(code: int) -> Kind:
    from connectors.sql import postgresql

    times: dict[int, Kind] = {postgresql.TIMESTAMPTZ: "zoned", postgresql.TIMESTAMP: "naive", postgresql.DATE: "date"}
    if code in times:
        return times[code]
    if code in postgresql.INTEGERS or code in postgresql.FLOATS or code == postgresql.NUMERIC:
        return "number"
    return "text" if code in postgresql.TEXTS else "other"


def _mysql_kind(code: int) -> Kind:
    from connectors.sql import mysql

    if code == mysql.TIMESTAMP:
        return "zoned"
    if code == mysql.DATETIME:
        return "naive"
    return "date" if code in mysql.DATES else "number" if code in mysql.NUMBERS else "text"


def _sqlite_hint(declared: str) -> Converter | None:
    name = declared.upper()
    if "BOOL" in name:
        return as_bool
    if "JSON" in name:
        return as_json
    return as_moment if name.startswith(("TIMESTAMP", "DATETIME")) else None
