"""Verdicts through the ledger: what becomes of each record, of versions read meanwhile, and who comes next."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from state.diagram import Fit
from state.ledger import Ledger
from state.rows import Claim, NothingToSend, OnChange, Verdict
from state.slots import RateLimit
from tests.state.ledger_tools import (
    RULE,
    WORKSPACE,
    FakeClock,
    check_the_books,
    claim,
    commit,
    declare,
    pending,
    reading,
    register,
    row,
    rows,
    states,
    unsynced,
)

LATER = "2026-02-02T00:00:00.000000Z"


def send(ledger: Ledger, verdict: Verdict, *, most: int = 100, **options: Any) -> Claim:
    claimed = claim(ledger, most)
    ledger.verdicts.conclude(claimed.batch, verdict, slot=claimed.slot, cause="", **options)
    return claimed


# -- versions read while the record is on the wire


@pytest.mark.parametrize("on_change", ["hold", "resend"])
@pytest.mark.parametrize(
    ("verdict", "fit", "content", "state", "drift"),
    [
        ("created", "eligible", "b", None, True),
        ("created", "eligible", "a", "delivered", False),
        ("created", "filtered", "b", "delivered", False),
        ("created", "deleted", None, "delivered", False),
        ("refused", "eligible", "b", "pending", False),
        ("refused", "eligible", "a", "pending", False),
        ("refused", "filtered", "b", "filtered", False),
        ("refused", "unfit", "b", "quarantined", False),
        ("refused", "deleted", None, "withdrawn", False),
        ("paused", "eligible", "b", "pending", False),
        ("rejected", "eligible", "a", "quarantined", False),
        ("rejected", "eligible", "b", "pending", False),
        ("rejected", "deleted", None, "withdrawn", False),
    ],
)
def test_after_the_verdict_the_latest_version_is_judged(
    ledger: Ledger,
    on_change: OnChange,
    verdict: Verdict,
    fit: Fit,
    content: str | None,
    state: str | None,
    drift: bool,
) -> None:
    stream = register(ledger, declare(on_change=on_change))
    pending(ledger, stream, "x")
    claimed = claim(ledger)
    commit(ledger, stream, [reading("x", content, mapping=stream.mapping, modified=LATER, fit=fit)])
    assert row(ledger, "x")["state"] == "sending"
    ledger.verdicts.conclude(claimed.batch, verdict, slot=claimed.slot)
    got = row(ledger, "x")
    assert got["state"] == (state or ("delivered" if on_change == "hold" else "pending"))
    assert bool(got["drift"]) == drift
    assert got["lead_exists"] == ("yes" if verdict == "created" else "no")
    assert (got["orphaned"] is not None) == (verdict == "created" and fit in {"filtered", "deleted"})
    check_the_books(ledger)
    if got["state"] == "pending":
        assert claim(ledger).deliveries[0].payload == f'{{"name":"x {content}"}}'.encode()


@pytest.mark.parametrize("verdict", ["created", "refused", "rejected"])
@pytest.mark.parametrize(("fit", "last"), [("eligible", "a"), ("eligible", "b"), ("filtered", "b")])
def test_a_resend_that_changed_back_or_went_meanwhile_leaves_nothing_behind(
    ledger: Ledger, verdict: Verdict, fit: Fit, last: str
) -> None:
    """The lead stands whatever the verdict is, so the record is delivered again: by another way than most are."""
    stream = register(ledger, declare(on_change="resend"))
    pending(ledger, stream, "x", "y")
    send(ledger, "created")
    commit(ledger, stream, [reading("x", "b", mapping=stream.mapping, modified=LATER)])
    claimed = claim(ledger)
    for day, (content, now) in enumerate((("c", "eligible"), (last, fit))):
        modified = f"2026-03-0{day + 1}T00:00:00.000000Z"
        commit(ledger, stream, [reading("x", content, mapping=stream.mapping, modified=modified, fit=now)])
    ledger.verdicts.conclude(claimed.batch, verdict, slot=claimed.slot)
    check_the_books(ledger)
    assert row(ledger, "x")["lead_exists"] == "yes"
    if fit == "filtered":
        assert row(ledger, "x")["state"] == "delivered"


@pytest.mark.parametrize(("landed", "expected"), [(True, "delivered"), (False, "pending")])
def test_a_version_read_while_in_doubt_waits_for_a_persons_word(ledger: Ledger, landed: bool, expected: str) -> None:
    stream = register(ledger)
    pending(ledger, stream, "x")
    claimed = send(ledger, "in_doubt")
    commit(ledger, stream, [reading("x", "b", mapping=stream.mapping, modified=LATER)])
    assert row(ledger, "x")["state"] == "in_doubt"
    assert ledger.outbox.claim(WORKSPACE, RULE, most=100, linger=0, timeout=60) == NothingToSend(None)
    ledger.verdicts.resolve(claimed.batch, landed=landed, note="looked")
    assert row(ledger, "x")["state"] == expected
    assert row(ledger, "x")["drift"] == landed
    ledger.verdicts.resolve(claimed.batch, landed=not landed, note="changed my mind")
    assert row(ledger, "x")["state"] == expected, "a word is given once"


@pytest.mark.parametrize("verdict", ["refused", "paused"])
@pytest.mark.parametrize("content", ["b", "c"])
def test_a_resend_that_is_refused_is_still_to_be_sent_even_if_it_is_touched_or_changed_meanwhile(
    ledger: Ledger, verdict: Verdict, content: str
) -> None:
    """Also where an edited mapping left nothing to compare the lead's own version with."""
    stream = register(ledger, declare(on_change="resend"))
    pending(ledger, stream, "x")
    send(ledger, "created")
    stream = register(ledger, declare(on_change="resend", mapping="m2"))
    commit(ledger, stream, [reading("x", "a2", mapping=stream.mapping, modified=LATER)])
    assert (row(ledger, "x")["state"], row(ledger, "x")["drift"]) == ("delivered", 1)
    commit(ledger, stream, [reading("x", "b", mapping=stream.mapping, modified=LATER)])
    claimed = claim(ledger)
    commit(ledger, stream, [reading("x", content, mapping=stream.mapping, modified="2026-03-03T00:00:00.000000Z")])
    ledger.verdicts.conclude(claimed.batch, verdict, slot=claimed.slot)
    assert (row(ledger, "x")["state"], row(ledger, "x")["lead_exists"]) == ("pending", "yes")


@pytest.mark.parametrize("on_change", ["hold", "resend"])
def test_a_mapping_edited_while_a_record_is_on_the_wire_sends_nothing_again(
    ledger: Ledger, on_change: OnChange
) -> None:
    stream = register(ledger, declare(on_change=on_change))
    pending(ledger, stream, "x")
    claimed = claim(ledger)
    stream = register(ledger, declare(on_change=on_change, mapping="m2"))
    commit(ledger, stream, [reading("x", "a", mapping=stream.mapping)])
    ledger.verdicts.conclude(claimed.batch, "created", slot=claimed.slot)
    assert (row(ledger, "x")["state"], row(ledger, "x")["drift"]) == ("delivered", 0)


# -- verdicts


def test_a_conclusion_counts_once(ledger: Ledger) -> None:
    stream = register(ledger)
    pending(ledger, stream, "x", "y")
    claimed = claim(ledger)
    first = ledger.verdicts.conclude(claimed.batch, "in_doubt", slot=claimed.slot)
    assert (first.moved, first.by_stream) == ({"in_doubt": 2}, {"erp.companies": 2})
    for verdict in ("created", "refused", "rejected", "paused"):
        assert ledger.verdicts.conclude(claimed.batch, verdict, slot=claimed.slot).moved == {}
    assert set(states(ledger).values()) == {"in_doubt"}


def test_on_unknown_resend_puts_the_leads_back_and_says_so(ledger: Ledger) -> None:
    pending(ledger, register(ledger), "x")
    claimed = send(ledger, "in_doubt", on_unknown="resend")
    batch = ledger.verdicts.batch(claimed.batch)
    assert batch is not None
    assert batch["state"] == "absent"
    assert states(ledger) == {"x": "pending"}
    assert ledger.verdicts.in_doubt() == []


def test_a_rejected_batch_is_halved_until_the_offender_stands_alone(ledger: Ledger) -> None:
    stream = register(ledger)
    ids = [f"{n:03}" for n in range(100)]
    pending(ledger, stream, *ids)
    requests = 0
    while True:
        got = ledger.outbox.claim(WORKSPACE, RateLimit(b"key", 1000, 60), most=100, linger=0, timeout=60)
        if not isinstance(got, Claim):
            break
        requests += 1
        bad = any(each.id == "041" for each in got.deliveries)
        message = "Name of 041 is odd" if bad else None
        ledger.verdicts.conclude(
            got.batch, "rejected" if bad else "created", slot=got.slot, status=400, message=message
        )
    assert requests <= 16
    assert {id_ for id_, state in states(ledger).items() if state == "quarantined"} == {"041"}
    assert sum(state == "delivered" for state in states(ledger).values()) == 99
    assert "Name of 041 is odd" in row(ledger, "041")["reason"]


def test_a_lead_that_is_rejected_without_a_word_says_at_least_how(ledger: Ledger) -> None:
    pending(ledger, register(ledger), "x")
    claimed = claim(ledger)
    cause = "the server rejected the batch (413)"
    ledger.verdicts.conclude(claimed.batch, "rejected", slot=claimed.slot, status=413, cause=cause)
    assert cause in row(ledger, "x")["reason"]


def test_the_account_of_the_wire_is_kept_with_the_batch(ledger: Ledger) -> None:
    pending(ledger, register(ledger), "x")
    claimed = claim(ledger)
    account = "connected; 9 of 9 bytes written; no response; the connection was reset after 12 ms"
    ledger.verdicts.conclude(claimed.batch, "in_doubt", slot=claimed.slot, account=account)
    assert [batch["account"] for batch in ledger.verdicts.in_doubt()] == [account]


def test_a_refused_half_stays_a_half(ledger: Ledger) -> None:
    stream = register(ledger)
    pending(ledger, stream, "a", "b", "c", "d")
    send(ledger, "rejected")
    first = send(ledger, "refused")
    again = claim(ledger)
    assert [each.id for each in again.deliveries] == [each.id for each in first.deliveries]
    assert len(again.deliveries) == 2
    ledger.verdicts.conclude(again.batch, "created", slot=again.slot)
    pending(ledger, stream, "e")
    assert [each.id for each in claim(ledger).deliveries] == ["c"], "of the other half, halved"


def test_halves_of_two_streams_keep_together_and_apart_from_other_batches(ledger: Ledger) -> None:
    streams = ledger.streams.register([declare("one"), declare("two")])
    for stream in streams.values():
        pending(ledger, stream, f"{stream.name}-a", f"{stream.name}-b")
    send(ledger, "rejected")
    halves = []
    while isinstance(got := ledger.outbox.claim(WORKSPACE, RULE, most=100, linger=0, timeout=60), Claim):
        halves.append(len(got.deliveries))
        ledger.verdicts.conclude(got.batch, "created", slot=got.slot)
    assert halves == [2, 1, 1], "the other half is not asked about whole"


# -- claims


def test_live_records_go_before_backfill_and_streams_take_turns(ledger: Ledger) -> None:
    streams = ledger.streams.register([declare("one"), declare("two")])
    commit(
        ledger, streams["one"], [reading(f"old{n}", mapping=streams["one"].mapping) for n in range(3)], backfill=True
    )
    pending(ledger, streams["two"], "live1", "live2", "live3")
    assert [each.id for each in claim(ledger, 4).deliveries] == ["live1", "live2", "live3", "old0"]
    pending(ledger, streams["one"], "one1", "one2")
    pending(ledger, streams["two"], "two1", "two2")
    assert [claim(ledger, 1).deliveries[0].id for _ in range(4)] == ["one1", "two1", "one2", "two2"]


def test_a_batch_that_is_not_full_lingers_and_a_clock_set_back_does_not_keep_it(
    ledger: Ledger, clock: FakeClock
) -> None:
    pending(ledger, register(ledger), "x")

    def wait() -> float | None:
        got = ledger.outbox.claim(WORKSPACE, RULE, most=2, linger=5.0, timeout=60)
        assert isinstance(got, NothingToSend)
        return got.seconds

    assert wait() == pytest.approx(5.0)
    clock.advance(4.9)
    assert wait() == pytest.approx(0.1)
    clock.wall_now -= 86400
    assert isinstance(ledger.outbox.claim(WORKSPACE, RULE, most=2, linger=5.0, timeout=60), Claim)


def test_nothing_is_claimed_as_an_old_mapping_had_it(ledger: Ledger) -> None:
    pending(ledger, register(ledger), "x")
    stream = register(ledger, declare(mapping="m2"))
    assert ledger.outbox.claim(WORKSPACE, RULE, most=1, linger=0, timeout=60) == NothingToSend(None)
    assert [each[0] for each in ledger.records.to_judge_again(stream.id, stream.mapping, 9)] == ["x"]
    commit(ledger, stream, [reading("x", "a", mapping=stream.mapping)])
    assert len(claim(ledger).deliveries) == 1


def test_payloads_are_dropped_when_old_but_never_of_what_is_in_doubt(ledger: Ledger, clock: FakeClock) -> None:
    pending(ledger, register(ledger), "x", "y", "z")
    delivered, doubtful = send(ledger, "created", most=1), send(ledger, "in_doubt", most=1)
    clock.advance(100)
    assert ledger.verdicts.forget_payloads(101) == 0
    assert ledger.verdicts.forget_payloads(99) == 1
    kept = rows(ledger, "SELECT batch FROM deliveries JOIN payloads ON payloads.id = payload")
    assert [each["batch"] for each in kept] == [doubtful.batch]
    assert delivered.batch != doubtful.batch
    ledger.verdicts.resolve(doubtful.batch, landed=False, note="")
    assert claim(ledger).deliveries[0].payload


# -- two threads and a second process's view at once


def test_pages_and_verdicts_from_two_threads_and_a_reader_beside_them(tmp_path: Path) -> None:
    path, pages, size = tmp_path / "busy.db", 40, 25
    with Ledger(path, own=True, connector=unsynced) as ledger, Ledger(path, connector=unsynced) as onlooker:
        stream = register(ledger)
        failures: list[BaseException] = []
        read_all = threading.Event()

        def guarded(work: Any) -> threading.Thread:
            def run() -> None:
                try:
                    work()
                except BaseException as error:  # noqa: BLE001 - the test must hear of it
                    failures.append(error)

            thread = threading.Thread(target=run)
            thread.start()
            return thread

        def read() -> None:
            for page in range(pages):
                pending(ledger, stream, *(f"{page}-{n}" for n in range(size)))
            read_all.set()

        def deliver() -> None:
            while True:
                was_all = read_all.is_set()
                got = ledger.outbox.claim(WORKSPACE, RateLimit(b"key", 10**6, 60), most=10, linger=0, timeout=60)
                if isinstance(got, Claim):
                    ledger.verdicts.conclude(got.batch, "created", slot=got.slot)
                elif was_all:
                    return

        threads = [guarded(read), guarded(deliver), guarded(deliver)]
        looked = 0
        while any(thread.is_alive() for thread in threads):
            counts = onlooker.records.counts()
            assert sum(counts.values()) % size == 0, "a page is seen whole or not at all"
            totals = onlooker.verdicts.totals(WORKSPACE)
            assert totals.get("created", {}).get("leads", 0) <= pages * size
            looked += 1
        for thread in threads:
            thread.join()
        assert failures == []
        assert looked > 0
        assert set(states(ledger).values()) == {"delivered"}
        assert len(states(ledger)) == pages * size
        sent = rows(ledger, "SELECT record, count(*) AS n FROM deliveries GROUP BY record")
        assert {each["n"] for each in sent} == {1}
