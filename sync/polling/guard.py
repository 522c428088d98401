"""Decides whether what a poll would create is unusual. Pure: figures in, remarks out; none means that all is as ever.

On an API that can only create a mistake must be stopped before it is sent: a table filled by accident, a column that
was renamed, records that were given new ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from state.gate import GuardFigures
from sync.config.schema import Guard
from sync.mapping.result import Note

FEWEST_LEADS = 20
"""A field says nothing by its absence from fewer leads than this, nor by its presence in fewer before."""
CHANCE = 1e-6
"""A field is suddenly empty when chance alone would leave it out of all these leads more rarely than this."""
FEWEST_ADDRESSES = 10
KNOWN_PERCENT = 90


def unusual(figures: GuardFigures, guard: Guard, fields: Mapping[str, str]) -> tuple[Note, ...]:
    """Why these leads should wait for a person's approval. `fields`: name on the wire -> key in the mapping, of the
    fields that are watched."""
    return (
        *too_many(figures.leads, guard),
        *_more_than_usual(figures, guard),
        *_suddenly_empty(figures, fields),
        *_known_elsewhere(figures),
    )


def too_many(leads: int, guard: Guard) -> Iterator[Note]:
    if leads > guard.max_new:
        hint = "approve them if this is expected; raise `max_new` in [guard] to allow it in future"
        yield Note("", f"{leads:,} new leads in one poll; max_new is {guard.max_new:,}", hint=hint)


def _more_than_usual(figures: GuardFigures, guard: Guard) -> Iterator[Note]:
    """Compare what a day would create with an average day: how often a stream is polled must not matter, and what came
    while it was not read may be twice as much as is usual for that time."""
    usual, day = figures.usual, figures.today + figures.leads
    if usual is None:
        return
    times = guard.factor if usual.since < 2 else max(guard.factor, 2 * usual.since)
    if day <= max(guard.at_least, times * usual.a_day):
        return
    new = f"{figures.leads:,} new {'lead' if figures.leads == 1 else 'leads'}"
    is_long = round(usual.since) > 1
    new += (
        f", {day:,} within {f'{usual.since:.0f} days' if is_long else '24 hours'}" if figures.today or is_long else ""
    )
    days = "day" if round(usual.days) == 1 else f"{usual.days:.0f} days"
    hint = "approve them if this is expected; raise `factor` or `at_least` in [guard] to allow it in future"
    yield Note("", f"{new} (usually {_rounded(usual.a_day)} a day, over the last {days})", hint=hint)


def _rounded(number: float) -> str:
    """`1,234`, `12`, `0.4`; 0 only where there was none."""
    return f"{number:,.0f}" if number >= 10 or not number else f"{max(number, 0.1):.1f}".removesuffix(".0")


def _suddenly_empty(figures: GuardFigures, fields: Mapping[str, str]) -> Iterator[Note]:
    now, before = figures.now, figures.before
    if min(now.leads, before.leads) < FEWEST_LEADS:
        return
    for name, key in fields.items():
        had = before.having.get(name, 0)
        share = (had + 1) / (before.leads + 2)
        if had and not now.having.get(name) and (1 - share) ** now.leads < CHANCE:
            earlier = f"{_percent(had, before.leads)} of the {before.leads:,} before had it"
            hint = "look at it in the source and in the mapping"
            yield Note(key, f"is empty in all {now.leads:,} new leads; {earlier}", hint=hint)


def _known_elsewhere(figures: GuardFigures) -> Iterator[Note]:
    asked, known = figures.with_email, figures.known_elsewhere
    if asked >= FEWEST_ADDRESSES and 100 * known >= KNOWN_PERCENT * asked:
        what = f"{known:,} of {asked:,} new records have an e-mail address of a lead that exists under another id"
        yield Note("", what, hint="if the source gave its records new ids, discard them: these leads exist")


def _percent(part: int, whole: int) -> str:
    """`94 %`; 100 % is only all of them."""
    return f"{100 if part == whole else min(99, round(100 * part / whole))} %"
