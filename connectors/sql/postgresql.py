"""PostgreSQL's values, read so that none raises: what Python cannot hold (infinity, BC, year 20000) stays text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.adapt import Buffer, Loader
from psycopg.types.string import TextLoader

from connectors.sql.keys import KeyKind
from connectors.sql.moments import iso
from connectors.sql.values import JsonText

if TYPE_CHECKING:
    from psycopg import Connection

_AS_TEXT = (
    *("uuid", "interval", "date", "time", "timetz", "inet", "cidr"),
    *("int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange"),
    *("int4multirange", "int8multirange", "nummultirange", "datemultirange", "tsmultirange", "tstzmultirange"),
)

INTEGERS = frozenset({20, 21, 23, 26})
FLOAT4, FLOAT8 = 700, 701
FLOATS = frozenset({FLOAT4, FLOAT8})
NUMERIC, UUID, TIMESTAMP, TIMESTAMPTZ, DATE = 1700, 2950, 1114, 1184, 1082
TEXTS = frozenset({18, 19, 25, 705, 1042, 1043})
"""Type numbers (OIDs) of pg_type, which are fixed."""
BITS = frozenset({1560, 1562})
FIRST_OF_USERS = 16384
"""The first type number of extensions and users."""


def read_tolerantly(connection: Connection) -> None:
    """Set up how values of this connection are read."""
    adapters = connection.adapters
    for name in _AS_TEXT:
        # Python's date and time have no infinity, no year 0 and no 24:00: a row with one would end the page.
        adapters.register_loader(name, TextLoader)
    adapters.register_loader("timestamp", _Timestamp)
    adapters.register_loader("timestamptz", _ZonedTimestamp)
    adapters.register_loader("json", _JsonLoader)
    adapters.register_loader("jsonb", _JsonLoader)
    adapters.register_loader("bpchar", _PaddedText)
    if connection.info.parameter_status("server_encoding") == "SQL_ASCII":
        # Such a database does not declare the encoding of its text, which may be any. 0 stands for all types that
        # the driver does not know: enumerations, citext, hstore, rows.
        for kind in (0, "text", "varchar", "name", '"char"', *_AS_TEXT):
            adapters.register_loader(kind, _AnyText)


def key_kind(type_code: int) -> KeyKind:
    """Return the kind of a key column of that type."""
    if type_code in INTEGERS:
        return "integer"
    if type_code in FLOATS:
        return "float"
    if type_code == NUMERIC:
        return "decimal"
    if type_code == UUID:
        return "uuid"
    return "text" if type_code in TEXTS else "bytes" if type_code == 17 else "other"


class _Timestamp(Loader):
    def load(self, data: Buffer) -> str:
        return iso(bytes(data).decode(), zoned=False)


class _ZonedTimestamp(Loader):
    def load(self, data: Buffer) -> str:
        return iso(bytes(data).decode(), zoned=True)


class _JsonLoader(Loader):
    def load(self, data: Buffer) -> JsonText:
        return JsonText(_decoded(data))


class _PaddedText(Loader):
    """char(n) without its padding, which means nothing and which other databases do not return."""

    def load(self, data: Buffer) -> str:
        return _decoded(data).rstrip(" ")


class _AnyText(Loader):
    def load(self, data: Buffer) -> str:
        return _decoded(data)


def _decoded(data: Buffer) -> str:
    """Decode text; bytes that are not UTF-8 stay visible as surrogates: they make one record unusable, not the page."""
    return bytes(data).decode("utf-8", "surrogateescape")
