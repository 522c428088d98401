"""A mapping's `where` and its nested JSON pick what the database itself picks, by table and by query."""

from __future__ import annotations

from typing import Any

import pytest

from sync.config.schema import LeadTable, Wire
from sync.mapping.compile import LeadMapping, compile_mapping
from sync.mapping.result import Lead
from tests.connectors.sql_servers import Server
from tests.connectors.sql_streams import TABLE_AND_QUERY, read_all, stream

FLAGS = {
    "postgresql": {"as_bool": "boolean", "as_small": "smallint", "as_numeric": "numeric(3,1)", "as_real": "real"},
    "mariadb": {
        "as_bool": "tinyint(1)",
        "as_int": "int(1)",
        "as_tiny": "tinyint",
        "as_bit": "bit(1)",
        "as_dec": "decimal(3,1)",
    },
    "sqlite": {"as_bool": "boolean", "as_int": "integer", "as_real": "real", "as_any": ""},
}
CONDITIONS = {
    "{0}": "{0} <> 0",
    "!{0}": "{0} = 0",
    "{0} == `0`": "{0} = 0",
    "{0} == `false`": "{0} = 0",
    "{0} == `true`": "{0} = 1",
    "{0} != `1`": "{0} <> 1 or {0} is null",
    "{0} && name != 'b'": "{0} <> 0 and name <> 'b'",
    "{0} > `0`": "{0} > 0",
}
"""An expression, and the same in SQL; !x holds for null, as no row's null is true."""


def _mapping(table: dict[str, Any], children: tuple[str, ...] = ()) -> LeadMapping:
    lead = LeadTable.model_validate({"kind": "company", "name": "name"} | table)
    return compile_mapping(lead, where="lead", children=children, wire=Wire(), lookups={})


@pytest.mark.parametrize("query", [False, True], ids=["table", "query"])
def test_a_flag_counts_as_the_database_counts_it(server: Server, query: bool) -> None:
    flags = FLAGS[server.backend]
    columns = ", ".join(f"{name} {kind}" for name, kind in flags.items())
    server.run(f"CREATE TABLE companies (id int PRIMARY KEY, name varchar(9), {columns})")
    for id_, (name, value) in enumerate([("a", 0), ("b", 1), ("c", 1), ("d", None)]):
        cells = [value if value is None or kind != "boolean" else bool(value) for kind in flags.values()]
        server.run(f"INSERT INTO companies VALUES (?, ?{', ?' * len(cells)})", [id_, name, *cells])
    options = TABLE_AND_QUERY[query]
    records = read_all(server.url, stream(**options))
    for flag, kind in flags.items():
        column = f"{flag}::int" if kind == "boolean" and server.backend == "postgresql" else flag
        for expression, sql in CONDITIONS.items():
            condition = sql.format(column)
            if expression == "!{0}":
                condition += f" or {column} is null"
            expected = {str(row[0]) for row in server.run(f"SELECT id FROM companies WHERE {condition}")}
            mapping = _mapping({"where": expression.format(flag)})
            kept = {id_ for id_, record in records.items() if isinstance(mapping.apply(record.data), Lead)}
            assert kept == expected, (flag, expression)


def test_json_that_arrives_as_text_is_opened(server: Server) -> None:
    """Grandchildren and contacts of a join come by the database's own JSON aggregation."""
    server.run("CREATE TABLE companies (id int PRIMARY KEY, name varchar(9), socialnetworks text)")
    server.run("CREATE TABLE people (id int PRIMARY KEY, company int, first varchar(9))")
    server.run(
        """INSERT INTO companies VALUES (1, 'a', '{"linkedin": "paul-sa"}'), (2, 'b', 'no JSON'), (3, 'c', NULL)"""
    )
    server.run("INSERT INTO people VALUES (1, 1, 'Jo'), (2, 1, 'Al')")
    aggregate = {
        "postgresql": "(select json_agg(json_build_object('first', p.first) order by p.id) from people p "
        "where p.company = c.id)",
        "mariadb": "(select json_arrayagg(json_object('first', p.first) order by p.id) from people p "
        "where p.company = c.id)",
        "sqlite": "(select json_group_array(json_object('first', p.first)) from people p where p.company = c.id)",
    }[server.backend]
    records = read_all(server.url, stream(query=f"SELECT c.*, {aggregate} AS people FROM companies c"))
    mapping = _mapping(
        {
            "socials": "[json(socialnetworks).linkedin]",
            "contacts": [{"from": "json(people)", "name": "first", "role": "$.name"}],
        }
    )
    made = {id_: mapping.apply(record.data) for id_, record in records.items()}
    documents = {id_: outcome.document for id_, outcome in made.items() if isinstance(outcome, Lead)}
    assert documents["1"] == {
        "isContact": False,
        "name": "a",
        "socials": [{"Url": "paul-sa"}],
        "contacts": [{"name": "Jo", "role": "a"}, {"name": "Al", "role": "a"}],
    }
    assert documents["2"] == {"isContact": False, "name": "b"}
    assert documents["3"] == {"isContact": False, "name": "c"}
