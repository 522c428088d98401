"""Many rows are inserted with few statements, whatever their columns have in common."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.bulk import insert

VALUES = st.one_of(st.none(), st.integers(-9, 9), st.text(max_size=2), st.binary(max_size=2))


@pytest.mark.parametrize("rows", [0, 1, 99, 100, 101, 250])
@given(data=st.data())
def test_each_row_arrives_as_it_is_and_in_its_place(rows: int, data: st.DataObject) -> None:
    alike = data.draw(st.lists(VALUES, min_size=3, max_size=3))
    differs = data.draw(st.sets(st.sampled_from([0, 1, 2])))
    given_rows = [tuple([n if at in differs else alike[at] for at in range(3)]) for n in range(rows)]
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("CREATE TABLE t (a ANY, b ANY, c ANY) STRICT")
        insert(connection, "t (a, b, c)", given_rows)
        assert connection.execute("SELECT a, b, c FROM t ORDER BY rowid").fetchall() == given_rows
    finally:
        connection.close()


def test_a_value_that_differs_in_one_row_of_many_is_not_taken_for_shared() -> None:
    given_rows = [("same", 1)] * 199 + [("other", 1)]
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("CREATE TABLE t (a TEXT, b INTEGER) STRICT")
        insert(connection, "t (a, b)", given_rows)
        assert connection.execute("SELECT a, b FROM t ORDER BY rowid").fetchall() == given_rows
    finally:
        connection.close()
