"""The name, version and driver of a database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.sql.compiler import IdentifierPreparer

from connectors.sql.catalog import told
from connectors.sql.connection import Database
from connectors.sql.statements import Relation

_VERSIONS = {
    "postgresql": "SELECT current_setting('server_version')",
    "mysql": "SELECT version()",
    "sqlite": "SELECT sqlite_version()",
    "duckdb": "SELECT version()",
    "firebird": "SELECT rdb$get_context('SYSTEM', 'ENGINE_VERSION') FROM rdb$database",
}
_NAMES = {"postgresql": "PostgreSQL", "mysql": "MySQL", "sqlite": "SQLite", "duckdb": "DuckDB", "firebird": "Firebird"}


def product_of(database: Database, stream: str) -> str:
    """Return name, version and driver: `PostgreSQL 15.13 (psycopg)`. Raises SourceUnavailable, SourceRefused where no
    connection can be opened."""
    with database.connection(stream) as connection:
        driver = connection.dialect.driver
    version = told(database, _VERSION_OF.get(database.backend, _by_dialect), stream) or ""
    name = _NAMES.get(database.backend, database.backend)
    if "mariadb" in version.lower():
        name, version = "MariaDB", version.partition("-")[0]
    return f"{' '.join((name, *version.split()[:1]))} ({driver})"


def _asking(sql: str) -> Callable[[Connection], str]:
    return lambda connection: str(connection.execute(text(sql)).scalar()).removeprefix("v")


def _by_dialect(connection: Connection) -> str:
    return ".".join(str(part) for part in connection.dialect.server_version_info or ())


_VERSION_OF = {backend: _asking(sql) for backend, sql in _VERSIONS.items()}


def create_index(preparer: IdentifierPreparer, relation: Relation, columns: Sequence[str]) -> str:
    """Return the statement that creates an index, quoted as this database needs it."""
    quote: Callable[[str], Any] = preparer.quote
    table = ".".join(quote(part) for part in (relation.schema, relation.name) if part)
    name = "_".join((relation.name, *columns))
    return f"CREATE INDEX {quote(name)} ON {table} ({', '.join(quote(column) for column in columns)})"
