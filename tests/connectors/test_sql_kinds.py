"""What a database tells of its columns, so that `check` can hold the mapping's constants against it."""

from __future__ import annotations

import pytest

from connectors.interface import Describes, FieldKind
from sync.shared.words import Wanted
from tests.connectors.sql_servers import Server
from tests.connectors.sql_streams import TABLE_AND_QUERY, connect, stream

COLUMNS = {
    "postgresql": "flag boolean, tiny smallint, amount numeric(10,2), ratio real, short varchar(3), code char(2), "
    "mark bit(1), marks bit varying, body text, kind kind, born date, changed timestamp, "
    "zoned timestamptz, doc jsonb, list text[]",
    "mariadb": "flag boolean, tiny tinyint, amount decimal(10,2), ratio float, short varchar(3), code char(2), "
    "body text, kind enum('gold','sil''ver'), some set('a','b'), born date, changed datetime, "
    "zoned timestamp, doc json",
    "sqlite": "flag boolean, tiny int, amount decimal(10,2), ratio real, short varchar(3), code char(2), body text, "
    "kind, born date, changed datetime, doc json",
}
GOLD = FieldKind("text", {"gold": "gold", "sil'ver": "sil'ver"})
COMMON = {
    "flag": FieldKind("boolean"),
    "tiny": FieldKind("integer"),
    "ratio": FieldKind("number"),
    "body": FieldKind("text"),
}
SHORT = {"short": FieldKind("text", length=3), "code": FieldKind("text", length=2)}
TIMES = {"born": FieldKind("date"), "changed": FieldKind("time"), "zoned": FieldKind("time")}
KINDS = {
    "postgresql": COMMON
    | SHORT
    | TIMES
    | {"amount": FieldKind("decimal"), "kind": GOLD, "mark": FieldKind("bits"), "marks": FieldKind("bits")},
    "mariadb": COMMON
    | SHORT
    | TIMES
    | {"amount": FieldKind("decimal"), "kind": GOLD, "some": FieldKind("text", {"a": "a", "b": "b"}, several=True)},
    "sqlite": COMMON | {"short": FieldKind("text"), "code": FieldKind("text")},
}


def _tables(server: Server) -> None:
    if server.backend == "postgresql":
        server.run("CREATE TYPE kind AS ENUM ('gold', 'sil''ver')")
    server.run(f"CREATE TABLE companies (id int PRIMARY KEY, {COLUMNS[server.backend]})")
    server.run("CREATE TABLE contacts (id int PRIMARY KEY, company_id int, priv smallint, mail varchar(20))")


@pytest.mark.parametrize("query", [False, True], ids=["table", "query"])
def test_the_kinds_of_columns_are_told(server: Server, query: bool) -> None:
    _tables(server)
    names = [part.split()[0] for part in COLUMNS[server.backend].split(", ")]
    child = {"table": "contacts", "parent": "company_id", "key": "id"}
    wanted = Wanted(frozenset((name,) for name in names), {"contacts": Wanted(frozenset({("priv",)}))})
    options = TABLE_AND_QUERY[query]
    connector = connect(server.url)
    try:
        assert isinstance(connector, Describes)
        found = connector.describe(stream(wanted, children={"contacts": child}, **options))
        whole = connector.describe(stream(Wanted(None), **options))
    finally:
        connector.close()
    expected = {(name,): kind for name, kind in KINDS[server.backend].items()}
    if query and server.backend == "sqlite":
        expected = {}
    if query and server.backend == "mariadb":  # a query has no catalogue
        text = FieldKind("text")
        expected |= {(name,): text for name in ("short", "code", "kind", "some")}
    assert found == expected | {("contacts", "priv"): FieldKind("integer")}
    assert whole == {**expected, **({} if query and server.backend == "sqlite" else {("id",): FieldKind("integer")})}
