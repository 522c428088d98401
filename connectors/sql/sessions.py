"""Session settings: everything that values, identity and limits depend on is set inside each transaction.

Settings of a session do not hold behind a pooler, which gives every transaction another of its connections; and
settings made for longer than a transaction would leak to the pooler's other clients.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Engine, event

from connectors.sql.options import SqlSource

# ---- PostgreSQL

POSTGRESQL_SETTINGS: Mapping[str, str] = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "iso_8601",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "xmloption": "content",
    "idle_in_transaction_session_timeout": "60s",
}
"""Settings that are the same in every transaction. `search_path` is the operator's."""


def pin_postgresql(engine: Engine, options: SqlSource) -> None:
    """Begin each transaction of the engine and set it up, in one round trip; the driver itself begins none."""
    limits = {"statement_timeout": f"{milliseconds(options)}", "lock_timeout": f"{_lock_milliseconds(options)}"}
    settings = "; ".join(
        f"SET LOCAL {name} = '{value}'" for name, value in (*POSTGRESQL_SETTINGS.items(), *limits.items())
    )
    # Under SERIALIZABLE as somebody's default, a reader may have to wait, or fail.
    begin = f"BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; {settings}"

    @event.listens_for(engine, "begin")
    def _pin(connection: Connection) -> None:
        raw: Any = connection.connection.driver_connection
        # Such a database does not declare the encoding of its text: the server would refuse what is not UTF-8.
        encoding = "SQL_ASCII" if raw.info.parameter_status("server_encoding") == "SQL_ASCII" else "UTF8"
        raw.execute(f"{begin}; SET LOCAL client_encoding = '{encoding}'")

    @event.listens_for(engine, "do_execute")
    def _encode(cursor: Any, statement: str, parameters: Any, _context: Any) -> bool | None:
        if statement.isascii() or cursor.connection.info.encoding != "ascii":
            return None
        cursor.execute(statement.encode(), parameters)  # the driver knows no bytes for umlauts under SQL_ASCII
        return True


# ---- MySQL and MariaDB

_KEPT_MODES = frozenset(
    (
        # How a statement is understood: an operator's query was written for the server as it is.
        *("ANSI_QUOTES", "PIPES_AS_CONCAT", "IGNORE_SPACE", "HIGH_NOT_PRECEDENCE", "NO_BACKSLASH_ESCAPES"),
        *("ORACLE", "EMPTY_STRING_IS_NULL", "NO_UNSIGNED_SUBTRACTION", "ONLY_FULL_GROUP_BY", "ALLOW_INVALID_DATES"),
    )
)
"""The parts of the server's sql_mode that stay. All others are off: PAD_CHAR_TO_FULL_LENGTH changes keys, and under
NO_ZERO_DATE stored dates such as 0000-00-00 cannot be compared."""

_LEAST_CONCAT = 1_048_576
"""Bytes of GROUP_CONCAT, MariaDB's own default: MySQL's 1024 cuts lists short without an error."""
_SORTED = 8_192
"""Bytes of a text by which rows are sorted, more than an index can have. By default 1024 count, and keys that begin
alike come in any order: https://mariadb.com/docs/server/server-management/variables-and-modes/server-system-variables"""
_LEAST_SORT_BUFFER = 1_048_576
"""Bytes. The server refuses to sort where it does not take 15 rows of several such texts."""


def pin_mysql(engine: Engine, options: SqlSource) -> None:
    """Set up each transaction of the engine. MySQL has no settings of a transaction, so those of the session are set
    again at the start of each."""

    settings: dict[str, str] = {}

    @event.listens_for(engine, "connect")
    def _learn(connection: Any, _record: Any) -> None:
        if connection.charset != "utf8mb4":  # an option file (`read_default_file`) outranks the arguments
            connection.set_character_set("utf8mb4")
        with connection.cursor() as cursor:
            cursor.execute(
                "SET SESSION completion_type = 'NO_CHAIN'"
            )  # otherwise each ROLLBACK begins a new transaction
            connection.rollback()
            if settings:  # once: what SQLAlchemy learned of quotes at its first connection has to stay true
                return
            cursor.execute("SELECT @@sql_mode, @@group_concat_max_len, @@sort_buffer_size, version()")
            modes, concat, buffer, version = cursor.fetchone()
        settings.update(_mysql_settings(modes, "mariadb" in version.lower(), options))
        settings["group_concat_max_len"] = str(max(int(concat), _LEAST_CONCAT))
        settings["sort_buffer_size"] = str(max(int(buffer), _LEAST_SORT_BUFFER))

    @event.listens_for(engine, "begin")
    def _pin(connection: Connection) -> None:
        raw: Any = connection.connection.driver_connection
        with raw.cursor() as cursor:
            # Under SERIALIZABLE as the server's default, a SELECT waits for writers.
            cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            cursor.execute("START TRANSACTION READ ONLY")
            cursor.execute("SET SESSION " + ", ".join(f"{name} = {value}" for name, value in settings.items()))


def _mysql_settings(modes: str, mariadb: bool, options: SqlSource) -> Mapping[str, str]:
    """Return the session variables to set in each transaction. `modes` is the server's sql_mode."""
    kept = ",".join(mode for mode in modes.split(",") if mode in _KEPT_MODES)
    limit = ("max_statement_time", f"{options.timeout.total_seconds():.3f}")
    if not mariadb:
        limit = ("max_execution_time", str(milliseconds(options)))
    return {
        "time_zone": "'+00:00'",
        "sql_mode": f"'{kept}'",
        "character_set_client": "utf8mb4",
        "character_set_connection": "utf8mb4",
        "character_set_results": "utf8mb4",
        "collation_connection": "utf8mb4_general_ci",
        "max_sort_length": str(_SORTED),
        "sql_select_limit": "18446744073709551615",
        "sql_auto_is_null": "0",
        "completion_type": "'NO_CHAIN'",
        "lock_wait_timeout": str(max(1, math.floor(_lock_milliseconds(options) / 1000))),
        limit[0]: limit[1],
    }


# ---- limits


def milliseconds(options: SqlSource) -> int:
    """Return how long a statement may run."""
    return max(1, round(options.timeout.total_seconds() * 1000))


def _lock_milliseconds(options: SqlSource) -> int:
    """Return how long to wait for a lock: less than a statement may run, so that waiting can be told from working."""
    return max(1, milliseconds(options) * 4 // 5)
