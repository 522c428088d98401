"""Sequences: the scale of numbers that grow with every change and tell no time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from sync.shared.words import Json


@dataclass(frozen=True, slots=True)
class SequenceScale:
    """Numbers that grow with every change and tell no time.

    Positions have `places` decimal places (whole numbers none). A value between two positions takes the lower one, so
    the lower bound is "greater than the position before": no value in between is skipped. `fraction` renders values
    that are not whole. No number reaches `top`; text in SQLite, NaN and infinity do. The driver binds no integers from
    `widest` on.
    """

    places: int = 0
    fraction: Callable[[Decimal], Any] = float
    top: Any = None
    widest: int | None = None
    words = "a sequence"
    follows_clock = False
    doubt = 0

    @property
    def _unit(self) -> int:
        """Return the positions from one whole number to the next."""
        return int(10**self.places)

    def low(self, position: int) -> Any:
        """Return the number that the column must be *greater* than."""
        return self._number(position - 1)

    def high(self, position: int) -> Any:
        """Return a whole number: columns of floats are coarser than positions."""
        return self._number(-(-position // self._unit) * self._unit)

    def position(self, value: Any) -> int | None:
        if isinstance(value, int):
            return int(value) * self._unit
        exact = finite(value)
        return None if exact is None else math.floor(Fraction(exact) * self._unit)

    def floor(self, position: int) -> int:
        return position

    def end(self, position: int) -> int:
        return position + 1

    def reach(self, position: int) -> int:
        return position

    def patience(self, now: int) -> int:  # noqa: ARG002 - numbers know no clock
        return 0

    def write(self, position: int) -> Json:
        return self._text(position)

    def read(self, text: Json) -> int:
        return math.floor(Fraction(text) * self._unit)

    def read_end(self, text: Json) -> int:
        """Return a position behind a value; one written while the column was whole follows a whole number."""
        return self.read(text) if "." in str(text) else (int(text) - 1) * self._unit + 1

    def _number(self, position: int) -> Any:
        whole, rest = divmod(position, self._unit)
        if rest:
            return self.fraction(Decimal(self._text(position)))
        return float(whole) if self.widest is not None and abs(whole) >= self.widest else whole

    def _text(self, position: int) -> str:
        whole, rest = divmod(abs(position), self._unit)
        tail = f".{rest:0{self.places}d}".rstrip("0") if rest else ""
        return f"{'-' if position < 0 else ''}{whole}{tail}"


def number_text(value: Any) -> str:
    """Return a number's plain digits, without an exponent and without trailing zeros of a fraction."""
    if isinstance(value, int):
        return str(int(value))
    text = format(finite(value) or Decimal(), "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def is_whole(value: Any) -> bool:
    """Return whether a value is a whole number, or no number."""
    exact = finite(value)
    return exact is None or Fraction(exact).denominator == 1


def finite(value: Any) -> Decimal | None:
    """Return a float (as it is written) or decimal as a finite decimal; None for everything else."""
    if not isinstance(value, float | Decimal):
        return None
    exact = Decimal(repr(float(value))) if isinstance(value, float) else value
    return exact if exact.is_finite() else None
