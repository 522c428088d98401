"""Errors of drivers and of SQLAlchemy, translated once: try later (SourceUnavailable) or a person must act
(SourceRefused).

Drivers quote values, users and statements in their messages; hence nothing of them is repeated but names of tables and
columns, error codes, and words chosen here.
"""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import exc

from sync.errors import SourceRefused, SourceUnavailable

EXTRAS = {"postgresql": "closingdealz-sync[postgresql]", "mysql": "closingdealz-sync[mysql]"}


@dataclass(frozen=True, slots=True)
class Cause:
    """What went wrong: whether waiting may help, what happened, what to do."""

    later: bool
    what: str
    hint: str = ""


_CREDENTIALS = Cause(False, "the database refuses the user or password", "mend the user and password in url")
_PERMISSION = Cause(False, "the user may not read this", "grant SELECT to the user in url")
_NO_DATABASE = Cause(False, "there is no such database on the server", "mend the database's name in url")
_NO_TABLE = Cause(False, "the table does not exist", "mend table or query, or grant access; `check` names the nearest")
_NO_COLUMN = Cause(False, "the column does not exist", "mend the mapping or the stream's keys; see what `check` says")
_SYNTAX = Cause(False, "the database does not understand the query", "try it in the database's own shell")
_WRITES = Cause(False, "the query tries to write", "only a SELECT that changes nothing can be a source")
_TYPES = Cause(
    False, "two columns of different types are compared", "give key and parent the same type, with a CAST in query"
)
_DATA = Cause(False, "the database could not convert a value that the query works with", "mend the query or the row")
_GONE = Cause(True, "the connection to the database was lost", "see whether the server is up; the poll resumes")
_REACH = Cause(True, "the database cannot be reached", "see whether it is up, and host and port in url")
_CROWDED = Cause(True, "the database has no connection or memory left", "raise its limits, or look who uses it")
_SLOW = Cause(True, "the statement took too long and was cancelled", "index the modified column, or raise timeout")
_LOCKED = Cause(True, "the database is locked by another session", "the poll resumes when the lock is gone")
_FILE = Cause(
    False,
    "the SQLite file cannot be opened",
    "it must exist and be readable by this user; in WAL mode its folder must be writable",
)
_DAMAGED = Cause(False, "the file is damaged or no SQLite database", "see whether url names the right file")
_DISK = Cause(True, "the database's disk failed", "look into the database's own log")
_UNKNOWN_LATER = Cause(True, "the database failed", "look into the database's own log")
_UNKNOWN = Cause(False, "the database refuses the statement", "try it in the database's own shell")
_PROGRAM = Cause(False, "the statement cannot be built for this database", "look at url and the stream's keys")


@contextmanager
def translated(source: str, stream: str | None, backend: str) -> Iterator[None]:
    """Turns every error of SQLAlchemy, of a driver or of a socket into SourceUnavailable or SourceRefused.

    The driver's own message is cut off the chain: it may quote values.
    """
    try:
        yield
    except (exc.SQLAlchemyError, OSError, UnicodeError, ImportError, RuntimeError, sqlite3.Error) as error:
        raise as_source_error(error, source, stream, backend) from None
    except _driver_errors() as error:
        raise as_source_error(error, source, stream, backend) from None


def as_source_error(
    error: BaseException, source: str, stream: str | None, backend: str
) -> SourceUnavailable | SourceRefused:
    """The error to raise for one of a driver or SQLAlchemy."""
    cause = _cause(error, backend)
    kind = SourceUnavailable if cause.later else SourceRefused
    return kind(cause.what, hint=cause.hint, source=source, stream=stream)


def is_too_slow(error: SourceUnavailable) -> bool:
    """Whether it says that a statement took longer than the source's time-out."""
    return error.hint == _SLOW.hint


def _driver_errors() -> tuple[type[Exception], ...]:
    """Those of the drivers that are loaded: errors of a session's first statements come to us unwrapped."""
    loaded = (sys.modules.get(name) for name in ("psycopg", "pymysql"))
    emulated = getattr(exc, "EmulatedDBAPIException", None)  # of drivers that SQLAlchemy 2.1 wraps into a DB-API
    return (*(module.Error for module in loaded if module is not None), *([emulated] if emulated else []))


def _cause(error: BaseException, backend: str) -> Cause:
    driver = getattr(error, "orig", None) or error
    cause = _of_driver(driver) or _of_sqlalchemy(error) or _of_python(error, backend)
    if cause is not None:
        return cause
    return _UNKNOWN_LATER if isinstance(error, exc.OperationalError | exc.InterfaceError) else _UNKNOWN


def _of_driver(error: Any) -> Cause | None:
    module = type(error).__module__
    if isinstance(error, sqlite3.Error):
        return _of_sqlite(error)
    if module.startswith("pymysql"):
        return _of_mysql(error)
    if module.startswith("psycopg"):
        return _of_postgresql(error)
    return None


# ---- PostgreSQL: SQLSTATE; a failed connection has only a message

_SQLSTATES: tuple[tuple[str, Cause], ...] = (
    ("28", _CREDENTIALS),
    ("3D000", _NO_DATABASE),
    ("42501", _PERMISSION),
    ("42P01", _NO_TABLE),
    ("3F000", _NO_TABLE),
    ("42703", _NO_COLUMN),
    ("42883", _TYPES),
    ("42804", _TYPES),
    ("25006", _WRITES),
    ("0A000", _SYNTAX),
    ("42", _SYNTAX),
    ("22", _DATA),
    ("57014", _SLOW),
    ("57P", _GONE),
    ("08", _GONE),
    ("53", _CROWDED),
    ("40", _LOCKED),
    ("55", _LOCKED),
    ("58", _DISK),
    ("XX", _DISK),
)
_CONNECT_WORDS: tuple[tuple[str, Cause], ...] = (
    ("password authentication failed", _CREDENTIALS),
    ("no password supplied", _CREDENTIALS),
    ("authentication failed", _CREDENTIALS),
    ("no pg_hba.conf entry", Cause(False, "the server does not admit this user from here", "mend its pg_hba.conf")),
    ("too many clients", _CROWDED),
    ("too many connections", _CROWDED),
    ("remaining connection slots", _CROWDED),
    ("starting up", _REACH),
    ("shutting down", _REACH),
    ("certificate", Cause(False, "the server's certificate is not accepted", "mend sslmode and sslrootcert in url")),
    ("does not support SSL", Cause(False, "the server does not offer TLS", "mend sslmode in url")),
    ("invalid connection option", Cause(False, "url names an option the driver does not know", "mend the url")),
)


def _of_postgresql(error: Any) -> Cause:
    message = str(error)
    state = getattr(error, "sqlstate", None)
    if state:
        cause = next((cause for start, cause in _SQLSTATES if state.startswith(start)), _UNKNOWN)
        return _named(cause, message, f"SQLSTATE {state}")
    if re.search(r'database "[^"]*" does not exist', message):
        return _NO_DATABASE
    if re.search(r'role "[^"]*" does not exist', message):
        return _CREDENTIALS
    for words, cause in _CONNECT_WORDS:
        if words in message:
            return cause
    if type(error).__name__ == "DataError":
        return _DATA
    return _GONE if "server closed the connection" in message or "connection is lost" in message else _REACH


# ---- MySQL and MariaDB: numbers

_MYSQL = {
    **dict.fromkeys((1045, 1698, 1251, 1275, 1524, 1820, 1862, 2059, 4151), _CREDENTIALS),
    **dict.fromkeys((1142, 1143, 1227, 1370), _PERMISSION),
    **dict.fromkeys((1044, 1049), _NO_DATABASE),
    **dict.fromkeys((1146, 1109, 1356), _NO_TABLE),
    **dict.fromkeys((1054, 1052), _NO_COLUMN),
    **dict.fromkeys((1064, 1248, 1060), _SYNTAX),
    **dict.fromkeys((1792, 1290, 1422), _WRITES),
    **dict.fromkeys((1267, 1270, 1271), _TYPES),
    **dict.fromkeys((1264, 1292, 1366, 1411, 1525), _DATA),
    **dict.fromkeys((1040, 1041, 1203, 1226, 1037, 1038, 1135), _CROWDED),
    **dict.fromkeys((1205, 1213, 1206, 3058, 3572), _LOCKED),
    **dict.fromkeys((1317, 1969, 3024), _SLOW),
    **dict.fromkeys((1053, 1077, 1152, 1153, 1158, 1159, 1160, 1161, 1927, 2006, 2013, 2014, 2055, 4031), _GONE),
    **dict.fromkeys((2001, 2002, 2003, 2004, 2005, 2026, 1129, 1130), _REACH),
    **dict.fromkeys((1021, 1030, 1034, 1194, 1195), _DISK),
}


def _of_mysql(error: Any) -> Cause | None:
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    if number == 0:
        return _GONE if type(error).__name__ in ("InterfaceError", "InternalError", "OperationalError") else None
    message = str(error.args[1]) if len(error.args) > 1 else ""
    later = type(error).__name__ in ("OperationalError", "InterfaceError", "InternalError")
    cause = _MYSQL.get(number, _UNKNOWN_LATER if later else _UNKNOWN)
    return _named(cause, message, f"error {number}")


# ---- SQLite: primary result codes

_SQLITE = {
    3: _FILE,
    5: _LOCKED,
    6: _LOCKED,
    7: _CROWDED,
    8: _WRITES,
    9: _SLOW,
    10: _DISK,
    11: _DAMAGED,
    14: _FILE,
    15: _LOCKED,
    20: _DATA,
    23: _PERMISSION,
    26: _DAMAGED,
}


def _of_sqlite(error: sqlite3.Error) -> Cause:
    code = getattr(error, "sqlite_errorcode", None)
    message = str(error)
    if code is None:
        return _PROGRAM
    if "no such table" in message:
        return _named(_NO_TABLE, message)
    if "no such column" in message:
        return _named(_NO_COLUMN, message)
    return _SQLITE.get(code & 0xFF, _SYNTAX)


# ---- SQLAlchemy and Python


def _of_sqlalchemy(error: BaseException) -> Cause | None:
    if isinstance(error, exc.NoSuchModuleError):
        return Cause(False, "the kind of database in url is not known", "install its SQLAlchemy dialect, or mend url")
    if isinstance(error, exc.DBAPIError):
        return _GONE if error.connection_invalidated else None
    if isinstance(error, exc.TimeoutError):
        return _CROWDED
    if isinstance(error, exc.DisconnectionError):
        return _GONE
    if isinstance(error, exc.NoSuchTableError):
        return _NO_TABLE
    return _PROGRAM if isinstance(error, exc.SQLAlchemyError) else None


def _of_python(error: BaseException, backend: str) -> Cause | None:
    if isinstance(error, ImportError):
        package = EXTRAS.get(backend, f"a SQLAlchemy driver for {backend}")
        return Cause(False, "the driver for this database is not installed", f"pip install {package}")
    if isinstance(error, OSError):
        return _REACH
    if isinstance(error, UnicodeError):
        return Cause(False, "the database sent text that is not in its encoding", "mend the rows, or cast in query")
    if isinstance(error, RuntimeError):
        return Cause(
            False,
            "the driver cannot log in as this server demands",
            "connect by TLS, or `pip install cryptography` for password methods that need it",
        )
    return None


_NAMES = re.compile(
    r'(?:column|table|relation|view) "?(?:t\.)?([\w.$ -]{1,128})"? does not exist'
    r"|Unknown column '(?:t\.)?([\w.$ -]{1,128})'"
    r"|Table '([\w.$ -]{1,128})' doesn't exist"
    r"|no such (?:column|table): (?:t\.)?([\w.$ -]{1,128})"
)


def _named(cause: Cause, message: str, code: str = "") -> Cause:
    """The cause with the table's or column's name, where the message has one, and the database's own code."""
    found = _NAMES.search(message) if cause in (_NO_TABLE, _NO_COLUMN) else None
    name = next((group for group in found.groups() if group), "") if found else ""
    what = cause.what
    if name:
        kind = "table" if cause is _NO_TABLE else "column"
        what = what.replace(f"the {kind}", f"the {kind} {name!r}")
    return Cause(cause.later, f"{what} ({code})" if code else what, cause.hint)
