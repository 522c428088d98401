"""The meaning of an error of a driver or of SQLAlchemy: by SQLSTATE, error number or result code, and by its words only
where a driver gives nothing else."""

from __future__ import annotations

import re
import sqlite3
import ssl
from dataclasses import replace
from typing import Any

from sqlalchemy import exc

from connectors.bounds import NameTimeout, TooLarge
from connectors.registry import how_to_install
from connectors.sql.causes import (
    BYTES,
    CANCELLED,
    CERTIFICATE,
    CERTIFICATES,
    CHARACTER,
    CONFLICT,
    CREDENTIALS,
    CROWDED,
    DAMAGED,
    DATA,
    DISK,
    DIVISION,
    DRIVER,
    FILE,
    FOLDER,
    GONE,
    IDLE,
    LOCKED,
    NO_COLUMN,
    NO_DATABASE,
    NO_LOGIN,
    NO_START,
    NO_TABLE,
    NOT_ALLOWED_IN,
    NOT_READY,
    OPTION,
    OUT_OF_MEMORY,
    OVERSIZED,
    PERMISSION,
    POOLER,
    PROGRAM,
    REACH,
    SERIAL,
    SERVICE,
    SERVICE_BY_LDAP,
    SLOW,
    SUBQUERY,
    SYNTAX,
    TWICE,
    TYPES,
    UNKNOWN,
    UNKNOWN_LATER,
    UNRESOLVED,
    UNSORTED,
    WRITES,
    Cause,
    UnknownOption,
)
from connectors.sql.service_file import ServiceByLdap, UnknownService

EXTRAS = frozenset({"postgresql", "mysql"})


def cause_of(error: BaseException, backend: str) -> Cause:
    """Return the cause of an error; that of an unknown driver is named by its class."""
    if isinstance(error, UnknownOption):
        return _unknown_option(error)
    driver = getattr(error, "orig", None) or error
    if isinstance(driver, TooLarge):
        return OVERSIZED
    if isinstance(driver, NameTimeout):
        return replace(UNRESOLVED, detail=f"its name could not be resolved within {driver.seconds:g} s")
    if isinstance(driver, UnknownService | ServiceByLdap):
        return SERVICE if isinstance(driver, UnknownService) else SERVICE_BY_LDAP
    cause = _of_driver(driver) or _of_sqlalchemy(error, driver) or _of_python(driver, backend)
    if cause is None:
        # SQLite's own comes from fetching, which SQLAlchemy has no part in.
        later = isinstance(error, exc.OperationalError | exc.InterfaceError | sqlite3.OperationalError)
        connecting = isinstance(error, exc.DBAPIError) and error.statement is None
        unknown = UNKNOWN_LATER if later else NO_START if connecting else UNKNOWN
        cause = _named(unknown, str(driver), _class_of(driver))
    return _with_query_hint(cause, str(getattr(error, "statement", None) or ""), backend)


def _unknown_option(error: UnknownOption) -> Cause:
    name = f": {error.name}" if error.name else ""
    what = f"url holds an option that the driver does not know{name}"
    return replace(OPTION, what=what, hint=error.cure or OPTION.hint)


def _class_of(error: BaseException) -> str:
    """Return `duckdb BinderException`; with the driver's number where it has one."""
    module = type(error).__module__.partition(".")[0].strip("_")
    number = error.args[0] if error.args and isinstance(error.args[0], int) else ""
    return " ".join(part for part in (module, type(error).__name__, str(number)) if part and part != "builtins")


def _with_query_hint(cause: Cause, statement: str, backend: str) -> Cause:
    """Add the usual reason why a query that works in the database's own shell fails here: it is made a subquery."""
    if cause.hint not in (SYNTAX.hint, UNKNOWN.hint):
        return cause
    if ";" in statement:
        return replace(cause, hint="query must be one SELECT: remove the ; inside it and what follows, comments too")
    if backend == "mssql" and re.search(r"\bwith\b|\border\s+by\b", statement, re.IGNORECASE):
        return replace(cause, hint="SQL Server allows no WITH and no ORDER BY inside a subquery: make a view of it")
    return cause


def _of_driver(error: Any) -> Cause | None:
    module = type(error).__module__
    if isinstance(error, sqlite3.Error):
        return _of_sqlite(error)
    if module.startswith("pymysql"):
        return _of_mysql(error)
    if module.startswith("psycopg"):
        return _of_postgresql(error)
    return _of_firebird(error) if module.startswith("firebird") else None


# ---- PostgreSQL: SQLSTATE; a failed connection has only a message

_SQLSTATES: tuple[tuple[str, Cause], ...] = (
    ("28", CREDENTIALS),
    ("3D000", NO_DATABASE),
    ("42501", PERMISSION),
    ("42P01", NO_TABLE),
    ("3F000", NO_TABLE),
    ("42703", NO_COLUMN),
    ("42702", TWICE),
    ("42701", TWICE),
    ("42883", TYPES),
    ("42804", TYPES),
    ("25006", WRITES),
    ("0A000", SYNTAX),
    ("42", SYNTAX),
    ("22021", BYTES),
    ("22P05", BYTES),
    ("22012", DIVISION),
    ("22", DATA),
    ("21", SUBQUERY),
    ("57014", SLOW),
    ("57P03", REACH),
    ("57P", GONE),
    ("08", GONE),
    ("53", CROWDED),
    ("25P03", IDLE),
    ("25P04", SLOW),
    ("40P01", LOCKED),
    ("40", SERIAL),
    ("55P03", LOCKED),
    ("55P02", OPTION),
    ("55000", NOT_READY),
    ("55", LOCKED),
    ("58", DISK),
    ("XX000", UNKNOWN_LATER),  # any failure inside a function, such as xpath() over invalid XML
    ("XX", DISK),
)
_CONNECT_WORDS: tuple[tuple[str, Cause], ...] = (
    (r'database "[^"]*" does not exist', NO_DATABASE),
    (r'role "[^"]*" does not exist', CREDENTIALS),
    ("password authentication failed", CREDENTIALS),
    ("no password supplied", CREDENTIALS),
    ("authentication failed", CREDENTIALS),
    ("no pg_hba.conf entry", Cause(False, "the server does not admit this user from here", "fix its pg_hba.conf")),
    ("too many clients", CROWDED),
    ("too many connections", CROWDED),
    ("remaining connection slots", CROWDED),
    ("query_wait_timeout", CROWDED),
    ("no such database", NO_DATABASE),
    ("no such user", CREDENTIALS),
    ("unsupported startup parameter", POOLER),
    ("starting up", replace(REACH, detail="it is starting up")),
    ("shutting down", replace(REACH, detail="it is shutting down")),
    (
        "(root )?certificate file .*(not exist|not read)|could not (load|read) .*(certificate|private key) ?file",
        CERTIFICATES,
    ),
    ("certificate", CERTIFICATE),
    ("does not support SSL", Cause(False, "the server does not offer TLS", "fix sslmode in url")),
    (r"invalid .*(value|number|option)|is not supported", OPTION),
)
_REASONS: tuple[tuple[str, str], ...] = (
    (r"refused", "connection refused"),
    (r"resolve|translate host name|[Nn]ame or service|[Nn]ame resolution|nodename|getaddrinfo", "unknown host name"),
    (r"time[d ]*out|expired", "no answer in time"),
    (r"No route|unreachable", "no route to the host"),
    (r"No such file", "there is no such socket"),
    (r"[Pp]ermission", "this user may not use the socket"),
    (r"invalid response", "what answers there is not such a database"),
    (r"closed|reset|[Ll]ost|Broken pipe", "the other side hung up"),
)
"""Reasons why a connection failed: patterns of libpq's and the operating system's words, and ours."""


_SAME_SQLSTATE: tuple[tuple[str, str, Cause], ...] = (
    ("57014", "user request", CANCELLED),
    ("40001", "recovery", CONFLICT),
    ("22021", "null character", DATA),
    ("0A000", "data-modifying", WRITES),
    ("42883", "ordering operator", UNSORTED),
    ("42883", "equality operator", UNSORTED),
)
"""The causes that share one SQLSTATE, told apart by a word of the message (which may be in another language)."""


def _of_postgresql(error: Any) -> Cause:
    message = str(error)
    state = getattr(error, "sqlstate", None)
    if not state:
        return _of_a_failed_connection(message, type(error).__name__)
    cause = next((cause for start, cause in _SQLSTATES if state.startswith(start)), UNKNOWN)
    cause = next((one for same, words, one in _SAME_SQLSTATE if state == same and words in message), cause)
    return _named(cause, message, f"SQLSTATE {state}")


def _of_a_failed_connection(message: str, kind: str) -> Cause:
    for pattern, cause in _CONNECT_WORDS:
        if re.search(pattern, message):
            return cause
    if kind == "DataError":
        return DATA
    if kind in ("ProgrammingError", "NotSupportedError"):
        return OPTION
    lost = "connection failed" not in message and re.search(r"closed the connection|is lost|is closed", message)
    return GONE if lost else _unreached(message)


# ---- Firebird: SQLSTATE, of which some say little

_FIREBIRD: tuple[tuple[str, str, Cause], ...] = (
    ("42S22", "", NO_COLUMN),
    ("42S02", "", NO_TABLE),
    ("42702", "", TWICE),
    ("28000", "no permission", PERMISSION),
    ("28000", "", CREDENTIALS),
    ("42000", "Token unknown", SYNTAX),
    ("22", "", DATA),
    ("40001", "", LOCKED),
)
"""SQLSTATE, a word of the message, and the cause."""


def _of_firebird(error: Any) -> Cause | None:
    state, message = str(getattr(error, "sqlstate", None) or ""), str(error)
    found = (cause for start, words, cause in _FIREBIRD if state.startswith(start) and words in message)
    cause = next(found, None) if state else None
    return None if cause is None else _named(cause, message, f"SQLSTATE {state}")


# ---- MySQL and MariaDB: numbers

_MYSQL = {
    **dict.fromkeys((1045, 1698, 1251, 1275, 1524, 1820, 1862, 2059, 4151), CREDENTIALS),
    **dict.fromkeys((1142, 1143, 1227, 1370), PERMISSION),
    1044: NOT_ALLOWED_IN,  # the server does not say which
    1049: NO_DATABASE,
    **dict.fromkeys((1146, 1109, 1356), NO_TABLE),
    **dict.fromkeys((1054,), NO_COLUMN),
    **dict.fromkeys((1060, 1052), TWICE),
    **dict.fromkeys((1064, 1248), SYNTAX),
    **dict.fromkeys((1300, 1977, 3854, 3988), BYTES),
    **dict.fromkeys((1792, 1290, 1422), WRITES),
    **dict.fromkeys((1267, 1270, 1271), TYPES),
    **dict.fromkeys((1264, 1292, 1366, 1411, 1525, 1690), DATA),
    **dict.fromkeys((1365,), DIVISION),
    **dict.fromkeys((1242,), SUBQUERY),
    **dict.fromkeys((1040, 1041, 1203, 1226, 1037, 1038, 1135), CROWDED),
    **dict.fromkeys((1205, 1213, 1206, 3058, 3572), LOCKED),
    **dict.fromkeys((1317, 1969, 3024), SLOW),
    **dict.fromkeys((1053, 1077, 1152, 1153, 1158, 1159, 1160, 1161, 1927, 2006, 2013, 2014, 2055, 4031), GONE),
    **dict.fromkeys((2001, 2002, 2003, 2004, 2005, 2026, 1129, 1130), REACH),
    **dict.fromkeys((1021, 1030, 1034, 1194, 1195), DISK),
}


def _of_mysql(error: Any) -> Cause | None:
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    if number == 0:
        return GONE if type(error).__name__ in ("InterfaceError", "InternalError", "OperationalError") else None
    message = str(error.args[1]) if len(error.args) > 1 else ""
    if number == 2003:
        return CERTIFICATE if "certificate" in message.lower() else _unreached(message)
    later = type(error).__name__ in ("OperationalError", "InterfaceError", "InternalError")
    cause = _MYSQL.get(number, UNKNOWN_LATER if later else UNKNOWN)
    return _named(cause, message, f"error {number}")


# ---- SQLite: primary result codes

_SQLITE = {
    3: FILE,
    5: LOCKED,
    6: LOCKED,
    7: CROWDED,
    8: WRITES,
    9: SLOW,
    10: DISK,
    11: DAMAGED,
    14: FILE,
    15: LOCKED,
    18: OVERSIZED,
    20: DATA,
    23: PERMISSION,
    26: DAMAGED,
}

_SQLITE_ROWS = ("integer overflow", "malformed JSON", "JSON cannot hold")
"""Messages about a row's value that SQLite gives with the result code of a syntax error."""


def _of_sqlite(error: sqlite3.Error) -> Cause:
    code = getattr(error, "sqlite_errorcode", None)
    message = str(error)
    if code is None:
        return PROGRAM
    if "no such table" in message:
        return _named(NO_TABLE, message)
    if "ambiguous column name" in message:
        return _named(TWICE, message)
    if "no such column" in message:
        return _named(NO_COLUMN, message)
    if any(words in message for words in _SQLITE_ROWS):
        return _named(DATA, message, error.sqlite_errorname)
    return _named(_SQLITE.get(code & 0xFF, SYNTAX), message, error.sqlite_errorname)


# ---- SQLAlchemy and Python


def _of_sqlalchemy(error: BaseException, driver: BaseException) -> Cause | None:
    if isinstance(error, exc.NoSuchModuleError):
        return Cause(False, "the kind of database in url is not known", "install its SQLAlchemy dialect, or fix url")
    if isinstance(error, exc.DBAPIError):
        return GONE if error.connection_invalidated else _by_class(driver)
    if isinstance(error, exc.TimeoutError):
        return CROWDED
    if isinstance(error, exc.DisconnectionError):
        return GONE
    if isinstance(error, exc.NoSuchTableError):
        return NO_TABLE
    return PROGRAM if isinstance(error, exc.SQLAlchemyError) else None


def _by_class(driver: BaseException) -> Cause | None:
    """Return the cause that a driver without codes (DuckDB, ClickHouse) gives by a class or a word of its own."""
    name, message = type(driver).__name__, str(driver)
    signs: tuple[tuple[bool, Cause], ...] = (
        (name == "InterruptException", SLOW),
        (name == "OutOfMemoryException", OUT_OF_MEMORY),
        ("TOO_MANY_ROWS_OR_BYTES" in message, OVERSIZED),  # ClickHouse's max_result_bytes
        ("lock" in message.lower() and name == "IOException", LOCKED),
        ("read-only mode" in message, WRITES),
        ("More than one row returned by a subquery" in message, SUBQUERY),
        (name in ("ConversionException", "OutOfRangeException") or "alformed JSON" in message, DATA),
    )
    cause = next((cause for is_it, cause in signs if is_it), None)
    return None if cause is None else _named(cause, "", _class_of(driver))


def _of_python(error: BaseException, backend: str) -> Cause | None:
    if isinstance(error, ImportError):
        own = f"install a SQLAlchemy driver for {backend} into the program's environment (pipx inject)"
        hint = how_to_install(backend) if backend in EXTRAS else own
        return Cause(False, "the driver for this database is not installed", hint)
    if backend == "mysql" and isinstance(error, FileNotFoundError | PermissionError | ssl.SSLError):
        return CERTIFICATES  # raised by a socket that the driver wraps
    if isinstance(error, OSError) and not isinstance(error, IsADirectoryError):
        return _unreached(f"{type(error).__name__} {error}")
    cause = next((cause for kinds, cause in _PYTHON if isinstance(error, kinds)), None)
    return _named(cause, "", _class_of(error)) if cause is DRIVER else cause


_PYTHON: tuple[tuple[tuple[type[Exception], ...], Cause], ...] = (
    ((IsADirectoryError,), FOLDER),
    ((UnicodeDecodeError,), BYTES),
    ((UnicodeError,), CHARACTER),
    ((RuntimeError,), NO_LOGIN),
    ((TypeError, ValueError, ArithmeticError, LookupError, AttributeError), DRIVER),
)


def _unreached(message: str) -> Cause:
    reason = next((words for pattern, words in _REASONS if re.search(pattern, message)), REACH.detail)
    return replace(REACH, detail=reason)


_FORBIDDEN = re.compile(
    r"permission denied for (?:[a-z]+ )+([\w.$-]{1,128})"
    r"|denied to user .* for (?:table ([`\w.$ -]{1,128})|column '([^']{1,128})')"
)
_NAMES = re.compile(
    r'(?:column|table|relation|view) "?(?:t\.)?([\w.$ -]{1,128})"? does not exist'
    r"|Unknown column '(?:t\.)?([\w.$ -]{1,128})'"
    r"|Table '([\w.$ -]{1,128})' doesn't exist"
    r"|no such (?:column|table): (?:t\.)?([\w.$ -]{1,128})"
    r'|(?:reference|name) "(?:t\.)?([\w.$ -]{1,128})" is ambiguous'
    r"|(?:Duplicate column name|Column|[Tt]he column) '(?:t\.)?([\w.$ -]{1,128})'(?: in .*ambiguous| was specified|$)"
    r"|ambiguous column name: (?:t\.)?([\w.$ -]{1,128})"
    r'|(?:Column|Table) unknown\s+-(?:"?T"?\.)?"?([\w.$ ]{1,128}?)"?\s+-At'
)


def _named(cause: Cause, message: str, code: str = "") -> Cause:
    """Return the cause with the table's or column's name, where the message has one, and the database's own code."""
    pattern = _FORBIDDEN if cause is PERMISSION else _NAMES if cause in (NO_TABLE, NO_COLUMN, TWICE) else None
    found = pattern.search(message) if pattern else None
    name = next((group for group in found.groups() if group), "") if found else ""
    what = cause.what
    if name and cause is PERMISSION:
        what = f"{what}: {name.replace('`', '')!r}"
    elif name:
        kind = "table" if cause is NO_TABLE else "column"
        what = what.replace(f"the {kind}", f"the {kind} {name!r}").replace(
            "columns of the same name", f"columns {name!r}"
        )
    return replace(cause, what=f"{what} ({code})" if code else what)
