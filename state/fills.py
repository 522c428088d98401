"""Counts how often each field is filled, per mapping version, so that one that is suddenly empty everywhere is
noticed."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import orjson

from state.rows import Decision, Stored

LEADS = ""
"""Under this name the leads themselves are counted."""


@dataclass(frozen=True, slots=True)
class Filled:
    """The number of leads of one mapping version, and how many of them have each top-level field of the wire
    document."""

    leads: int = 0
    having: Mapping[str, int] = field(default_factory=dict)


def filled(payloads: Iterable[bytes]) -> Filled:
    """Count the fields of these wire documents."""
    counts = _counted((0, fields_in(payload)) for payload in payloads).get(0, Counter())
    return Filled(counts.pop(LEADS, 0), counts)


def fields_in(payload: bytes) -> tuple[str, ...]:
    """Return the top-level fields of a wire document."""
    return tuple(orjson.loads(payload))


def count_leads(connection: sqlite3.Connection, leads: Iterable[tuple[int, tuple[str, ...]]]) -> None:
    """Add released leads to the counts, as part of the releasing transaction: (mapping version, fields of its wire
    document) of each."""
    connection.executemany(
        "INSERT INTO fills (mapping, field, leads) VALUES (?, ?, ?)"
        " ON CONFLICT (mapping, field) DO UPDATE SET leads = leads + excluded.leads",
        [(mapping, name, n) for mapping, counts in _counted(leads).items() for name, n in counts.items()],
    )


def let_go_at_once(
    changes: Iterable[Decision], known: Mapping[str, Stored], *, released: bool
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield, for `count_leads`, the leads of a page that become pending without passing the guard: of a released poll,
    or released by a person."""
    for change in changes:
        before, reading = known.get(change.reading.id), change.reading
        # An update of a pending record was counted when it was queued.
        begins = change.state == "pending" and (before is None or before.state != "pending")
        by_a_person = before is not None and before.again == "send"
        if begins and (released or by_a_person) and reading.payload is not None:
            yield reading.version.mapping, reading.fields or fields_in(reading.payload)


def fields_of(connection: sqlite3.Connection, mapping: int) -> Filled:
    """Return the counts of that mapping version so far."""
    having = {
        row["field"]: row["leads"]
        for row in connection.execute("SELECT field, leads FROM fills WHERE mapping = ?", (mapping,))
    }
    return Filled(having.pop(LEADS, 0), having)


def _counted(leads: Iterable[tuple[int, tuple[str, ...]]]) -> dict[int, Counter[str]]:
    counts: defaultdict[int, Counter[str]] = defaultdict(Counter)
    # Most leads have the same fields as others.
    for (mapping, names), n in Counter(leads).items():
        counts[mapping].update({LEADS: n, **dict.fromkeys(names, n)})
    return counts
