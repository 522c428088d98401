"""Statements for databases that no test can run: they are the dialect's own, and compare what the database renders."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
import sqlglot
from sqlalchemy.dialects import mssql, oracle
from sqlalchemy.engine.default import DefaultDialect

from connectors.sql.halving import chunks
from connectors.sql.ordering import _BY_BACKEND, ColumnType
from connectors.sql.statements import Bounds, ColumnOrder, Relation, page, rows_in

DIALECTS: dict[str, Any] = {
    "mssql": mssql.dialect(),
    "oracle": oracle.dialect(),
    "snowflake": DefaultDialect(paramstyle="named"),
}
GRAMMARS = {"mssql": "tsql", "oracle": "oracle", "snowflake": "snowflake"}
RELATIONS = [Relation("crm.companies", None), Relation(None, "SELECT c.* FROM crm.companies c")]

# The database's name of the type, how it is rendered, how it comes back.
CASES: list[tuple[str, ColumnType, str, str]] = [
    ("mssql", ColumnType("datetime"), "convert(varchar(40), t.m, 126)", "convert(datetime, X, 126)"),
    ("mssql", ColumnType("datetime2(7)"), "convert(varchar(40), t.m, 126)", "convert(datetime2(7), X, 126)"),
    ("mssql", ColumnType("datetimeoffset(7)"), "convert(varchar(40), t.m, 121)", "convert(datetimeoffset(7), X, 121)"),
    (
        "mssql",
        ColumnType("varchar(20)", "Latin1_General_CI_AS"),
        "",
        "convert(varchar(20), X COLLATE Latin1_General_CI_AS)",
    ),
    ("mssql", ColumnType("bigint"), "", "X"),
    (
        "oracle",
        ColumnType("DB_TYPE_TIMESTAMP"),
        "to_char(t.m, 'YYYY-MM-DD HH24:MI:SS.FF9')",
        "to_timestamp(X, 'YYYY-MM-DD HH24:MI:SS.FF9')",
    ),
    (
        "oracle",
        ColumnType("DB_TYPE_TIMESTAMP_TZ"),
        "to_char(t.m, 'YYYY-MM-DD HH24:MI:SS.FF9 TZH:TZM')",
        "to_timestamp_tz(X, 'YYYY-MM-DD HH24:MI:SS.FF9 TZH:TZM')",
    ),
    (
        "oracle",
        ColumnType("DB_TYPE_DATE"),
        "to_char(t.m, 'YYYY-MM-DD HH24:MI:SS')",
        "to_date(X, 'YYYY-MM-DD HH24:MI:SS')",
    ),
    ("oracle", ColumnType("DB_TYPE_NUMBER"), "", "X"),
    (
        "snowflake",
        ColumnType("8", code=8),
        "to_varchar(t.m, 'YYYY-MM-DD HH24:MI:SS.FF9')",
        "to_timestamp_ntz(X, 'YYYY-MM-DD HH24:MI:SS.FF9')",
    ),
    (
        "snowflake",
        ColumnType("7", code=7),
        "to_varchar(t.m, 'YYYY-MM-DD HH24:MI:SS.FF9 TZH:TZM')",
        "to_timestamp_tz(X, 'YYYY-MM-DD HH24:MI:SS.FF9 TZH:TZM')",
    ),
]


def _order(backend: str, type_: ColumnType, column: str) -> ColumnOrder:
    found = _BY_BACKEND[backend](type_)
    return ColumnOrder(column, found.type, found.kind, found.exact, found.write, found.typed, found.shown)


def _compiled(backend: str, statement: Any) -> tuple[str, dict[str, Any]]:
    """The statement, which the grammar of its dialect takes as one SELECT, with X for each parameter."""
    compiled = statement.compile(dialect=DIALECTS[backend], compile_kwargs={"render_postcompile": True})
    text = str(compiled)
    (parsed,) = sqlglot.parse(text, read=GRAMMARS[backend])
    assert isinstance(parsed, sqlglot.exp.Select)
    for name in sorted(compiled.params, key=len, reverse=True):
        text = text.replace(f":{name}", "X")
    return " ".join(text.split()), compiled.params


@pytest.mark.parametrize("relation", RELATIONS, ids=["table", "query"])
@pytest.mark.parametrize(("backend", "type_", "rendered", "bound"), CASES)
def test_a_page_compares_the_bare_column_with_a_value_of_its_own_type(
    backend: str, type_: ColumnType, rendered: str, bound: str, relation: Relation
) -> None:
    orders = [_order(backend, type_, "m"), ColumnOrder("tenant"), ColumnOrder("number")]
    bounds = Bounds("low", "high", ("m", 7, 1001))
    text, parameters = _compiled(backend, page(relation, ["name"], False, orders=orders, bounds=bounds, limit=10))
    assert f"t.m >= {bound} AND (t.m > {bound} OR t.tenant >= X AND (t.tenant > X OR t.number > X))".lower() in (
        text.replace('"', "").replace("[", "").replace("]", "").lower()
    )
    assert f"t.m < {bound}".lower() in text.lower()
    assert rendered.lower() in text.lower()
    assert "OFFSET" not in text
    assert {"high", "m", 7, 1001} <= set(parameters.values())
    (order_by,) = sqlglot.parse_one(text.replace("X", "1"), read=GRAMMARS[backend]).find_all(sqlglot.exp.Order)
    assert [one.this.name for one in order_by.expressions] == ["m", "tenant", "number"]


@pytest.mark.parametrize("backend", list(DIALECTS))
def test_rows_are_found_by_keys_of_several_columns_within_the_databases_limits(backend: str) -> None:
    keys = [(tenant, number, "x") for tenant in range(40) for number in range(20)]
    orders = [ColumnOrder("a"), ColumnOrder("b"), ColumnOrder("c")]
    for some in chunks(keys):
        text, parameters = _compiled(
            backend, rows_in(RELATIONS[0], ["name"], False, columns=orders, values=some, then=("d",))
        )
        assert len(parameters) < 2100
        assert "OFFSET" not in text
    one = [(number,) for number in range(501)]
    assert [len(some) for some in chunks(one)] == [500, 1]


@pytest.mark.parametrize(
    ("backend", "type_", "bound", "bind"),
    [
        ("mssql", ColumnType("datetime"), datetime(2024, 1, 2, 3, 4, 5, 123456), "2024-01-02T03:04:05.123"),
        ("mssql", ColumnType("datetime2(7)"), datetime(2024, 1, 2, 3, 4, 5, 123456), "2024-01-02T03:04:05.123456"),
        ("mssql", ColumnType("datetimeoffset(7)"), datetime(2024, 1, 2, tzinfo=UTC), "2024-01-02 00:00:00+00:00"),
        ("mssql", ColumnType("date"), date(2024, 1, 2), "2024-01-02"),
        ("oracle", ColumnType("DB_TYPE_TIMESTAMP"), datetime(2024, 1, 2, 3, 4, 5, 6), "2024-01-02 03:04:05.000006000"),
        ("oracle", ColumnType("DB_TYPE_DATE"), datetime(2024, 1, 2, 3, 4, 5, 6), "2024-01-02 03:04:05"),
        (
            "oracle",
            ColumnType("DB_TYPE_TIMESTAMP_TZ"),
            datetime(2024, 1, 2, tzinfo=UTC),
            "2024-01-02 00:00:00.000000000 +00:00",
        ),
        ("snowflake", ColumnType("8", code=8), date(2024, 1, 2), "2024-01-02 00:00:00.000000000"),
        ("snowflake", ColumnType("8", code=8), "2024-01-02T03:04:05.000006", "2024-01-02 03:04:05.000006000"),
        ("snowflake", ColumnType("8", code=8), "2024-01-02 03:04:05.123456789", "2024-01-02 03:04:05.123456789"),
    ],
)
def test_a_windows_bound_is_bound_at_the_columns_own_precision(
    backend: str, type_: ColumnType, bound: Any, bind: str
) -> None:
    assert _order(backend, type_, "m").write(bound) == bind
