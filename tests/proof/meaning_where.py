"""Conditions twice: as an expression of the mapping, and in SQL as the database answers it.

An expression knows two answers, SQL three: NULL equals nothing but `null`, and whatever else is asked of it is false.
0 is false, `true` is 1 and `false` is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from sync.mapping.expressions import compile_expression
from sync.mapping.syntax import BadExpression
from tests.proof.meaning_columns import Column, path, quoted

_NUMBERS = ("0", "1", "2", "-1", "0.5", "12.5")
_ORDER = ("<", "<=", ">", ">=")


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition, in both languages."""

    expression: str
    sql: str


def conditions(columns: Sequence[Column], backend: str) -> st.SearchStrategy[Condition]:
    """Any condition over these columns."""
    atoms = st.sampled_from(columns).flatmap(lambda column: st.sampled_from(_atoms(column, backend)))
    return st.recursive(atoms, _joined, max_leaves=4).filter(_may_be_meant)


def _may_be_meant(condition: Condition) -> bool:
    """Not one that compares a field with two constants at once, which is refused when it is loaded."""
    try:
        compile_expression(condition.expression, {}, condition=True)
    except BadExpression as error:
        return not any("one field is compared with two constants" in what for what, _ in error.faults)
    return True


def _joined(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    pairs = st.tuples(inner, inner)
    return st.one_of(
        inner.map(lambda one: Condition(f"!({one.expression})", f"not ({one.sql})")),
        pairs.map(
            lambda two: Condition(f"({two[0].expression} && {two[1].expression})", f"({two[0].sql} and {two[1].sql})")
        ),
        pairs.map(
            lambda two: Condition(f"({two[0].expression} || {two[1].expression})", f"({two[0].sql} or {two[1].sql})")
        ),
    )


def _atoms(column: Column, backend: str) -> list[Condition]:
    name, at = path(column.name), quoted(column.name, backend)
    atoms = [
        Condition(f"({name} == `null`)", f"({at} is null)"),
        Condition(f"({name} != `null`)", f"({at} is not null)"),
    ]
    match column.kind.role:
        case "flag":
            atoms += _flag_atoms(name, at, backend)
        case "number":
            atoms += _number_atoms(name, at)
        case "text":
            atoms += _text_atoms(column, name, at, backend)
        case "day":
            atoms.append(Condition(name, f"({at} is not null)"))
            atoms += _equal(name, at, "'2026-02-28'", "'2026-02-28'")
    return atoms


def _flag_atoms(name: str, at: str, backend: str) -> list[Condition]:
    yes, no = ("true", "false") if backend == "postgresql" else ("1", "0")
    atoms = [Condition(name, f"coalesce({at} = {yes}, false)")]
    for word, meant in (("true", yes), ("false", no), ("1", yes), ("0", no)):
        atoms += _equal(name, at, f"`{word}`", meant)
    return atoms


def _number_atoms(name: str, at: str) -> list[Condition]:
    atoms = [Condition(name, f"coalesce({at} <> 0, false)")]
    for word, meant in (*((number, number) for number in _NUMBERS), ("true", "1"), ("false", "0")):
        atoms += _equal(name, at, f"`{word}`", meant)
    atoms += [
        Condition(f"({name} {order} `{number}`)", f"coalesce({at} {order} {number}, false)")
        for order in _ORDER
        for number in _NUMBERS
    ]
    return atoms


def _text_atoms(column: Column, name: str, at: str, backend: str) -> list[Condition]:
    atoms = [Condition(name, f"coalesce({at} <> '', false)")]
    for literal in column.kind.values:
        meant = literal
        if backend == "mariadb":  # text is compared letter by letter, whatever the column's collation
            meant, exactly = f"cast({literal} as binary)", f"cast({at} as binary)"
        else:
            exactly = at
        constant = literal[1:-1].replace("''", "\\'")
        atoms += _equal(name, exactly, f"'{constant}'", meant)
    return atoms


def _equal(name: str, at: str, constant: str, meant: str) -> list[Condition]:
    return [
        Condition(f"({name} == {constant})", f"coalesce({at} = {meant}, false)"),
        Condition(f"({name} != {constant})", f"(not coalesce({at} = {meant}, false))"),
    ]
