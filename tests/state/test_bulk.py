"""Many rows are inserted with few statements, whatever their columns have in common."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.bulk import insert

VALUES = st.one_of(st.none(), st.integers(-9, 9), st.text(max_size=2), st.binary(max_size=2))


def inserted(rows: Sequence[Sequence[object]]) -> list[tuple[object, ...]]:
    """Return what stands in a table of three columns after these rows were inserted."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (a ANY, b ANY, c ANY) STRICT")
        insert(connection, "t (a, b, c)", rows)
        return connection.execute("SELECT a, b, c FROM t ORDER BY rowid").fetchall()


@pytest.mark.parametrize("rows", [0, 1, 99, 100, 101, 250])
@given(data=st.data())
def test_each_row_arrives_as_it_is_and_in_its_place(rows: int, data: st.DataObject) -> None:
    alike = data.draw(st.lists(VALUES, min_size=3, max_size=3))
    differs = data.draw(st.sets(st.sampled_from([0, 1, 2])))
    given_rows = [tuple([n if at in differs else alike[at] for at in range(3)]) for n in range(rows)]
    assert inserted(given_rows) == given_rows


def test_a_value_that_differs_in_one_row_of_many_is_not_taken_for_shared() -> None:
    given_rows = [("same", 1, None)] * 199 + [("other", 1, None)]
    assert inserted(given_rows) == given_rows
