"""Scales: the values of a cursor column as integers, and the values to compare the column with.

A position is the number of microseconds since 1970 UTC, or the column's own number (`SequenceScale`). Windows are `low
<= column < high`; `low` and `high` below turn positions into values the database compares.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Any, Protocol

from connectors.sql.moments import (
    DAY,
    TextTimeFormat,
    canonical,
    datetime_of,
    format_of,
    greatest_offset,
    instant_of,
    instant_of_datetime,
    least_offset,
    offset_at,
)
from sync.shared.words import Json

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE

Render = Callable[[datetime], Any]
"""Turns a naive datetime in the column's own zone into the value that the driver binds."""


class Scale(Protocol):
    """The scale of one kind of cursor column."""

    @property
    def words(self) -> str:
        """Return a description of the column for people."""
        ...

    @property
    def follows_clock(self) -> bool:
        """Return whether its values are instants of the source's own clock: then a window that was read leaves nothing
        behind it."""
        ...

    def low(self, position: int) -> Any:
        """Return a value that no value at or after the position compares less than."""
        ...

    def high(self, position: int) -> Any:
        """Return a value that no value at or after the position compares less than, and every value a step before it
        does."""
        ...

    def position(self, value: Any) -> int | None:
        """Return the position of a value; None where it is no time (or number)."""
        ...

    def end(self, position: int) -> int:
        """Return the position behind all values that cannot be told from the one at `position`."""
        ...

    def floor(self, position: int) -> int:
        """Return the position that a row written at this instant gets: columns are coarser than clocks."""
        ...

    def reach(self, position: int) -> int:
        """Return the end of the interval that a value at `position` stands for: for a date the end of the day."""
        ...

    def patience(self, now: int) -> int:
        """Return how long after a value was first seen equal or smaller ones may still be written (microseconds)."""
        ...

    @property
    def doubt(self) -> int:
        """Return how far a position may be off because the writer's zone is unknown (microseconds)."""
        ...

    def write(self, position: int) -> Json:
        """Return the position as JSON, for a lane's cursor."""
        ...

    def read(self, text: Json) -> int:
        """Return the position that `write` wrote."""
        ...


# ---- numbers


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
        # The driver would raise for wider integers; a float compares the same.
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
    # The shortest digits that mean the float: Decimal(value) would give all its binary ones.
    exact = Decimal(repr(float(value))) if isinstance(value, float) else value
    return exact if exact.is_finite() else None


# ---- time


class _OfTime:
    """The common part of the scales of time: positions are instants."""

    follows_clock = False
    doubt = 0

    def write(self, position: int) -> Json:
        # Outside the years 1 to 9999 there is no canonical text.
        return canonical(position) or position

    def read(self, text: Json) -> int:
        instant = instant_of(text, UTC) if isinstance(text, str) else text
        return 0 if instant is None else int(instant)

    def reach(self, position: int) -> int:
        return position

    def patience(self, now: int) -> int:  # noqa: ARG002 - only some zones need to know when
        return SECOND


@dataclass(frozen=True, slots=True)
class Zoned(_OfTime):
    """Timestamps that know their zone; `grain` is their resolution (microseconds)."""

    render: Render
    grain: int = 1
    words = "timestamps that know their zone"
    follows_clock = True

    def low(self, position: int) -> Any:
        return _rendered(position, self.render)

    high = low

    def position(self, value: Any) -> int | None:
        return _instant(value, UTC)

    def floor(self, position: int) -> int:
        return position // self.grain * self.grain

    def end(self, position: int) -> int:
        return position + 1


@dataclass(frozen=True, slots=True)
class Naive(_OfTime):
    """Timestamps without a zone: local time of `zone`."""

    zone: tzinfo
    render: Render
    grain: int = 1
    words = "timestamps without a zone"
    doubt = DAY

    def low(self, position: int) -> Any:
        # In the hour that clocks repeat the wider bound is taken: a row may be read twice, none is missed.
        return _rendered(position + least_offset(self.zone, position), self.render)

    def high(self, position: int) -> Any:
        return _rendered(position + greatest_offset(self.zone, position), self.render)

    def position(self, value: Any) -> int | None:
        return _instant(value, self.zone)

    def floor(self, position: int) -> int:
        return position // self.grain * self.grain

    def end(self, position: int) -> int:
        return (position // self.grain + 1) * self.grain

    def patience(self, now: int) -> int:
        return SECOND + _repeated(self.zone, now)


@dataclass(frozen=True, slots=True)
class Days(_OfTime):
    """Dates: a row may change at any time of its day, so the last day is always read whole."""

    zone: tzinfo
    render: Render
    words = "dates"
    doubt = DAY

    def low(self, position: int) -> Any:
        return self.render(self._midnight(position))

    def high(self, position: int) -> Any:
        # The window's last day is read whole: nobody knows when on it a row was changed.
        return self.render(self._midnight(position) + timedelta(days=1))

    def position(self, value: Any) -> int | None:
        return _instant(value, self.zone)

    def floor(self, position: int) -> int:
        midnight = instant_of_datetime(self._midnight(position), self.zone)
        # Only in the years 1 and 9999 a zone's midnight cannot be computed.
        return position if midnight is None else midnight

    def end(self, position: int) -> int:
        tomorrow = self._midnight(position) + timedelta(days=1)
        instant = instant_of_datetime(tomorrow, self.zone)
        return position + DAY if instant is None else instant

    reach = end

    def patience(self, now: int) -> int:  # noqa: ARG002 - as above
        # The longest day, on which clocks are set back.
        return DAY + HOUR

    def _midnight(self, position: int) -> datetime:
        local = _datetime(position + offset_at(self.zone, position))
        return local.replace(hour=0, minute=0, second=0, microsecond=0)


@dataclass(frozen=True, slots=True)
class Epoch(_OfTime):
    """Numbers that count seconds or milliseconds since 1970; `unit` in microseconds."""

    unit: int

    @property
    def words(self) -> str:
        return "seconds since 1970" if self.unit == SECOND else "milliseconds since 1970"

    def low(self, position: int) -> Any:
        return position // self.unit

    high = low

    def position(self, value: Any) -> int | None:
        return _scaled(value, self.unit)

    def floor(self, position: int) -> int:
        return position // self.unit * self.unit

    def end(self, position: int) -> int:
        return (position // self.unit + 1) * self.unit

    def patience(self, now: int) -> int:  # noqa: ARG002 - seconds since 1970 know no zone
        return max(SECOND, self.unit)


@dataclass(frozen=True, slots=True)
class TextScale(_OfTime):
    """Text that sorts as time.

    Bounds are rendered to the second (or minute) without fraction and offset, so that every value of a later second
    compares greater and every value of an earlier one less.
    """

    shape: TextTimeFormat
    zone: tzinfo

    @property
    def words(self) -> str:
        return f"text such as {self.shape.words}"

    @property
    def _grain(self) -> int:
        return SECOND if self.shape.seconds else MINUTE

    def low(self, position: int) -> Any:
        return self._text(position + self._offset(position, least_offset))

    def high(self, position: int) -> Any:
        return self._text(position + self._offset(position, greatest_offset))

    def position(self, value: Any) -> int | None:
        return instant_of(value, self.zone) if isinstance(value, str) else None

    def floor(self, position: int) -> int:
        return position // self._grain * self._grain

    def end(self, position: int) -> int:
        return (position // self._grain + 1) * self._grain

    def patience(self, now: int) -> int:
        return self._grain + (0 if self.shape.offset is not None else _repeated(self.zone, now))

    @property
    def doubt(self) -> int:  # type: ignore[override] # a constant of the other scales
        return DAY if self.shape.offset is None else 0

    def sorts(self, value: Any) -> bool:
        """Return whether a text sorts by time among the others."""
        own = format_of(value) if isinstance(value, str) else None
        return own is not None and self.shape.covers(own)

    def _offset(self, position: int, choose: Callable[[tzinfo, int], int]) -> int:
        return choose(self.zone, position) if self.shape.offset is None else self.shape.offset * MINUTE

    def _text(self, local: int) -> str:
        length = 19 if self.shape.seconds else 16
        return _datetime(local).isoformat(self.shape.separator, timespec="seconds")[:length]


def day_text(moment: datetime) -> str:
    """Return the day as text."""
    return moment.date().isoformat()


def day_value(moment: datetime) -> date:
    """Return the day as a date."""
    return moment.date()


def _instant(value: Any, zone: tzinfo) -> int | None:
    if isinstance(value, str):
        return instant_of(value, zone)
    if isinstance(value, datetime):
        return instant_of_datetime(value, zone)
    if isinstance(value, date):
        return instant_of_datetime(datetime(value.year, value.month, value.day), zone)
    return None


def _scaled(value: Any, unit: int) -> int | None:
    if isinstance(value, int):
        return int(value) * unit
    exact = finite(value)
    # Exact, where multiplying floats would round.
    return None if exact is None else round(Fraction(exact) * unit)


def _datetime(microseconds: int) -> datetime:
    """Return the naive datetime, clamped to the years that can be written: bounds need no more."""
    moment = datetime_of(microseconds)
    if moment is not None:
        return moment
    # A day before the last, because `Days.high` adds one.
    return datetime(1, 1, 1) if microseconds < 0 else datetime(9999, 12, 30)


def _rendered(microseconds: int, render: Render) -> Any:
    return render(_datetime(microseconds))


def _repeated(zone: tzinfo, now: int) -> int:
    """Return the time (microseconds) that clocks of the zone showed twice since yesterday."""
    return max(0, greatest_offset(zone, now) - offset_at(zone, now))
