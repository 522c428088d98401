"""The conformance suite's world over a real database, for each kind of key and of cursor column."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

from connectors.conformance_world import ContractNames
from connectors.interface import Connector, StreamSpec
from connectors.sql.connector import SqlConnector
from connectors.sql.options import SqlChild, SqlSource, SqlStream
from sync.shared.words import Wanted
from tests.connectors.sql_servers import Server

START = datetime(2026, 3, 10, 12, 0, 0, 654321, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
FIXED = timezone(timedelta(hours=2))
SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Kind:
    """A cursor column: its type, what it stores of a time, how fine that is, and the options that say so."""

    type: str
    store: Callable[[datetime], Any]
    grain: timedelta = timedelta(microseconds=1)
    options: dict[str, str] | None = None
    sequence: bool = False
    unseen: int = 2

    def shown(self, at: datetime) -> str:
        if self.sequence:
            return str(self.store(at))
        if self.grain == timedelta(days=1):
            zone = ZoneInfo((self.options or {}).get("zone", "UTC"))
            return _canonical(at.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0))
        return _canonical(_floor(at, self.grain))


def _canonical(at: datetime) -> str:
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _floor(at: datetime, grain: timedelta) -> datetime:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + (at - epoch) // grain * grain


def _epoch(unit: timedelta) -> Callable[[datetime], int]:
    return lambda at: (at - datetime(1970, 1, 1, tzinfo=UTC)) // unit


def _naive(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(tzinfo=None)


MS = timedelta(milliseconds=1)
DAY = timedelta(days=1)
BERLIN_ZONE = {"zone": "Europe/Berlin"}
KINDS = {
    "sqlite": {
        "text_space": Kind("DATETIME", lambda at: f"{_floor(at, SECOND).astimezone(UTC):%Y-%m-%d %H:%M:%S}", SECOND),
        "text_t_z": Kind("TEXT", lambda at: _floor(at, MS).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z", MS),
        "text_offset": Kind("TEXT", lambda at: _floor(at, SECOND).astimezone(FIXED).isoformat(), SECOND),
        "text_minutes": Kind(
            "TEXT", lambda at: f"{at.astimezone(BERLIN):%Y-%m-%d %H:%M}", timedelta(minutes=1), BERLIN_ZONE
        ),
        "date": Kind("DATE", lambda at: f"{at.astimezone(BERLIN):%Y-%m-%d}", DAY, BERLIN_ZONE),
        "epoch_s": Kind("INTEGER", _epoch(SECOND), SECOND, {"modified_as": "epoch_s"}),
        "epoch_ms": Kind("INTEGER", _epoch(MS), MS, {"modified_as": "epoch_ms"}),
        "sequence": Kind("INTEGER", _epoch(MS), MS, {"modified_as": "sequence"}, sequence=True, unseen=1),
    },
    "postgresql": {
        "timestamptz": Kind("timestamptz", lambda at: at),
        "naive": Kind("timestamp", lambda at: at.astimezone(BERLIN).replace(tzinfo=None), options=BERLIN_ZONE),
        "date": Kind("date", lambda at: at.astimezone(UTC).date(), DAY),
        "sequence": Kind("bigint", _epoch(MS), MS, {"modified_as": "sequence"}, sequence=True, unseen=1),
        "text_t_z": Kind("text", lambda at: _floor(at, SECOND).strftime("%Y-%m-%dT%H:%M:%SZ"), SECOND),
    },
    "duckdb": {
        "naive": Kind("timestamp", lambda at: at.astimezone(BERLIN).replace(tzinfo=None), options=BERLIN_ZONE),
        "zoned": Kind("timestamptz", lambda at: at),
        "sequence": Kind("bigint", _epoch(MS), MS, {"modified_as": "sequence"}, sequence=True, unseen=1),
    },
    "firebird": {
        "naive": Kind("timestamp", lambda at: _floor(at, MS).astimezone(BERLIN).replace(tzinfo=None), MS, BERLIN_ZONE),
        "epoch_s": Kind("bigint", _epoch(SECOND), SECOND, {"modified_as": "epoch_s"}),
    },
    "mariadb": {
        "timestamp": Kind("timestamp(6) NULL", _naive),
        "naive": Kind("datetime(6)", lambda at: at.astimezone(BERLIN).replace(tzinfo=None), options=BERLIN_ZONE),
        "whole_seconds": Kind("datetime", lambda at: _naive(_floor(at, SECOND)), SECOND),
        "epoch_ms": Kind("bigint", _epoch(MS), MS, {"modified_as": "epoch_ms"}),
    },
}


KEYS: dict[str, tuple[dict[str, str], Callable[[int], Any]]] = {
    "integer": ({}, lambda number: number * 7 - 7),
    "text": (
        {"sqlite": "TEXT", "postgresql": "text", "mariadb": "varchar(40)", "duckdb": "varchar", "firebird": "char(20)"},
        lambda number: f"{'kKöß'[number % 4]}-{number} x",
    ),
    "uuid": (
        {"sqlite": "TEXT", "postgresql": "uuid", "mariadb": "uuid", "duckdb": "uuid", "firebird": "char(36)"},
        lambda number: str(uuid.UUID(int=number * 0x1234567_89ABCDEF_01234567_89ABCDEF % 2**128, version=4)),
    ),
}


class SqlWorld:
    """Companies and contacts in two tables of a real database; the source's clock is handed in."""

    names = ContractNames()
    null_modified = True

    def __init__(self, server: Server, key: str, kind: Kind, *, query: bool = False) -> None:
        types, self._key = KEYS[key]
        self._server, self._kind, self._query = server, kind, query
        self._time = START
        key_type = types.get(server.backend, "bigint" if server.backend != "sqlite" else "INTEGER")
        text = "varchar(80)"
        server.run(
            f"CREATE TABLE companies (id {key_type} PRIMARY KEY, name {text}, city {text}, secret {text},"
            f" updated_at {kind.type})"
        )
        server.run(
            f"CREATE TABLE contacts (id bigint PRIMARY KEY, company_id {key_type}, email {text},"
            f" updated_at {kind.type})"
        )
        server.run("CREATE INDEX companies_updated ON companies (updated_at)")

    def spec(self, wanted: Wanted, page_size: int, overlap: timedelta, settle: timedelta) -> StreamSpec:
        options: dict[str, Any] = {"key": "id", "modified": "updated_at", **(self._kind.options or {})}
        child = {"table": "contacts", "parent": "company_id", "key": "id", "modified": "updated_at"}
        child |= {key: value for key, value in (self._kind.options or {}).items() if key == "modified_as"}
        if self._query:
            options["query"] = "SELECT c.*, '12:30%' AS extra FROM companies c WHERE 'a:b' <> ':c' -- all of them;"
        else:
            options["table"] = "companies"
        stream, contacts = SqlStream.model_validate(options), SqlChild.model_validate(child)
        return StreamSpec("erp", "companies", stream, {"contacts": contacts}, wanted, overlap, settle, page_size)

    def connector(self) -> Connector:
        options = SqlSource.model_validate({"url": self._server.url})
        return SqlConnector("erp", options, clock=self._time.timestamp)

    def now(self) -> datetime:
        return self._time

    def advance(self, by: timedelta) -> None:
        self._time += by

    def put(self, number: int, name: str, city: str, at: datetime | None) -> None:
        key = self._key(number)
        self._server.write("DELETE FROM companies WHERE id = ?", [key])
        self._server.write(
            "INSERT INTO companies (id, name, city, secret, updated_at) VALUES (?, ?, ?, 'unwanted', ?)",
            [key, name, city, None if at is None else self._kind.store(at)],
        )

    def delete(self, number: int) -> None:
        self._server.write("DELETE FROM companies WHERE id = ?", [self._key(number)])

    def put_contact(self, number: int, company: int | None, email: str, at: datetime) -> None:
        parent = None if company is None else self._key(company)
        self._server.write("DELETE FROM contacts WHERE id = ?", [number])
        self._server.write(
            "INSERT INTO contacts (id, company_id, email, updated_at) VALUES (?, ?, ?, ?)",
            [number, parent, email, self._kind.store(at)],
        )

    def id_of(self, number: int) -> str:
        return str(self._key(number))

    def contact_id_of(self, number: int) -> str:
        return str(number)

    def modified_of(self, at: datetime | None) -> str | None:
        return None if at is None else self._kind.shown(at)

    def clear(self) -> None:
        self._server.write("DELETE FROM companies")
        self._server.write("DELETE FROM contacts")
        self._time = START


class PairWorld(SqlWorld):
    """As SqlWorld, with keys of two columns that only together are unique."""

    def __init__(self, server: Server, kind: Kind) -> None:
        self._server, self._kind, self._query = server, kind, False
        self._time = START
        server.run(
            "CREATE TABLE companies (tenant varchar(9), id int, name varchar(80), city varchar(80), secret varchar(9),"
            f" updated_at {kind.type}, PRIMARY KEY (tenant, id))"
        )
        server.run(
            f"CREATE TABLE contacts (part int, id int, company_tenant varchar(9), company_id int, email varchar(80),"
            f" updated_at {kind.type}, PRIMARY KEY (part, id))"
        )

    def spec(self, wanted: Wanted, page_size: int, overlap: timedelta, settle: timedelta) -> StreamSpec:
        options = {
            "table": "companies",
            "key": ["tenant", "id"],
            "modified": "updated_at",
            **(self._kind.options or {}),
        }
        child = {"table": "contacts", "parent": ["company_tenant", "company_id"], "key": ["part", "id"]}
        child |= {"modified": "updated_at"}
        stream, contacts = SqlStream.model_validate(options), SqlChild.model_validate(child)
        return StreamSpec("erp", "companies", stream, {"contacts": contacts}, wanted, overlap, settle, page_size)

    def _pair(self, number: int) -> list[Any]:
        return [f"{'ab'[number % 2]}/~", number // 2]

    def put(self, number: int, name: str, city: str, at: datetime | None) -> None:
        self.delete(number)
        stored = None if at is None else self._kind.store(at)
        self._server.write(
            "INSERT INTO companies VALUES (?, ?, ?, ?, 'unwanted', ?)", [*self._pair(number), name, city, stored]
        )

    def delete(self, number: int) -> None:
        self._server.write("DELETE FROM companies WHERE tenant = ? AND id = ?", self._pair(number))

    def put_contact(self, number: int, company: int | None, email: str, at: datetime) -> None:
        parent = [None, None] if company is None else self._pair(company)
        self._server.write("DELETE FROM contacts WHERE part = ? AND id = ?", [number % 3, number])
        self._server.write(
            "INSERT INTO contacts VALUES (?, ?, ?, ?, ?, ?)", [number % 3, number, *parent, email, self._kind.store(at)]
        )

    def id_of(self, number: int) -> str:
        return f"{'ab'[number % 2]}~1~0/{number // 2}"

    def contact_id_of(self, number: int) -> str:
        return f"{number % 3}/{number}"
