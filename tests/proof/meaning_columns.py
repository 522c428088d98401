"""Columns of all kinds: their types on each database, values, and how the database itself writes a value as text.

The rendering is SQL: nothing of the program takes part in it. Both texts, the database's and the lead's, are then read
by `reads`, since `1.50` and `1.5` are one number and JSON may be laid out in many ways.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

Backend = Literal["sqlite", "postgresql", "mariadb"]
Role = Literal["flag", "number", "text", "day", "other"]
"""What a condition may do with the column: `other` only asks whether it is NULL."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of column. `values` are SQL literals; `shown` is an expression over `{c}`, each by database."""

    name: str
    role: Role = field(repr=False)
    types: Mapping[str, tuple[str, ...]] = field(repr=False)
    values: tuple[str, ...] = field(repr=False)
    shown: Mapping[str, str] = field(repr=False)
    reads: Callable[[str], Any] = field(default=str, repr=False)


def _number(text: str) -> Any:
    return Decimal(text)


def _double(text: str) -> Any:
    return float(text)


_AS_TEXT = {"sqlite": "cast({c} as text)", "postgresql": "{c}::text", "mariadb": "cast({c} as char)"}
_YES = "case when {c} = 1 then 'true' when {c} = 0 then 'false' end"
_STAMP_PG = "replace(to_char({c}, 'YYYY-MM-DD\"T\"HH24:MI:SS.US'), '.000000', '')"
_STAMP_MY = "replace(date_format({c}, '%Y-%m-%dT%H:%i:%s.%f'), '.000000', '')"
_STAMP_ZONED = "replace(to_char({c} at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US'), '.000000', '') || 'Z'"

KINDS: tuple[Kind, ...] = (
    Kind(
        "flag",
        "flag",
        {"sqlite": ("BOOLEAN",), "postgresql": ("boolean",), "mariadb": ("boolean", "tinyint(1)")},
        ("true", "false"),
        {
            "sqlite": _YES,
            "postgresql": "case when {c} then 'true' when not {c} then 'false' end",
            "mariadb": _YES,
        },
    ),
    Kind("bit", "flag", {"mariadb": ("bit(1)",)}, ("b'1'", "b'0'"), {"mariadb": _YES}),
    Kind(
        "whole",
        "number",
        {
            "sqlite": ("INTEGER", "TINYINT", "int(1)"),
            "postgresql": ("smallint", "integer", "bigint"),
            "mariadb": ("tinyint", "smallint", "int", "int(1)", "bigint"),
        },
        ("0", "1", "2", "-1", "120"),
        _AS_TEXT,
        _number,
    ),
    Kind(
        "huge",
        "number",
        {"sqlite": ("INTEGER",), "postgresql": ("bigint",), "mariadb": ("bigint",)},
        ("9223372036854775807", "-9223372036854775807", "0", "9007199254740993"),
        _AS_TEXT,
        _number,
    ),
    Kind("bits", "number", {"mariadb": ("bit(12)",)}, ("0", "1", "5"), {"mariadb": "cast({c} + 0 as char)"}, _number),
    Kind(
        "amount",
        "number",
        {"sqlite": ("NUMERIC",), "postgresql": ("numeric(12,2)", "numeric"), "mariadb": ("decimal(12,2)",)},
        ("0", "0.00", "1", "12.50", "-0.35", "1200.00"),
        _AS_TEXT,
        _number,
    ),
    Kind(
        "exact",
        "other",
        {"postgresql": ("numeric", "numeric(60,4)"), "mariadb": ("decimal(60,4)",)},
        ("123456789012345678901234567890.5", "-98765432109876543210.1234", "0.1", "100000000000000000000000000000000"),
        _AS_TEXT,
        _number,
    ),
    Kind(
        "ratio",
        "number",
        {"sqlite": ("REAL",), "postgresql": ("double precision",), "mariadb": ("double",)},
        ("0", "0.5", "0.1", "-2.25", "1e15", "1e-7", "2"),
        _AS_TEXT,
        _double,
    ),
    Kind(
        "coarse",
        "number",
        {"sqlite": ("FLOAT",), "postgresql": ("real",), "mariadb": ("float",)},
        ("0", "0.5", "-2.25", "1", "3.125"),
        _AS_TEXT,
        _double,
    ),
    Kind(
        "words",
        "text",
        {"sqlite": ("TEXT", "VARCHAR(40)"), "postgresql": ("text", "varchar(40)"), "mariadb": ("text", "varchar(40)")},
        ("''", "'new'", "'New'", "'Łódź 😀'", "'a: b %s ''q''\"'", "'true'", "'1 2'"),
        _AS_TEXT,
    ),
    Kind(
        "padded",
        "text",
        {"postgresql": ("char(8)",), "mariadb": ("char(8)",)},
        ("'ab'", "'AB'", "'a b'"),
        {"postgresql": "rtrim({c}::text)", "mariadb": "rtrim({c})"},
    ),
    Kind("choice", "text", {"mariadb": ("enum('new','won','')",)}, ("'new'", "'won'"), _AS_TEXT),
    Kind(
        "day",
        "day",
        {"sqlite": ("DATE",), "postgresql": ("date",), "mariadb": ("date",)},
        ("'2026-02-28'", "'1969-12-31'", "'0099-01-02'"),
        _AS_TEXT,
    ),
    Kind(
        "naive",
        "other",
        {
            "sqlite": ("TIMESTAMP", "DATETIME"),
            "postgresql": ("timestamp", "timestamp(0)", "timestamp(3)"),
            "mariadb": ("datetime", "datetime(3)", "datetime(6)"),
        },
        ("'2026-02-28 23:59:59'", "'2026-01-02 03:04:05.250000'", "'1999-12-31 00:00:00.000001'"),
        {"sqlite": "replace({c}, ' ', 'T')", "postgresql": _STAMP_PG, "mariadb": _STAMP_MY},
    ),
    Kind(
        "zoned",
        "other",
        {
            "postgresql": ("timestamptz", "timestamptz(0)", "timestamptz(3)"),
            "mariadb": ("timestamp null", "timestamp(3) null", "timestamp(6) null"),
        },
        ("'2026-02-28 23:59:59'", "'2026-07-02 03:04:05.250000'", "'1999-12-31 00:00:00.000001'"),
        {"postgresql": _STAMP_ZONED, "mariadb": f"concat({_STAMP_MY}, 'Z')"},
    ),
    Kind(
        "clock",
        "other",
        {"sqlite": ("TIME",), "postgresql": ("time", "time(0)"), "mariadb": ("time",)},
        ("'03:04:05'", "'23:59:59'"),
        _AS_TEXT,
    ),
    Kind(
        "guid",
        "other",
        {"sqlite": ("CHAR(36)",), "postgresql": ("uuid",), "mariadb": ("uuid",)},
        ("'6f1b4f5e-0d7c-4c0a-9d53-2a5a6d1f0a11'",),
        _AS_TEXT,
    ),
    Kind(
        "document",
        "other",
        {"sqlite": ("JSON",), "postgresql": ("json", "jsonb"), "mariadb": ("json",)},
        ('\'{"a": [1, 2.5, null, "ü"]}\'', "'[]'", "'[{\"b\": true}, {}]'"),
        _AS_TEXT,
        json.loads,
    ),
    Kind(
        "list",
        "other",
        {"postgresql": ("int[]",)},
        ("'{1,2,NULL}'", "'{}'"),
        {"postgresql": "to_json({c})::text"},
        json.loads,
    ),
    Kind(
        "raw",
        "other",
        {"postgresql": ("bytea",), "mariadb": ("blob", "varbinary(20)")},
        ("{raw}",),
        {"postgresql": "encode({c}, 'base64')", "mariadb": "to_base64({c})"},
    ),
)
RAW = {"postgresql": "'\\x00ff6162'", "mariadb": "x'00ff6162'"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of one example's table; `name` as it is, unquoted."""

    name: str
    kind: Kind
    sql_type: str

    def literal(self, value: str, backend: str) -> str:
        return RAW[backend] if value == "{raw}" else value


def quoted(name: str, backend: str) -> str:
    """An identifier as the database wants it."""
    return f"`{name}`" if backend == "mariadb" else f'"{name}"'


def path(name: str) -> str:
    """A column as an expression names it."""
    return json.dumps(name, ensure_ascii=False)
