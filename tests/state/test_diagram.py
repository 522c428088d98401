"""The rules of the state diagram: a table of every situation, and the schema that repeats them."""

from __future__ import annotations

import itertools
import sqlite3
from dataclasses import replace
from typing import Literal

import pytest

from state.diagram import (
    LEAD_EXISTS,
    MOVES,
    STATES,
    Fit,
    RecordStanding,
    State,
    Version,
    one_of,
    same_content,
    settle,
    stands_for_a_lead,
)
from state.ledger import Ledger
from state.rows import OnChange
from tests.state.ledger_tools import claim, pending, register

OLD, NEW = "2026-01-01T00:00:00.000000Z", "2026-02-02T00:00:00.000000Z"
FITS: tuple[Fit, ...] = ("eligible", "filtered", "unfit", "deleted")


def latest_version(fit: Fit, *, source: str, wire: str, modified: str) -> Version:
    """The latest version under mapping 2, with the fingerprints that its fit has."""
    return Version(
        fit,
        modified,
        2,
        None if fit == "deleted" else source.encode(),
        wire.encode() if fit == "eligible" else None,
    )


ON_CHANGES: tuple[OnChange, ...] = ("hold", "resend")
RESTING: tuple[Literal["delivered", "known"], ...] = ("delivered", "known")
WITHOUT_A_LEAD: dict[Fit, State] = {
    "eligible": "pending",
    "filtered": "filtered",
    "unfit": "quarantined",
    "deleted": "withdrawn",
}


@pytest.mark.parametrize("fit", FITS)
def test_without_a_lead_only_the_fit_counts(fit: Fit) -> None:
    expected = WITHOUT_A_LEAD[fit]
    for on_change, drift, previous in itertools.product(
        ON_CHANGES, (False, True), (None, Version("eligible", OLD, 2, b"x", b"y"))
    ):
        settled = settle(
            latest_version(fit, source="s", wire="w", modified=OLD),
            lead_exists=False,
            previous=previous,
            drift=drift,
            on_change=on_change,
        )
        assert settled == RecordStanding(expected, None, False)


@pytest.mark.parametrize("on_change", ["hold", "resend"])
@pytest.mark.parametrize("fit", FITS)
def test_with_a_lead_every_situation(fit: Fit, on_change: OnChange) -> None:
    """The table: the mapping edited or not, fingerprints moved or not, modified moved or not, drifted before or not."""
    seen = 0
    for moves, known in itertools.product(itertools.product((False, True), repeat=5), RESTING):
        edited, source_moved, wire_moved, modified_moved, drifted = moves
        base = Version("eligible", OLD, 1 if edited else 2, b"s", b"w")
        latest = latest_version(
            fit,
            source="s2" if source_moved else "s",
            wire="w2" if wire_moved else "w",
            modified=NEW if modified_moved else OLD,
        )
        wire_differs = wire_moved or fit == "unfit"
        settled = settle(
            latest,
            lead_exists=True,
            base=base,
            drift=drifted,
            on_change=on_change,
            resting=known,
        )
        seen += 1
        where = (edited, source_moved, wire_moved, modified_moved, drifted, settled)
        if fit in {"filtered", "deleted"}:
            assert settled.state == known, where
            assert (settled.base, settled.drift) == (base, drifted), where
        elif edited:
            assert settled.state == known, where
            assert settled.drift == (drifted or modified_moved), where
            assert settled.base is not None
            assert (settled.base.mapping, settled.base.modified) == (2, latest.modified), where
            assert (settled.base.source_fp is None) == settled.drift, where
        elif source_moved and wire_differs:
            wanted = known if on_change == "hold" else ("pending" if fit == "eligible" else "quarantined")
            assert (settled.state, settled.drift, settled.base) == (wanted, True, base), where
        else:
            assert (settled.state, settled.drift) == (known, False), where
            assert settled.base is not None
            assert (settled.base.source_fp, settled.base.wire_fp) == (b"s", b"w"), where
            assert settled.base.modified == latest.modified, where
    assert seen == 64


def test_a_mapping_edit_never_sends_whatever_was_known_before() -> None:
    sources: tuple[bytes | None, ...] = (None, b"s", b"t")
    previous: list[Version | None] = [None]
    previous += [
        Version("eligible", when, mapping, fp, fp) for when in (OLD, NEW) for mapping in (1, 2) for fp in sources
    ]
    for before, fp, modified, base_fp, drift, on_change in itertools.product(
        previous, sources, (OLD, NEW), sources, (False, True), ON_CHANGES
    ):
        settled = settle(
            Version("eligible", modified, 2, fp, fp),
            lead_exists=True,
            base=Version("eligible", OLD, 1, base_fp, base_fp),
            previous=before,
            drift=drift,
            on_change=on_change,
        )
        assert settled.state == "delivered"
        assert settled.drift or (modified == OLD and not drift)


def test_after_an_unknown_base_line_only_a_comparable_change_is_sent() -> None:
    unknown = Version("eligible", NEW, 2, None, None)
    latest = Version("eligible", NEW, 2, b"t", b"u")
    for previous, sends in (
        (None, False),
        (Version("eligible", OLD, 2, b"t", b"u"), False),  # touched only
        (Version("eligible", OLD, 2, b"t", b"v"), False),
        (Version("eligible", OLD, 2, b"s", b"u"), False),  # another source, the same wire
        (Version("eligible", OLD, 1, b"s", b"v"), False),  # under another mapping
        (Version("unfit", OLD, 2, None, None), False),  # it could not be read: nobody knows whether it changed
        (Version("deleted", OLD, 2, None, None), False),
        (Version("eligible", OLD, 2, b"s", b"v"), True),
    ):
        settled = settle(latest, lead_exists=True, base=unknown, previous=previous, drift=True, on_change="resend")
        assert settled == RecordStanding("pending" if sends else "delivered", unknown, True), previous
        held = settle(latest, lead_exists=True, base=unknown, previous=previous, drift=True, on_change="hold")
        assert held == RecordStanding("delivered", unknown, True), previous


def test_reverting_to_the_delivered_version_clears_drift_and_the_edit_of_a_mapping_then_finds_nothing_moved() -> None:
    base = Version("eligible", OLD, 1, b"s", b"w")
    drifted = settle(Version("eligible", NEW, 1, b"t", b"v"), lead_exists=True, base=base)
    assert (drifted.state, drifted.drift) == ("delivered", True), "without a word nothing is sent again"
    later = "2026-03-03T00:00:00.000000Z"
    reverted = settle(
        Version("eligible", later, 1, b"s", b"w"),
        lead_exists=True,
        base=drifted.base,
        previous=Version("eligible", NEW, 1, b"t", b"v"),
        drift=True,
    )
    assert (reverted.state, reverted.drift) == ("delivered", False)
    edited = settle(Version("eligible", later, 2, b"s", b"w2"), lead_exists=True, base=reverted.base)
    assert (edited.state, edited.drift) == ("delivered", False)


def test_content_is_the_same_only_where_one_mapping_read_the_same_and_said_the_same_of_it() -> None:
    seen = Version("eligible", OLD, 2, b"s", b"w")
    assert same_content(seen, replace(seen, modified=NEW))
    for other in (replace(seen, mapping=1), replace(seen, source_fp=b"t"), replace(seen, fit="filtered")):
        assert not same_content(seen, other)


def test_a_record_stands_for_a_lead_that_exists_or_may_exist_or_waits_to_be_sent() -> None:
    others = {(state, lead) for state in STATES for lead in LEAD_EXISTS[state] if not stands_for_a_lead(state, lead)}
    without = ("quarantined", "filtered", "duplicate", "ignored", "withdrawn", "forgotten")
    assert others == {(state, "no") for state in without}


# -- the schema says the same


def test_names_are_written_as_sql() -> None:
    assert one_of({"b", "a"}) == "('a', 'b')"


def _columns(state: State, lead: str) -> dict[str, object]:
    fit = {"filtered": "filtered", "withdrawn": "deleted"}.get(state, "eligible")
    return {
        "state": state,
        "lead_exists": lead,
        "fit": fit,
        "batch": "b" if state in {"sending", "in_doubt"} else None,
        "payload": 1,
        "source_fp": b"s",
        "wire_fp": b"w",
    }


def _put(connection: sqlite3.Connection, state: State, lead: str, mapping: int) -> None:
    connection.execute(
        "INSERT INTO records (stream, id, state, lead_exists, fit, batch, payload, source_fp, wire_fp, mapping,"
        " first_seen, since)"
        " VALUES (1, 'x', :state, :lead_exists, :fit, :batch, :payload, :source_fp, :wire_fp, :mapping, 0, 0)",
        {**_columns(state, lead), "mapping": mapping},
    )


def _update(connection: sqlite3.Connection, state: State, lead: str) -> bool:
    """Whether the schema lets the record move there, everything else being as that state wants it."""
    try:
        connection.execute(
            "UPDATE records SET state = :state, lead_exists = :lead_exists, fit = :fit, batch = :batch WHERE id = 'x'",
            {name: value for name, value in _columns(state, lead).items() if name in _UPDATED},
        )
    except sqlite3.IntegrityError:
        return False
    return True


_UPDATED = ("state", "lead_exists", "fit", "batch")
LEADS = ("no", "maybe", "yes")


def _allowed(old: State, old_lead: str, new: State, new_lead: str) -> bool:
    """The moves, said a second time: what lies still may become anything that lies still; only what is pending goes on
    the wire; only what was on the wire can be in doubt; what is in doubt does not go on the wire by itself."""
    if old_lead == "yes" and new_lead != "yes":
        return False
    wire = {"sending", "in_doubt"}
    if new == "sending":
        moves = old in {"pending", "sending"}
    elif new == "in_doubt":
        moves = old in wire
    else:
        moves = True
    fits = {
        "sending": new_lead in {"maybe", "yes"},
        "in_doubt": new_lead in {"maybe", "yes"},
        "delivered": new_lead == "yes",
        "known": new_lead == "yes",
        "ignored": new_lead == "no",
        "duplicate": new_lead == "no",
    }.get(new, new_lead in {"no", "yes"})
    return moves and fits


def test_the_schema_refuses_every_move_that_the_diagram_does_not_have(ledger: Ledger) -> None:
    mapping = register(ledger).mapping
    tried = refused = 0
    with ledger.file.write() as connection:
        # the claim and the verdict count their moves themselves, and here is neither
        connection.execute("UPDATE tallies SET records = 10000")
        for old, old_lead in itertools.product(STATES, LEADS):
            if old_lead not in LEAD_EXISTS[old]:
                with pytest.raises(sqlite3.IntegrityError):
                    _put(connection, old, old_lead, mapping)
                continue
            for new, new_lead in itertools.product(STATES, LEADS):
                connection.execute("DELETE FROM records")
                _put(connection, old, old_lead, mapping)
                allowed = _allowed(old, old_lead, new, new_lead)
                assert _update(connection, new, new_lead) == allowed, (old, old_lead, new, new_lead)
                by_words = (new == old or new in MOVES[old]) and new_lead in LEAD_EXISTS[new]
                assert allowed == (by_words and not (old_lead == "yes" and new_lead != "yes"))
                tried += 1
                refused += not allowed
        connection.execute("DELETE FROM records")
    assert tried > 700
    assert refused > 300


@pytest.mark.parametrize(
    "broken",
    [
        "batch = NULL WHERE state = 'sending'",
        "batch = 'b' WHERE state = 'pending'",
        "payload = NULL WHERE state = 'pending'",
        "wire_fp = NULL WHERE state = 'pending'",
        "fit = 'unfit' WHERE state = 'pending'",
        "drift = 1 WHERE lead_exists = 'no'",
        "part = 1, state = 'filtered', fit = 'filtered' WHERE state = 'pending'",
        "base_mapping = mapping WHERE lead_exists = 'no'",
        "state = 'gone' WHERE state = 'pending'",
        "lead_exists = 'perhaps' WHERE state = 'sending'",
        "reason = 'not json' WHERE state = 'pending'",
    ],
)
def test_the_schema_refuses_rows_that_make_no_sense(ledger: Ledger, broken: str) -> None:
    stream = register(ledger)
    pending(ledger, stream, "one", "two")
    claim(ledger, 1)
    column, condition = broken.split(" WHERE ")
    with ledger.file.write() as connection:
        assert connection.execute(f"SELECT count(*) FROM records WHERE {condition}").fetchone()[0] == 1
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(f"UPDATE records SET {column} WHERE {condition}")


def test_a_verdict_changes_only_from_doubt_to_a_persons_word(ledger: Ledger) -> None:
    words = ("landed", "absent", "settled")
    verdicts = ("sending", "created", "refused", "rejected", "paused", "in_doubt", *words)
    with ledger.file.write() as connection:
        for old, new in itertools.product(verdicts, verdicts):
            connection.execute("DELETE FROM batches")
            connection.execute(
                "INSERT INTO batches (name, workspace, state, leads, claimed_at, ended_at)"
                " VALUES ('b', 'w', ?, 1, 0, ?)",
                (old, None if old == "sending" else 1),
            )
            allowed = old == "sending" or (old == "in_doubt" and new in {"in_doubt", *words})
            try:
                connection.execute("UPDATE batches SET state = ?, ended_at = ?", (new, None if new == "sending" else 2))
            except sqlite3.IntegrityError:
                assert not allowed, (old, new)
            else:
                assert allowed, (old, new)
