"""DuckDB's own catalog: its SQLAlchemy dialect reflects as PostgreSQL's does, which DuckDB does not understand."""

from __future__ import annotations

from sqlalchemy import Connection, text

from connectors.sql.statements import Relation
from connectors.sql.tables import Column, ForeignKey, Listed, TableShape, family_of

_DUCKDB = """
SELECT schema_name, table_name, 'table', estimated_size, comment FROM duckdb_tables()
WHERE database_name = current_database() AND NOT internal
UNION ALL SELECT schema_name, view_name, 'view', NULL, comment FROM duckdb_views()
WHERE database_name = current_database() AND NOT internal
"""


def list_tables(connection: Connection) -> list[Listed]:
    """Return all tables and views."""
    return [
        Listed(None if schema == "main" else schema, name, kind, rows, comment or "")
        for schema, name, kind, rows, comment in connection.execute(text(_DUCKDB))
    ]


_COLUMNS = """
SELECT column_name, data_type, is_nullable, comment FROM duckdb_columns()
WHERE database_name = current_database() AND schema_name = :schema AND table_name = :name ORDER BY column_index
"""
_CONSTRAINTS = """
SELECT constraint_type, constraint_column_names FROM duckdb_constraints()
WHERE database_name = current_database() AND schema_name = :schema AND table_name = :name
"""
_INDEXES = """
SELECT expressions, is_unique FROM duckdb_indexes()
WHERE database_name = current_database() AND schema_name = :schema AND table_name = :name
"""
_KEYS = """
SELECT schema_name, table_name, constraint_column_names, referenced_table, referenced_column_names
FROM duckdb_constraints() WHERE constraint_type = 'FOREIGN KEY' AND database_name = current_database()
"""


def shape_of(connection: Connection, relation: Relation) -> TableShape:
    """Return the columns, keys and indexes of a table."""
    place = {"name": relation.name, "schema": relation.schema or "main"}
    columns = connection.execute(text(_COLUMNS), place).all()
    constraints = connection.execute(text(_CONSTRAINTS), place).all()
    indexes = connection.execute(text(_INDEXES), place).all()
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


def foreign_keys(connection: Connection) -> list[ForeignKey]:
    """Return all declared foreign keys."""
    return [
        ForeignKey(
            Listed(None if schema == "main" else schema, name),
            tuple(columns),
            Listed(None if schema == "main" else schema, to),
            tuple(referred),
        )
        for schema, name, columns, to, referred in connection.execute(text(_KEYS))
    ]
