"""The catalog of a database: tables and views, and the columns, keys, indexes and foreign keys of one.

Nothing depends on it. Dialects answer as they can, and some raise anything: what cannot be determined is None, never an
error and never "there is none".
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Inspector, inspect, text
from sqlalchemy.engine import ObjectKind

from connectors.sql.connection import Database
from connectors.sql.statements import Relation
from connectors.sql.tables import (
    FOREIGN,
    MATERIALIZED,
    PARTITIONED,
    TABLE,
    VIEW,
    Column,
    ForeignKey,
    Listed,
    TableShape,
    family_of,
)

T = TypeVar("T")
_SYSTEM_SCHEMAS = {"information_schema", "sys", "guest", "mysql", "performance_schema", "pg_catalog", "system", "temp"}
_ORACLES = {"oracle"}
"""Databases whose schemas are their users, hundreds of them the vendor's own: only the user's own is listed."""


def try_probe(database: Database, probe: Callable[[Connection], T], stream: str | None = None) -> T | None:
    """Return the probe's result; None where the database or its dialect cannot give one, whatever it raises."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of SQLAlchemy, about types that reflection does not know
            with database.connection(stream) as connection:
                return probe(connection)
    except Exception:  # noqa: BLE001 - reflection by a foreign dialect raises anything, and nothing depends on it
        return None


# ---- tables and views


def tables_of(database: Database) -> list[Listed] | None:
    """Return all tables and views that the user could name, without the system's own; None where they cannot be
    listed."""
    listing = _LISTINGS.get(database.backend)
    found = try_probe(database, listing or _by_inspector)
    if found is None and listing is not None:
        found = try_probe(database, _by_inspector)
    return None if found is None else sorted(found, key=lambda one: (one.schema or "", one.name))


def _by_inspector(connection: Connection) -> list[Listed]:
    inspector = inspect(connection)
    found: dict[tuple[str | None, str], str] = {}
    for schema in _schemas(inspector):
        found |= {(schema, name): TABLE for name in inspector.get_table_names(schema)}
        for kind, names in ((VIEW, inspector.get_view_names), (MATERIALIZED, inspector.get_materialized_view_names)):
            try:
                found |= {(schema, name): kind for name in names(schema)}
            except NotImplementedError:
                continue
    return [Listed(schema, name, kind) for (schema, name), kind in found.items()]


def _schemas(inspector: Inspector) -> list[str | None]:
    if inspector.dialect.name in _ORACLES:
        return [None]
    try:
        names = inspector.get_schema_names()
    except NotImplementedError:
        return [None]
    hidden = {*_SYSTEM_SCHEMAS, (inspector.default_schema_name or "").casefold()}
    return [None, *(name for name in names if name.casefold() not in hidden and not name.casefold().startswith("db_"))]


_POSTGRESQL = """
SELECT n.nspname, c.relname, c.relkind::text, c.reltuples::bigint, obj_description(c.oid, 'pg_class'),
       has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT'), current_schema()
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
"""
_RELKINDS = {"r": TABLE, "p": PARTITIONED, "v": VIEW, "m": MATERIALIZED, "f": FOREIGN}


def _of_postgresql(connection: Connection) -> list[Listed]:
    return [
        Listed(
            None if schema == default else schema,
            name,
            _RELKINDS[kind] + ("" if readable else ", not readable"),
            rows if rows > 0 and kind in "rm" else None,
            comment or "",
        )
        for schema, name, kind, rows, comment, readable, default in connection.execute(text(_POSTGRESQL))
    ]


_MYSQL = """
SELECT table_schema, table_name, table_type, table_rows, table_comment, database() FROM information_schema.tables
WHERE table_schema = coalesce(database(), table_schema) AND table_type IN ('BASE TABLE', 'VIEW')
  AND table_schema NOT IN ('mysql', 'sys', 'performance_schema', 'information_schema')
"""


def _of_mysql(connection: Connection) -> list[Listed]:
    return [
        Listed(
            None if schema == default else schema,
            name,
            VIEW if kind == "VIEW" else TABLE,
            int(rows) if rows else None,
            "" if kind == "VIEW" else comment or "",
        )
        for schema, name, kind, rows, comment, default in connection.execute(text(_MYSQL))
    ]


_DUCKDB_TABLES = """
SELECT schema_name, table_name, 'table', estimated_size, comment FROM duckdb_tables()
WHERE database_name = current_database() AND NOT internal
UNION ALL SELECT schema_name, view_name, 'view', NULL, comment FROM duckdb_views()
WHERE database_name = current_database() AND NOT internal
"""


def _of_duckdb(connection: Connection) -> list[Listed]:
    """Return all tables and views."""
    return [
        Listed(None if schema == "main" else schema, name, kind, rows, comment or "")
        for schema, name, kind, rows, comment in connection.execute(text(_DUCKDB_TABLES))
    ]


_LISTINGS: Mapping[str, Callable[[Connection], list[Listed]]] = {
    "postgresql": _of_postgresql,
    "mysql": _of_mysql,
    "duckdb": _of_duckdb,
}


# ---- one table


def table_shape(database: Database, relation: Relation, stream: str | None = None) -> TableShape:
    """Return the shape of a table or view; that of a query is not known."""
    if relation.query is not None:
        return TableShape(None, None, None, None)
    if database.backend == "duckdb":
        return try_probe(database, lambda one: _duckdb_shape(one, relation), stream) or TableShape(
            None, None, None, None
        )
    name, schema = relation.name, relation.schema

    def ask(probe: Callable[[Inspector], T]) -> T | None:
        # A connection for each: on some databases a refusal spoils the transaction.
        return try_probe(database, lambda one: probe(inspect(one)), stream)

    primary = ask(lambda one: tuple(one.get_pk_constraint(name, schema).get("constrained_columns") or ()))
    uniques = ask(lambda one: [tuple(each["column_names"]) for each in one.get_unique_constraints(name, schema)])
    # SQLite's own indexes, which stand for UNIQUE, are shown on demand only.
    extra = {"include_auto_indexes": True} if database.backend == "sqlite" else {}
    indexes = ask(lambda one: one.get_indexes(name, schema, **extra))
    if indexes is not None:
        uniques = None if uniques is None else [*uniques, *(_names(each) for each in indexes if _promises(each))]
    return TableShape(
        try_probe(database, lambda one: _columns(one, name, schema), stream),
        primary,
        None if uniques is None or indexes is None else tuple(uniques),
        None if indexes is None else tuple(_names(each) for each in indexes),
    )


def _names(index: Any) -> tuple[str, ...]:
    """Return the indexed columns; an expression becomes an empty name."""
    return tuple(name or "" for name in index["column_names"])


def _promises(index: Any) -> bool:
    """Return whether the index makes its columns unique for all rows: a partial index covers only some."""
    partial = any(key.endswith("_where") and value is not None for key, value in _options(index).items())
    return bool(index["unique"]) and not partial and all(index["column_names"])


def _options(index: Any) -> Mapping[str, Any]:
    options: Mapping[str, Any] = index.get("dialect_options") or {}
    return options


def _columns(connection: Connection, name: str, schema: str | None) -> tuple[Column, ...]:
    found = inspect(connection).get_columns(name, schema)
    mysql = connection.dialect.name in ("mysql", "mariadb")
    return tuple(
        Column(
            str(one["name"]),
            (declared := _declared(one["type"], connection)),
            family_of(declared, mysql=mysql),
            bool(one.get("nullable", True)),
            one.get("comment") or "",
        )
        for one in found
    )


def _declared(kind: Any, connection: Connection) -> str:
    try:
        words = str(kind.compile(dialect=connection.dialect)).lower()
    except Exception:  # noqa: BLE001 - types that a dialect cannot write
        words = type(kind).__name__.lower()
    return words.partition(" character set ")[0].partition(" collate ")[0].partition(" charset ")[0]


# ---- between tables


_MYSQL_KEYS = """
SELECT table_schema, table_name, constraint_name, column_name, referenced_table_schema, referenced_table_name,
       referenced_column_name, database()
FROM information_schema.key_column_usage
WHERE referenced_table_name IS NOT NULL AND table_schema = coalesce(database(), table_schema)
ORDER BY table_schema, table_name, constraint_name, ordinal_position
"""


def foreign_keys_of(database: Database, schema: str | None) -> list[ForeignKey]:
    """Return all declared foreign keys of a schema's tables; none where they cannot be listed."""
    if database.backend == "mysql":
        return try_probe(database, _mysql_keys) or []
    if database.backend == "duckdb":
        return try_probe(database, _duckdb_foreign_keys) or []
    return try_probe(database, lambda one: _keys_by_inspector(inspect(one), schema)) or []


def _keys_by_inspector(inspector: Inspector, schema: str | None) -> list[ForeignKey]:
    return [
        ForeignKey(
            Listed(schema, name),
            tuple(key["constrained_columns"]),
            Listed(key["referred_schema"], key["referred_table"]),
            tuple(key["referred_columns"]),
        )
        for (_, name), keys in inspector.get_multi_foreign_keys(schema=schema).items()
        for key in keys
    ]


def _mysql_keys(connection: Connection) -> list[ForeignKey]:
    found: dict[tuple[str, str, str], list[Any]] = {}
    for row in connection.execute(text(_MYSQL_KEYS)):
        found.setdefault((row[0], row[1], row[2]), []).append(row)
    return [
        ForeignKey(
            Listed(None if rows[0][0] == rows[0][7] else rows[0][0], rows[0][1]),
            tuple(row[3] for row in rows),
            Listed(None if rows[0][4] == rows[0][7] else rows[0][4], rows[0][5]),
            tuple(row[6] for row in rows),
        )
        for rows in found.values()
    ]


_ALL_COLUMNS = """
SELECT table_schema, table_name, column_name FROM information_schema.columns
WHERE table_schema NOT IN ('information_schema', 'pg_catalog', 'mysql', 'sys', 'performance_schema')
ORDER BY table_schema, table_name, ordinal_position
"""


def column_names(database: Database, tables: Sequence[Listed]) -> dict[Listed, tuple[str, ...]]:
    """Return the names of all columns of these tables, in few statements; empty where they cannot be listed."""
    found = try_probe(database, lambda one: _names_by_table(one, database.backend, tables)) or {}
    return {table: found[table.place] for table in tables if table.place in found}


def _names_by_table(
    connection: Connection, backend: str, tables: Sequence[Listed]
) -> dict[tuple[str | None, str], tuple[str, ...]]:
    inspector = inspect(connection)
    found: dict[tuple[str | None, str], list[str]] = {}
    if backend in ("postgresql", "mysql", "duckdb"):
        default = "main" if backend == "duckdb" else inspector.default_schema_name
        for schema, name, column in connection.execute(text(_ALL_COLUMNS)):
            found.setdefault((None if schema == default else schema, name), []).append(column)
    else:
        for schema in dict.fromkeys(table.schema for table in tables):
            for (_, name), columns in inspector.get_multi_columns(schema=schema, kind=ObjectKind.ANY).items():
                found[schema, name] = [str(column["name"]) for column in columns]
    return {place: tuple(names) for place, names in found.items()}


# ---- DuckDB, whose SQLAlchemy dialect reflects as PostgreSQL's does, which DuckDB does not understand


_DUCKDB_COLUMNS = """
SELECT column_name, data_type, is_nullable, comment FROM duckdb_columns()
WHERE database_name = current_database() AND schema_name = :schema AND table_name = :name ORDER BY column_index
"""
_DUCKDB_CONSTRAINTS = """
SELECT constraint_type, constraint_column_names FROM duckdb_constraints()
WHERE database_name = current_database() AND schema_name = :schema AND table_name = :name
"""
_DUCKDB_INDEXES = """
SELECT expressions, is_unique FROM duckdb_indexes()
WHERE database_name = current_database() AND schema_name = :schema AND table_name = :name
"""
_DUCKDB_KEYS = """
SELECT schema_name, table_name, constraint_column_names, referenced_table, referenced_column_names
FROM duckdb_constraints() WHERE constraint_type = 'FOREIGN KEY' AND database_name = current_database()
"""


def _duckdb_shape(connection: Connection, relation: Relation) -> TableShape:
    """Return the columns, keys and indexes of a table."""
    place = {"name": relation.name, "schema": relation.schema or "main"}
    columns = connection.execute(text(_DUCKDB_COLUMNS), place).all()
    constraints = connection.execute(text(_DUCKDB_CONSTRAINTS), place).all()
    indexes = connection.execute(text(_DUCKDB_INDEXES), place).all()
    starts = [(tuple(one.strip("[] '\"") for one in str(names).split(",")), unique) for names, unique in indexes]
    return TableShape(
        tuple(
            Column(name, declared.lower(), family_of(declared.lower()), bool(null), comment or "")
            for name, declared, null, comment in columns
        ),
        next((tuple(names) for kind, names in constraints if kind == "PRIMARY KEY"), ()),
        tuple(tuple(names) for kind, names in constraints if kind == "UNIQUE")
        + tuple(names for names, unique in starts if unique),
        tuple(names for names, _ in starts),
    )


def _duckdb_foreign_keys(connection: Connection) -> list[ForeignKey]:
    """Return all declared foreign keys."""
    return [
        ForeignKey(
            Listed(None if schema == "main" else schema, name),
            tuple(columns),
            Listed(None if schema == "main" else schema, to),
            tuple(referred),
        )
        for schema, name, columns, to, referred in connection.execute(text(_DUCKDB_KEYS))
    ]
