"""Whatever stands in the source: a clear reason for what cannot be sent, and everything else goes through."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing

from tests.proof.harness import OLD, TABLE, World, until

SECRET = "zx9canary"
TYPED = TABLE.replace("updated_at text", "updated_at text, data json, since date")
TEXT_KEYS = TABLE.replace("id integer", "id text")
GOOD = range(1, 21)
WHY = {
    101: "longer than 256 characters",
    102: "must be a whole number in digits",
    103: "must be a whole number in digits",
    104: "must be between 0 and 5,000,000",
    105: "must be a whole number",
    106: "is nested deeper than",
    107: "is declared as JSON but does not hold it",
    108: "must be between 0 and 5,000,000",
    109: "contains a NUL character",
    110: "contains a control character",
    111: "is not valid Unicode text",
    112: "is not valid Unicode text",
}
"""The part of the reason that each unusable row is expected to have."""
BAD = [
    (101, SECRET * 1_100_000, 1, OLD, "{}"),  # ten million characters
    (102, "a", SECRET, OLD, "{}"),  # text in an integer column
    (103, "b", 1e400, OLD, "{}"),  # infinity
    (104, "c", -5, OLD, "{}"),
    (105, "d", 2.5, OLD, "{}"),
    (106, "e", 1, OLD, "[" * 10_000 + "]" * 10_000),
    (107, "f", 1, OLD, '{"a": ' + SECRET),
    (108, "g", 2**62, OLD, "{}"),
    (109, f"{SECRET} \0", 1, OLD, "{}"),
    (110, f"{SECRET} \x1b[31m", 1, OLD, "{}"),
]
ODD = [
    (201, "Emoji 🦄 and ünïcödé", 1, OLD, "{}"),
    (202, "Year 9999", 1, "9999-12-31 23:59:59", "{}"),
    (203, "Year 1", 1, "0001-01-01 00:00:00", "{}"),
    (204, "Zero date", 1, "0000-00-00 00:00:00", "{}"),
    (205, "No date", 1, SECRET, "{}"),
    (206, "A number for a date", 1, 12345, "{}"),
]
NOT_UNICODE = [(111, b"\xff\xfe\x80"), (112, b"\xed\xa0\x80 half a character")]


def test_rubbish_is_explained_and_the_rest_goes_through(world_with: Callable[..., World]) -> None:
    world = world_with(table=TYPED)
    insert = "insert into companies (id, name, employees, updated_at, data) values (?, ?, ?, ?, ?)"
    for row in [*[(n, f"Company {n}", n, OLD, "{}") for n in GOOD], *BAD, *ODD]:
        world.source.execute(insert, *row)
    for number, text in NOT_UNICODE:
        world.source.execute(insert.replace("(?, ?,", "(?, cast(? as text),"), number, text, 1, OLD, "{}")
    world.write(lead='required = ["employee_count"]\nlabels = ["to_string(data)", "since"]')

    done = world.once()
    assert done.code == 65
    names = {f"Company {n}" for n in GOOD} | {str(row[1]) for row in ODD}
    assert world.names() == dict.fromkeys(names, 1)
    reasons = {int(id_): str(reason) for id_, reason in world.reasons().items()}
    assert reasons.keys() == WHY.keys()
    assert {n: WHY[n] in reasons[n] for n in WHY} == dict.fromkeys(WHY, True)
    assert SECRET not in done.stderr + done.stdout + str(reasons)

    before = world.requests()
    assert world.once().code == 65
    assert world.requests() == before


def test_memory_is_bounded(world: World) -> None:
    """Pages of rows, not tables, are held in memory: 100 MB of text in pages of two rows."""
    world.source.execute(
        "with recursive n(value) as (select 1 union all select value + 1 from n where value < 20)"
        " insert into companies select value, hex(zeroblob(2500000)), null, 1, ? from n",
        OLD,
    )
    world.write(connection="page_size = 2", level="info")
    with world.daemon() as daemon:
        until(lambda: world.states() == {"quarantined": 20}, "all read")
        assert daemon.peak_memory() < 200 * 2**20
        assert daemon.stop() == 0


def test_ids_of_every_kind_are_known_again(world_with: Callable[..., World]) -> None:
    """A text key may hold anything: each row is sent once, and found again by the next poll and sweep."""
    world = world_with(table=TEXT_KEYS)
    keys = ["plain", "", "nul\0x", "nul\0y", "🦄", "x" * 10_000, " a", "a", "A", "é", "e\u0301", "line\nbreak", 5, 5.5]
    for number, key in enumerate(keys):
        world.source.execute("insert into companies values (?, ?, null, 1, ?)", key, f"Company {number}", OLD)
    world.source.execute("insert into companies values (cast(? as text), 'Bytes', null, 1, ?)", b"\xff\xfe", OLD)
    world.write(stream='sweep = "1m"')
    for _ in range(2):
        assert world.once().code == 0
        assert world.names() == world.source.names()
        # the sweep is due again
        with closing(sqlite3.connect(world.ledger)) as ledger, ledger:
            ledger.execute("""update lanes set cursor = json_set(cursor, '$.ended', 0.0) where lane = '@sweep'""")
    assert world.requests() == 1


def test_a_column_that_goes_stops_the_stream_until_it_is_back(world: World) -> None:
    world.source.add(range(5))
    world.write()
    assert world.once().code == 0
    world.source.execute("alter table companies rename column employees to staff")
    world.source.add(range(5, 8))
    gone = world.once()
    assert gone.code == 77
    failed = next(event for event in gone.events if event["event"] == "poll_failed")
    assert "'employees'" in failed["error"]
    assert failed["hint"]
    world.source.execute("alter table companies rename column staff to employees")
    assert world.once().code == 0
    assert world.names() == world.source.names()
