"""What a verdict makes of one record: a table, and the order in which the parts of a rejected batch are asked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from state.diagram import Version
from state.ledger import Ledger
from state.rows import OnChange, Stored, Verdict
from state.slots import GRACE_SECONDS
from state.verdicts import Follow, follow
from tests.state.ledger_tools import (
    FakeClock,
    check_the_books,
    claim,
    commit,
    declare,
    pending,
    put_new,
    reading,
    register,
    row,
    rows,
    states,
    unsynced,
)

A = Version("eligible", "2026-01-01", 1, b"a", b"1a")
B = Version("eligible", "2026-01-02", 1, b"b", b"1b")
TOUCHED = replace(A, modified="2026-01-02")
GONE = Version("deleted", "2026-01-02", 1, None, None)

NEW = Stored(7, "x", "sending", "maybe", A, None, None, drift=False)
"""Sent for the first time as A, not read since."""
AGAIN = Stored(7, "x", "sending", "yes", B, A, "first", drift=True)
"""Its lead is A, and B is sent as one more."""
KNOWN = replace(AGAIN, base_batch=None)
"""The same of a lead that was there before us."""


@pytest.mark.parametrize(
    ("verdict", "record", "sent", "on_change", "then"),
    [
        ("in_doubt", NEW, A, "hold", Follow("in_doubt", "maybe", None, None, drift=False)),
        ("in_doubt", AGAIN, B, "resend", Follow("in_doubt", "yes", A, "first", drift=True)),
        ("created", NEW, A, "hold", Follow("delivered", "yes", A, "now", drift=False)),
        ("created", replace(NEW, latest=TOUCHED), A, "resend", Follow("delivered", "yes", TOUCHED, "now", drift=False)),
        ("created", replace(NEW, latest=B), A, "hold", Follow("delivered", "yes", A, "now", drift=True)),
        ("created", replace(NEW, latest=B), A, "resend", Follow("pending", "yes", A, "now", drift=True)),
        ("created", KNOWN, B, "hold", Follow("delivered", "yes", B, "now", drift=False)),
        ("refused", NEW, A, "hold", Follow("pending", "no", None, None, drift=False)),
        ("refused", replace(NEW, latest=GONE), A, "hold", Follow("withdrawn", "no", None, None, drift=False)),
        ("refused", AGAIN, B, "hold", Follow("pending", "yes", A, "first", drift=True)),
        ("paused", AGAIN, B, "resend", Follow("pending", "yes", A, "first", drift=True)),
        ("refused", replace(AGAIN, latest=GONE), B, "resend", Follow("delivered", "yes", A, "first", drift=True)),
        ("refused", replace(KNOWN, latest=GONE), B, "resend", Follow("known", "yes", A, None, drift=True)),
        (
            "refused",
            replace(AGAIN, latest=TOUCHED),
            B,
            "hold",
            Follow("delivered", "yes", TOUCHED, "first", drift=False),
        ),
        ("rejected", NEW, A, "hold", Follow("pending", "no", None, None, drift=False)),
    ],
)
def test_what_follows_from_a_verdict(
    verdict: Verdict, record: Stored, sent: Version, on_change: OnChange, then: Follow
) -> None:
    assert follow(verdict, record, sent, "now", on_change) == then


def test_what_was_sent_before_tells_a_change_where_the_leads_own_version_cannot_be_compared() -> None:
    """The lead was made under another mapping: nobody knows its fingerprints under this one."""
    unknown = replace(A, source_fp=None, wire_fp=None)
    record = replace(AGAIN, base=unknown, latest=replace(B, source_fp=b"c", wire_fp=b"1c"))
    assert follow("refused", record, B, "now", "resend").state == "pending"
    assert follow("refused", record, B, "now", "hold").state == "delivered"
    assert follow("refused", replace(record, latest=replace(B, fit="unfit")), B, "now", "resend").state == "delivered"


@pytest.mark.parametrize(
    ("named", "parts"),
    [
        ((), [{"a", "b", "c"}, {"d"}, {"e"}]),  # halves, the larger first; the other is not asked about whole
        ((3,), [{"d"}, {"a", "b", "c", "e"}]),
        ((4, 0), [{"a"}, {"e"}, {"b", "c", "d"}]),
        ((0, 1, 2, 3, 4), [{"a"}, {"b"}, {"c"}, {"d"}, {"e"}]),
        ((5, -1), [{"a", "b", "c"}, {"d"}, {"e"}]),  # places of no lead
    ],
)
def test_parts_of_a_rejected_batch_are_asked_one_after_the_other(
    tmp_path: Path, named: tuple[int, ...], parts: list[set[str]]
) -> None:
    with Ledger(put_new(tmp_path / "ledger.db"), own=True, clock=FakeClock(), connector=unsynced) as ledger:
        pending(ledger, register(ledger), *"abcde")
        whole = claim(ledger)
        ledger.verdicts.conclude(whole.batch, "rejected", slot=whole.slot, named=named)
        asked = []
        for _ in parts:
            part = claim(ledger)
            asked.append({each.id for each in part.deliveries})
            ledger.verdicts.conclude(part.batch, "created", slot=part.slot)
        assert asked == parts


@pytest.mark.parametrize(("by_size", "then"), [(True, {"c", "d"}), (False, {"c"})])
def test_of_a_batch_that_was_too_large_the_first_half_accuses_nobody_in_the_second(
    tmp_path: Path, by_size: bool, then: set[str]
) -> None:
    with Ledger(put_new(tmp_path / "ledger.db"), own=True, clock=FakeClock(), connector=unsynced) as ledger:
        pending(ledger, register(ledger), *"abcd")
        whole = claim(ledger)
        ledger.verdicts.conclude(whole.batch, "rejected", slot=whole.slot, by_size=by_size)
        half = claim(ledger)
        ledger.verdicts.conclude(half.batch, "created", slot=half.slot)
        assert [each.id for each in half.deliveries] == ["a", "b"]
        assert {each.id for each in claim(ledger).deliveries} == then


@pytest.mark.parametrize(("verdict", "on_unknown"), [("refused", "hold"), ("paused", "hold"), ("in_doubt", "resend")])
def test_a_half_that_comes_back_stays_a_half(
    tmp_path: Path, verdict: Verdict, on_unknown: Literal["hold", "resend"]
) -> None:
    with Ledger(put_new(tmp_path / "ledger.db"), own=True, clock=FakeClock(), connector=unsynced) as ledger:
        pending(ledger, register(ledger), *"abcd")
        whole = claim(ledger)
        ledger.verdicts.conclude(whole.batch, "rejected", slot=whole.slot)
        half = claim(ledger)
        ledger.verdicts.conclude(half.batch, verdict, slot=half.slot, on_unknown=on_unknown)
        assert [each.id for each in claim(ledger).deliveries] == [each.id for each in half.deliveries] == ["a", "b"]


@pytest.mark.parametrize(("verdict", "on_change"), [("rejected", "hold"), ("created", "resend")])
def test_a_version_that_was_read_meanwhile_is_no_part_of_what_was_rejected(
    tmp_path: Path, verdict: Verdict, on_change: OnChange
) -> None:
    """Nobody has asked the server about it: it is sent with the others."""
    with Ledger(put_new(tmp_path / "ledger.db"), own=True, clock=FakeClock(), connector=unsynced) as ledger:
        stream = register(ledger, declare(on_change=on_change))
        pending(ledger, stream, "a", "b")
        whole = claim(ledger)
        ledger.verdicts.conclude(whole.batch, "rejected", slot=whole.slot)
        alone = claim(ledger)
        later = "2026-02-02T00:00:00.000000Z"
        commit(ledger, stream, [reading("a", "b", mapping=stream.mapping, modified=later)])
        ledger.verdicts.conclude(alone.batch, verdict, slot=alone.slot)
        other = claim(ledger)
        ledger.verdicts.conclude(other.batch, "created", slot=other.slot)
        pending(ledger, stream, "c")
        assert [[each.id for each in claimed.deliveries] for claimed in (alone, other)] == [["a"], ["b"]]
        assert [each.id for each in claim(ledger).deliveries] == ["a", "c"]


@pytest.mark.parametrize("verdict", ["rejected", "refused"])
def test_what_went_meanwhile_is_withdrawn_and_the_rest_of_its_part_asked_again(
    tmp_path: Path, verdict: Verdict
) -> None:
    with Ledger(put_new(tmp_path / "ledger.db"), own=True, clock=FakeClock(), connector=unsynced) as ledger:
        stream = register(ledger)
        pending(ledger, stream, *"abcd")
        whole = claim(ledger)
        ledger.verdicts.conclude(whole.batch, "rejected", slot=whole.slot)
        half = claim(ledger)
        commit(ledger, stream, [reading("a", None, mapping=stream.mapping, modified=None, fit="deleted")])
        ledger.verdicts.conclude(half.batch, verdict, slot=half.slot)
        assert row(ledger, "a")["state"] == "withdrawn"
        assert [each.id for each in claim(ledger).deliveries] == ["b"]


def test_a_conclusion_is_kept_with_its_batch_ends_its_slot_and_counts_its_leads(tmp_path: Path) -> None:
    clock = FakeClock()
    with Ledger(put_new(tmp_path / "ledger.db"), own=True, clock=clock, connector=unsynced) as ledger:
        pending(ledger, register(ledger), "a", "b")
        sent = claim(ledger)
        clock.advance(5)
        got = ledger.verdicts.conclude(
            sent.batch, "created", slot=sent.slot, status=200, cause="why", message="so it says", account="read"
        )
        assert (got.batch, got.moved, got.by_stream) == (sent.batch, {"delivered": 2}, {"erp.companies": 2})
        assert rows(ledger, "SELECT state, status, cause, message, account, ended_at FROM batches") == [
            {
                "state": "created",
                "status": 200,
                "cause": "why",
                "message": "so it says",
                "account": "read",
                "ended_at": int(clock.wall() * 1000),
            }
        ]
        check_the_books(ledger)
        assert rows(ledger, "SELECT ended FROM slots") == [{"ended": clock.boot()}]
        assert (row(ledger, "a")["base_batch"], row(ledger, "a")["since"]) == (sent.batch, int(clock.wall() * 1000))
        again = ledger.verdicts.conclude(sent.batch, "refused", slot=None)
        assert (again.batch, again.moved) == (sent.batch, {})


@pytest.mark.parametrize(("landed", "word", "fate"), [(True, "landed", "delivered"), (False, "absent", "pending")])
def test_a_persons_word_is_kept_with_its_batch(tmp_path: Path, landed: bool, word: str, fate: str) -> None:
    clock = FakeClock()
    with Ledger(put_new(tmp_path / "ledger.db"), own=True, clock=clock, connector=unsynced) as ledger:
        pending(ledger, register(ledger), "a", "b")
        sent = claim(ledger)
        ledger.verdicts.conclude(sent.batch, "in_doubt", slot=sent.slot)
        assert rows(ledger, "SELECT ended FROM slots") == [{"ended": clock.boot() + GRACE_SECONDS}], "it may arrive yet"
        assert rows(ledger, "SELECT cause FROM batches") == [{"cause": ""}]
        clock.advance(60)
        one = ledger.verdicts.resolve(sent.batch, landed=landed, note=" I \n looked ", positions=[1])
        assert (one.batch, one.moved) == (sent.batch, {fate: 1})
        assert states(ledger) == {"a": "in_doubt", "b": fate}
        assert rows(ledger, "SELECT state, words FROM batches") == [{"state": "in_doubt", "words": "I looked"}]
        assert rows(ledger, "SELECT word FROM deliveries ORDER BY position") == [{"word": None}, {"word": word}]
        ledger.verdicts.resolve(sent.batch, landed=landed, note="all", positions=None)
        assert rows(ledger, "SELECT state, words, ended_at FROM batches") == [
            {"state": word, "words": "I looked\nall", "ended_at": int(clock.wall() * 1000)}
        ]
        assert rows(ledger, "SELECT word FROM deliveries") == [{"word": word}] * 2
        repeated = ledger.verdicts.resolve(sent.batch, landed=not landed, note="no")
        assert (repeated.batch, repeated.moved) == (sent.batch, {})


def test_a_resend_that_is_rejected_alone_goes_to_quarantine_and_its_lead_stays_its_base_line(tmp_path: Path) -> None:
    with Ledger(put_new(tmp_path / "ledger.db"), own=True, clock=FakeClock(), connector=unsynced) as ledger:
        stream = register(ledger, declare(on_change="resend"))
        pending(ledger, stream, "x")
        first = claim(ledger)
        ledger.verdicts.conclude(first.batch, "created", slot=first.slot)
        commit(ledger, stream, [reading("x", "b", mapping=stream.mapping, modified="2026-02-02T00:00:00.000000Z")])
        again = claim(ledger)
        ledger.verdicts.conclude(again.batch, "rejected", slot=again.slot, message="it is odd")
        kept = row(ledger, "x")
        assert (kept["state"], kept["lead_exists"], kept["drift"]) == ("quarantined", "yes", 1)
        assert (kept["base_batch"], kept["base_source_fp"]) == (first.batch, b"a")
        assert json.loads(kept["reason"]) == [{"field": "", "rule": "refused by the server", "message": "it is odd"}]


def test_a_leads_base_line_is_the_version_that_was_sent_also_where_another_was_read_meanwhile(tmp_path: Path) -> None:
    with Ledger(put_new(tmp_path / "ledger.db"), own=True, clock=FakeClock(), connector=unsynced) as ledger:
        stream = register(ledger)
        commit(ledger, stream, [reading("x", "a", mapping=stream.mapping, modified=A.modified)])
        sent = claim(ledger)
        commit(ledger, stream, [reading("x", "b", mapping=stream.mapping, modified=B.modified)])
        ledger.verdicts.conclude(sent.batch, "created", slot=sent.slot)
        kept = row(ledger, "x")
        base = (kept["base_modified"], kept["base_mapping"], kept["base_source_fp"], kept["base_wire_fp"])
        assert base == (A.modified, stream.mapping, b"a", f"{stream.mapping}:a".encode())
