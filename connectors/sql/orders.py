"""`ColumnOrder`: one column as its database compares it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement

from connectors.sql.keys import KeyKind
from connectors.sql.statements import value

SqlExpression = ColumnElement[Any]


@dataclass(frozen=True, slots=True)
class ColumnOrder:
    """One column as its database compares it.

    `type` is the database's name of its type, "" where it was not asked. `kind` is the kind of Python values the column
    takes, None where that is not known. `exact` selects the value as the database renders it (None: the plain value is
    exact); `write` turns that, a plain value or a window's bound into what the driver binds, and `typed` wraps the
    parameter. `shown` selects what equals a plain value (None: the bare column). `single`: numbers of single precision.
    `loses` tells by a plain value and the exact one whether the plain one lacks digits, so that two rows could share
    it.
    """

    column: str
    type: str = ""
    kind: KeyKind | None = None
    exact: Callable[[SqlExpression], SqlExpression] | None = None
    write: Callable[[Any], Any] = lambda it: it
    typed: Callable[[SqlExpression], SqlExpression] | None = None
    shown: Callable[[SqlExpression], SqlExpression] | None = None
    single: bool = False
    loses: Callable[[Any, Any], bool] | None = None

    def bound(self, it: Any) -> SqlExpression:
        """Return the value (as `exact` renders it, or a bound of a window) to compare the bare column with."""
        parameter = value(self.write(it))
        return parameter if self.typed is None else self.typed(parameter)


@dataclass(frozen=True, slots=True)
class Type:
    """A column's type: its name in the database's words, and (SQL Server) the collation of its text."""

    name: str
    collation: str | None = None
    code: Any = None


def iso_moment(it: Any) -> Any:
    """Return a bound of a window as ISO 8601: drivers bind datetimes as types of their own choice."""
    return it.isoformat() if isinstance(it, date) else it


_BELOW_MICROSECONDS = re.compile(r"\.\d{6}0*[1-9]")


def has_more_digits(_plain: Any, exact: Any) -> bool:
    """Return whether an exact value has digits below the microseconds that drivers return."""
    return isinstance(exact, str) and bool(_BELOW_MICROSECONDS.search(exact))
