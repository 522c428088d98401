"""The queues that a person settles: who is in them, what each word does, and everything that a word must not do."""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from state.diagram import LEAD_EXISTS, STATES, State
from state.ledger import Ledger
from state.parts import SENT_AGAIN
from state.queues import ROWS_AT_ONCE, Leads, Moves, Queue, Selection
from state.rows import OnChange, Reading, StreamRow
from sync.polling.judge import Rules, judge
from tests.state.ledger_tools import (
    WORKSPACE,
    FakeClock,
    claim,
    commit,
    declare,
    nothing_to_send,
    pending,
    reading,
    register,
    row,
    rows,
    states,
)

LATER, LAST = "2026-02-02T00:00:00.000000Z", "2026-03-03T00:00:00.000000Z"
ALL = Selection()


def found(ledger: Ledger, queue: Queue, which: Selection = ALL) -> list[str]:
    return [each.id for each in ledger.queues.find(queue, which)]


def keys(ledger: Ledger, queue: Queue | None, which: Selection = ALL) -> list[int]:
    return [each.key for each in ledger.queues.find(queue, which)]


def deliver(ledger: Ledger, stream: StreamRow, *ids: str) -> str:
    """Makes records and has their leads created; the batch's name."""
    pending(ledger, stream, *ids)
    claimed = claim(ledger)
    ledger.verdicts.conclude(claimed.batch, "created", slot=claimed.slot)
    return claimed.batch


def drift(ledger: Ledger, stream: StreamRow, *ids: str, to: str = "b", when: str = LATER) -> None:
    commit(ledger, stream, [reading(each, to, mapping=stream.mapping, modified=when) for each in ids])


def reject(ledger: Ledger, message: str = "Name is odd") -> None:
    """The next lead is rejected alone, as the server may do to any."""
    claimed = claim(ledger, 1)
    ledger.verdicts.conclude(claimed.batch, "rejected", slot=claimed.slot, status=400, message=message)


def hold(ledger: Ledger, *ids: str, why: str = "6,200 new leads in one poll") -> None:
    """As the guard does it: what a poll made pending waits."""
    reason = json.dumps([{"field": "", "rule": why}])
    with ledger.file.write() as connection:
        for each in ids:
            connection.execute("UPDATE records SET state = 'held', reason = ? WHERE id = ?", (reason, each))


def forget_payload(ledger: Ledger, *ids: str) -> None:
    with ledger.file.write() as connection:
        for each in ids:
            connection.execute("UPDATE records SET payload = NULL WHERE id = ?", (each,))
            connection.execute("DELETE FROM source_values")


# -- who is in a queue


def test_each_queue_holds_what_nothing_else_will_settle(ledger: Ledger) -> None:
    """Drift that is on its way out again, or waits in another queue, is not listed twice."""
    stream = register(ledger, declare(on_change="hold"))
    resent = ledger.streams.register([declare("hold", on_change="hold"), declare("resend", on_change="resend")])[
        "resend"
    ]
    deliver(ledger, stream, "drifted", "gone", "unwanted", "as it was")
    drift(ledger, stream, "drifted", "gone", "unwanted")
    commit(ledger, stream, [reading("gone", None, mapping=stream.mapping, modified=LAST, fit="deleted")])
    commit(ledger, stream, [reading("unwanted", "c", mapping=stream.mapping, modified=LAST, fit="filtered")])
    deliver(ledger, resent, "waits", "unfit", "held")
    drift(ledger, resent, "waits", "held")
    commit(ledger, resent, [reading("unfit", "b", mapping=resent.mapping, fit="unfit")])
    hold(ledger, "held")

    assert sorted(found(ledger, "drift")) == ["drifted", "gone", "unwanted"]
    assert found(ledger, "quarantine") == ["unfit"]
    assert found(ledger, "held") == ["held"]
    assert ledger.records.drifted() == {stream.id: 3}
    assert row(ledger, "waits")["state"] == "pending"


REASONS = {
    "one": [{"field": "industry", "rule": "longer than 256 characters", "length": 300, "hint": "shorten the text"}],
    "two": [{"field": "", "rule": "refused by the server", "message": "Straße is not a NAME"}],
    "three": [{"field": "name", "rule": "is missing"}, {"field": "contacts[0].name", "rule": "is missing"}],
}


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", ["one", "two", "three", "none"]),
        ("industry", ["one"]),
        ("INDUSTRY: longer than", ["one"]),
        ("is missing", ["three"]),
        ("contacts[0]", ["three"]),
        ("STRASSE IS", ["two"]),
        ("refused by the server straße", ["two"]),
        ("shorten", []),  # a cure is no reason
        ("300", []),
        ("field", []),
        ("%", []),
        ("nothing of the kind", []),
    ],
)
def test_a_reason_is_found_by_field_rule_or_the_servers_words(ledger: Ledger, text: str, ids: list[str]) -> None:
    stream = register(ledger)
    commit(ledger, stream, [reading(each, mapping=stream.mapping, fit="unfit") for each in (*REASONS, "none")])
    with ledger.file.write() as connection:
        for each, reason in REASONS.items():
            connection.execute("UPDATE records SET reason = ? WHERE id = ?", (json.dumps(reason), each))
    assert found(ledger, "quarantine", Selection(reason=text)) == ids


def test_streams_ids_polls_and_times_narrow_a_selection_together(ledger: Ledger, clock: FakeClock) -> None:
    streams = ledger.streams.register([declare("one"), declare("two")])
    for name in ("one", "two"):
        pending(ledger, streams[name], "a", "b", f"only {name}")
    clock.advance(10)
    pending(ledger, streams["one"], "late")
    with ledger.file.write() as connection:
        connection.execute("UPDATE records SET state = 'held', since = :now WHERE id = 'late'", {"now": _now(clock)})
        connection.execute("UPDATE records SET state = 'held' WHERE id <> 'late'")

    def held(**meant: Any) -> list[tuple[str, str]]:
        return [(each.stream, each.id) for each in ledger.queues.find("held", Selection(**meant))]

    assert len(held()) == 7
    assert held(streams=["two"]) == [("two", "a"), ("two", "b"), ("two", "only two")]
    assert held(streams=["one"], ids=["b", "unheard of"]) == [("one", "b")]
    assert held(streams=[]) == held(ids=[]) == []
    poll = ledger.queues.find("held", Selection(ids=["late"]))[0].poll
    assert held(poll=poll) == [("one", "late")]
    assert held(poll=poll, streams=["two"]) == []
    assert len(held(until=_now(clock) - 1)) == 6
    assert len(held(until=_now(clock))) == 7
    assert held()[-1] == ("one", "late"), "the longest waiting come first"


def _now(clock: FakeClock) -> int:
    return int(clock.wall() * 1000)


def test_what_has_drifted_bears_the_time_of_its_latest_change(ledger: Ledger, clock: FakeClock) -> None:
    """So that a person settles what they have seen, and payloads are kept from then on."""
    stream = register(ledger)
    deliver(ledger, stream, "x")
    times = []
    for content, when in (("b", LATER), ("b", LAST), ("c", LAST), ("c", "2026-04-04T00:00:00.000000Z")):
        clock.advance(100)
        drift(ledger, stream, "x", to=content, when=when)
        times.append(row(ledger, "x")["since"])
    assert times == [times[0], times[0], times[0] + 200_000, times[0] + 200_000], "a touch is no change"
    ledger.verdicts.forget_payloads(150)
    assert row(ledger, "x")["payload"] is not None
    clock.advance(100)
    ledger.verdicts.forget_payloads(150)
    assert row(ledger, "x")["payload"] is None


def test_payloads_of_drift_go_after_their_time_whether_we_sent_the_lead_or_not(
    ledger: Ledger, clock: FakeClock
) -> None:
    stream = register(ledger)
    rules = Rules("hold", began=LAST, baseline=True)
    commit(ledger, stream, [reading("known", mapping=stream.mapping)], rules=rules)
    drift(ledger, stream, "known")
    assert (row(ledger, "known")["state"], row(ledger, "known")["drift"]) == ("known", 1)
    clock.advance(100)
    assert ledger.verdicts.forget_payloads(99) == 1
    assert row(ledger, "known")["payload"] is row(ledger, "known")["source"] is None


# -- every word on every record


MOVES: dict[str, Callable[[Ledger, list[int]], Moves]] = {
    "retry": lambda ledger, them: ledger.queues.retry(them),
    "drop": lambda ledger, them: ledger.queues.drop(them),
    "approve": lambda ledger, them: ledger.queues.approve(them),
    "discard": lambda ledger, them: ledger.queues.discard(them),
    "acknowledge": lambda ledger, them: ledger.queues.acknowledge(dict.fromkeys(them, b"s")),
    "resend": lambda ledger, them: ledger.queues.resend(them),
}
QUEUES: dict[str, Queue] = {
    "retry": "quarantine",
    "drop": "quarantine",
    "approve": "held",
    "discard": "held",
    "acknowledge": "drift",
    "resend": "drift",
}


def every_record(ledger: Ledger) -> int:
    """One row for each record that the schema allows; how many there are."""
    older = register(ledger, declare(mapping="m1")).mapping
    current = register(ledger, declare(mapping="m2")).mapping
    with ledger.file.write() as connection:
        for state, lead, fit, drifted, kept, mapping, again, base in itertools.product(
            STATES,
            ("no", "maybe", "yes"),
            ("eligible", "filtered", "unfit", "deleted"),
            (0, 1),
            (b"{}", None),
            (current, older),
            (None, "judge", "send"),
            (None, "b0"),
        ):
            values = {
                "id": f"{state} {lead} {fit} {drifted} {kept!r} {mapping} {again} {base}",
                "state": state,
                "lead": lead,
                "fit": fit,
                "drift": drifted,
                "payload": kept and connection.execute("INSERT INTO payloads (lead) VALUES (?)", (kept,)).lastrowid,
                "mapping": mapping,
                "again": again,
                "base": base,
                "batch": "b1" if state in {"sending", "in_doubt"} else None,
            }
            if lead not in LEAD_EXISTS[state] or (lead != "yes" and (base or drifted)):
                continue
            try:
                key = connection.execute(_PUT, values).lastrowid
            except sqlite3.IntegrityError:
                continue
            if kept:
                connection.execute("INSERT INTO source_values VALUES (?, ?)", (key, kept))
    return len(rows(ledger))


_PUT = """
INSERT INTO records (
  stream, id, state, lead_exists, fit, modified, mapping, source_fp, wire_fp, payload, drift, batch, base_batch,
  base_mapping, again, reason, poll, queued, first_seen, since
) VALUES (1, :id, :state, :lead, :fit, 'now', :mapping, x'73', x'77', :payload, :drift, :batch, :base,
  CASE :lead WHEN 'yes' THEN :mapping END, :again, '[]', 7, 7, 1, 1)
"""


def expected(move: str, before: dict[str, Any], current: int) -> tuple[State, str | None, int]:
    """State, `again` and drift after a word, said a second time."""
    unchanged = (before["state"], before["again"], before["drift"])
    resting: State = "delivered" if before["base_batch"] else "known"
    in_queue = {
        "quarantine": before["state"] == "quarantined",
        "held": before["state"] == "held",
        "drift": before["drift"] == 1 and before["state"] in {"delivered", "known"},
    }[QUEUES[move]]
    if not in_queue:
        return unchanged
    if move in {"drop", "discard"}:
        return "forgotten" if before["lead_exists"] == "no" else resting, None, before["drift"]
    if move == "acknowledge":
        return before["state"], None, 0
    if move == "resend" and (before["state"] not in {"delivered", "known"} or before["fit"] != "eligible"):
        return unchanged
    as_it_is = before["fit"] == "eligible" and before["payload"] is not None and before["mapping"] == current
    if before["again"] is None and as_it_is:
        return "pending", None, before["drift"]
    return before["state"], "send", before["drift"]


@pytest.mark.parametrize("move", MOVES)
def test_each_word_on_each_record(ledger: Ledger, move: str) -> None:
    """Above all: nothing that is on the wire, in doubt or at rest elsewhere is touched, and a word counts once."""
    assert every_record(ledger) > 500
    current = ledger.streams.all()["erp.companies"].mapping
    before = {each["key"]: each for each in rows(ledger)}
    moves = MOVES[move](ledger, list(before))
    after = {each["key"]: each for each in rows(ledger)}

    changed: Counter[str] = Counter()
    for key, was in before.items():
        now = after[key]
        assert (now["state"], now["again"], now["drift"]) == expected(move, was, current), was["id"]
        assert now["lead_exists"] == was["lead_exists"]
        assert (now["batch"], now["base_batch"]) == (was["batch"], was["base_batch"])
        if (now["state"], now["again"], now["drift"]) != (was["state"], was["again"], was["drift"]):
            changed["again" if now["again"] == "send" else now["state"]] += 1
        if now["state"] == "pending" != was["state"]:
            part = SENT_AGAIN if move == "retry" else None
            assert (now["poll"], now["queued"], now["part"], now["reason"]) == (None, None, part, None)
        if now["state"] == "forgotten" != was["state"]:
            assert now["payload"] is now["source"] is now["reason"] is None
    at_rest_again = {state for state in moves if state in {"delivered", "known"}}
    assert {state: n for state, n in moves.items() if state not in at_rest_again} == {
        state: n for state, n in changed.items() if state not in at_rest_again
    }
    assert MOVES[move](ledger, list(before)) == Counter()
    assert {each["key"]: each for each in rows(ledger)} == after


def test_many_records_are_settled_in_short_transactions(ledger: Ledger) -> None:
    """So that a daemon beside it never waits long."""
    stream = register(ledger)
    n = 2 * ROWS_AT_ONCE + 1
    commit(ledger, stream, [reading(str(each), mapping=stream.mapping, fit="unfit") for each in range(n)])
    statements: list[str] = []
    with ledger.file.read() as connection:
        connection.set_trace_callback(statements.append)
    assert ledger.queues.drop(keys(ledger, "quarantine")) == {"forgotten": n}
    assert statements.count("COMMIT") == 3


# -- quarantine


def test_a_rejected_lead_goes_out_again_as_it_was(ledger: Ledger) -> None:
    stream = register(ledger)
    pending(ledger, stream, "x")
    reject(ledger)
    assert ledger.queues.retry(keys(ledger, "quarantine")) == {"pending": 1}
    assert row(ledger, "x")["reason"] is None
    (delivery,) = claim(ledger).deliveries
    assert (delivery.id, delivery.payload, delivery.resend) == ("x", b'{"name":"x a"}', False)


def test_what_is_unfit_is_read_again_and_not_judged_by_what_was_kept(ledger: Ledger) -> None:
    stream = register(ledger)
    commit(ledger, stream, [reading("x", mapping=stream.mapping, fit="unfit")])
    assert ledger.queues.retry(keys(ledger, "quarantine")) == {"again": 1}
    assert ledger.records.to_judge_again(stream.id, stream.mapping, 9) == [("x", None, row(ledger, "x")["modified"])]
    assert found(ledger, "quarantine") == ["x"]
    assert ledger.queues.find("quarantine", ALL)[0].again
    commit(ledger, stream, [reading("x", mapping=stream.mapping)])
    assert (row(ledger, "x")["state"], row(ledger, "x")["again"]) == ("pending", None)


def test_what_could_meet_a_twin_meanwhile_is_judged_before_it_is_sent(ledger: Ledger) -> None:
    stream = register(ledger)
    pending(ledger, stream, "x")
    reject(ledger)
    with ledger.file.write() as connection:
        connection.execute("""UPDATE streams SET match_on = '["email"]'""")
    assert ledger.queues.retry(keys(ledger, "quarantine")) == {"again": 1}
    assert nothing_to_send(ledger)


def test_what_was_dropped_stays_out_until_it_changes(ledger: Ledger) -> None:
    """Neither an edited mapping nor a touch brings it back."""
    stream = register(ledger)
    pending(ledger, stream, "x")
    reject(ledger)
    ledger.queues.drop(keys(ledger, "quarantine"))
    commit(ledger, stream, [reading("x", mapping=stream.mapping, modified=LATER)])
    assert states(ledger) == {"x": "forgotten"}
    edited = register(ledger, declare(mapping="m2"))
    assert ledger.records.to_judge_again(edited.id, edited.mapping, 9) == []
    commit(ledger, edited, [reading("x", mapping=edited.mapping, modified=LATER)])
    assert states(ledger) == {"x": "forgotten"}
    commit(ledger, edited, [reading("x", "b", mapping=edited.mapping, modified=LATER)])
    assert states(ledger) == {"x": "pending"}


@pytest.mark.parametrize("fit", ["eligible", "unfit"])
def test_a_dropped_resend_becomes_drift_again_and_a_touch_does_not_send_it(ledger: Ledger, fit: Any) -> None:
    stream = register(ledger, declare(on_change="resend"))
    deliver(ledger, stream, "x")
    commit(ledger, stream, [reading("x", "b", mapping=stream.mapping, modified=LATER, fit=fit)])
    if fit == "eligible":
        reject(ledger)
    assert ledger.queues.drop(keys(ledger, "quarantine")) == {"delivered": 1}
    assert found(ledger, "drift") == ["x"]
    commit(ledger, stream, [reading("x", "b", mapping=stream.mapping, modified=LAST, fit=fit)])
    assert (row(ledger, "x")["state"], row(ledger, "x")["drift"]) == ("delivered", 1)
    commit(ledger, stream, [reading("x", "c", mapping=stream.mapping, modified=LAST)])
    assert row(ledger, "x")["state"] == "pending", "a change is one, whatever was dropped before"


# -- held


def test_what_is_approved_can_be_claimed_at_once_although_its_poll_is_not_released(ledger: Ledger) -> None:
    stream = register(ledger)
    poll = ledger.streams.poll_started(stream.id, "poll", released=False)
    pending(ledger, stream, "x")
    with ledger.file.write() as connection:
        connection.execute("UPDATE records SET poll = ?, queued = ?", (poll, poll))
    hold(ledger, "x")
    assert nothing_to_send(ledger)
    assert ledger.queues.approve(keys(ledger, "held", Selection(poll=poll))) == {"pending": 1}
    assert [each.id for each in claim(ledger).deliveries] == ["x"]


def test_what_is_sent_by_a_persons_word_is_no_polls_doing(ledger: Ledger) -> None:
    """Neither counted nor gated by the poll that happens to read it again."""
    stream = register(ledger)
    pending(ledger, stream, "x")
    hold(ledger, "x")
    forget_payload(ledger, "x")
    assert ledger.queues.approve(keys(ledger, "held")) == {"again": 1}
    assert row(ledger, "x")["state"] == "held"
    poll = ledger.streams.poll_started(stream.id, "remap", released=False)
    ledger.records.commit(
        stream.id,
        [reading("x", "b", mapping=stream.mapping)],
        lambda each, stored: judge(each, stored, Rules("hold")),
        poll=poll,
    )
    assert (row(ledger, "x")["poll"], row(ledger, "x")["queued"]) == (None, None)
    assert [each.payload for each in claim(ledger).deliveries] == [b'{"name":"x b"}']


@pytest.mark.parametrize(("content", "when"), [("a", LATER), ("b", LATER)])
def test_why_a_lead_is_held_is_kept_while_it_is_held(ledger: Ledger, content: str, when: str) -> None:
    stream = register(ledger)
    pending(ledger, stream, "x")
    hold(ledger, "x", why="max_new is 5")
    commit(ledger, stream, [reading("x", content, mapping=stream.mapping, modified=when)])
    assert found(ledger, "held", Selection(reason="max_new")) == ["x"]
    commit(ledger, stream, [reading("x", "c", mapping=stream.mapping, modified=LAST, fit="filtered")])
    assert row(ledger, "x")["reason"] is None


def test_what_was_discarded_stays_out_until_it_changes(ledger: Ledger) -> None:
    stream = register(ledger)
    pending(ledger, stream, "x")
    hold(ledger, "x")
    assert ledger.queues.discard(keys(ledger, "held")) == {"forgotten": 1}
    commit(ledger, stream, [reading("x", mapping=stream.mapping, modified=LATER)])
    assert states(ledger) == {"x": "forgotten"}
    commit(ledger, stream, [reading("x", "b", mapping=stream.mapping, modified=LATER)])
    assert states(ledger) == {"x": "pending"}


def test_a_discarded_resend_becomes_drift_again(ledger: Ledger) -> None:
    stream = register(ledger, declare(on_change="resend"))
    deliver(ledger, stream, "x")
    drift(ledger, stream, "x")
    hold(ledger, "x")
    assert ledger.queues.discard(keys(ledger, "held")) == {"delivered": 1}
    (key,) = keys(ledger, "drift")
    assert ledger.queues.leads([key])[key].now == b'{"name":"x b"}', "what is listed is kept"
    drift(ledger, stream, "x", when=LAST)
    assert found(ledger, "drift") == ["x"]


# -- drift


def test_an_acknowledged_change_is_the_new_base_line(ledger: Ledger) -> None:
    stream = register(ledger)
    deliver(ledger, stream, "x")
    drift(ledger, stream, "x")
    assert ledger.queues.acknowledge(_seen(ledger)) == {"delivered": 1}
    assert found(ledger, "drift") == []
    assert row(ledger, "x")["payload"] is None
    drift(ledger, stream, "x", when=LAST)
    assert found(ledger, "drift") == []
    drift(ledger, stream, "x", to="a", when=LAST)
    assert found(ledger, "drift") == ["x"], "what the lead was created with is not what it is now"


def _seen(ledger: Ledger) -> dict[int, bytes | None]:
    return {each.key: each.source_fp for each in ledger.queues.find("drift", ALL)}


@pytest.mark.parametrize(("fit", "content"), [("filtered", "b"), ("unfit", "b"), ("deleted", None), ("unfit", None)])
@pytest.mark.parametrize("on_change", ["hold", "resend"])
def test_a_version_that_makes_no_lead_can_be_acknowledged_too(
    ledger: Ledger, fit: Any, content: str | None, on_change: OnChange
) -> None:
    stream = register(ledger)
    deliver(ledger, stream, "x")
    drift(ledger, stream, "x")
    commit(ledger, stream, [reading("x", content, mapping=stream.mapping, modified=LAST, fit=fit)])
    state = row(ledger, "x")["state"]
    assert ledger.queues.acknowledge(_seen(ledger)) == {state: 1}
    assert (row(ledger, "x")["drift"], row(ledger, "x")["state"]) == (0, state)
    stream = register(ledger, declare(on_change=on_change))
    touched = reading("x", content, mapping=stream.mapping, modified="2026-05-05T00:00:00.000000Z", fit=fit)
    commit(ledger, stream, [touched])
    assert (row(ledger, "x")["drift"], row(ledger, "x")["state"]) == (int(content is None and fit == "unfit"), state)


def test_a_change_that_nobody_has_seen_is_not_acknowledged(ledger: Ledger) -> None:
    stream = register(ledger)
    deliver(ledger, stream, "x", "y")
    drift(ledger, stream, "x", "y")
    seen = _seen(ledger)
    drift(ledger, stream, "y", to="c", when=LAST)
    assert ledger.queues.acknowledge(seen) == {"delivered": 1}
    assert found(ledger, "drift") == ["y"]


@pytest.mark.parametrize("on_change", ["hold", "resend"])
def test_a_resend_by_a_persons_word_makes_one_more_lead(ledger: Ledger, on_change: OnChange) -> None:
    stream = register(ledger)
    first = deliver(ledger, stream, "x")
    drift(ledger, stream, "x")
    register(ledger, declare(on_change=on_change))
    assert ledger.queues.resend(keys(ledger, "drift")) == {"pending": 1}
    claimed = claim(ledger)
    assert [(each.payload, each.resend) for each in claimed.deliveries] == [(b'{"name":"x b"}', True)]
    ledger.verdicts.conclude(claimed.batch, "created", slot=claimed.slot)
    got = row(ledger, "x")
    assert (got["state"], got["drift"], got["base_batch"]) == ("delivered", 0, claimed.batch)
    assert first != claimed.batch


def test_an_approved_resend_outlives_a_touch_a_refusal_and_a_rejection_but_no_change(ledger: Ledger) -> None:
    """Its stream holds changes: nothing but the person's word sends it, and the word was on the lead that was there."""
    stream = register(ledger)
    deliver(ledger, stream, "x")
    drift(ledger, stream, "x")
    ledger.queues.resend(keys(ledger, "drift"))
    drift(ledger, stream, "x", when=LAST)
    assert row(ledger, "x")["state"] == "pending"
    claimed = claim(ledger)
    drift(ledger, stream, "x", when="2026-04-04T00:00:00.000000Z")
    ledger.verdicts.conclude(claimed.batch, "refused", slot=claimed.slot)
    assert row(ledger, "x")["state"] == "pending"
    reject(ledger)
    drift(ledger, stream, "x", when="2026-05-05T00:00:00.000000Z")
    assert row(ledger, "x")["state"] == "quarantined"
    ledger.queues.retry(keys(ledger, "quarantine"))
    assert row(ledger, "x")["state"] == "pending"
    drift(ledger, stream, "x", to="c", when="2026-06-06T00:00:00.000000Z")
    assert (row(ledger, "x")["state"], row(ledger, "x")["drift"]) == ("delivered", 1)


def test_a_resend_whose_record_came_back_meanwhile_is_not_sent(ledger: Ledger) -> None:
    stream = register(ledger)
    deliver(ledger, stream, "x")
    drift(ledger, stream, "x")
    forget_payload(ledger, "x")
    assert ledger.queues.resend(keys(ledger, "drift")) == {"again": 1}
    drift(ledger, stream, "x", to="a", when=LAST)
    assert (row(ledger, "x")["state"], row(ledger, "x")["drift"], row(ledger, "x")["again"]) == ("delivered", 0, None)


def test_the_latest_word_on_a_change_counts(ledger: Ledger) -> None:
    """Asked for once more, and then changed by hand: it is not sent."""
    stream = register(ledger)
    deliver(ledger, stream, "x")
    drift(ledger, stream, "x")
    forget_payload(ledger, "x")
    ledger.queues.resend(keys(ledger, "drift"))
    ledger.queues.acknowledge(_seen(ledger))
    drift(ledger, stream, "x", when=LAST)
    assert (row(ledger, "x")["state"], row(ledger, "x")["drift"]) == ("delivered", 0)


def test_a_bare_reading_from_before_a_word_does_not_stand_for_the_lead(ledger: Ledger) -> None:
    """A page is mapped before its transaction: what was found unchanged then has no payload to send."""
    stream = register(ledger)
    deliver(ledger, stream, "x")
    drift(ledger, stream, "x")
    forget_payload(ledger, "x")
    ledger.queues.resend(keys(ledger, "drift"))
    known = ledger.records.look_up(stream.id, ["x"])["x"]
    assert commit(ledger, stream, [Reading("x", known.latest, mapped=False)]) == {"unchanged": 1}
    assert row(ledger, "x")["again"] == "send"
    drift(ledger, stream, "x")
    assert row(ledger, "x")["state"] == "pending"


# -- what a lead is, and what it would be


def test_a_lead_is_what_was_sent_until_a_person_changed_it(ledger: Ledger, clock: FakeClock) -> None:
    stream = register(ledger)
    deliver(ledger, stream, "x")
    drift(ledger, stream, "x")
    (key,) = keys(ledger, "drift")
    assert ledger.queues.leads([key]) == {key: Leads(b'{"name":"x a"}', b'{"name":"x b"}', "created")}
    ledger.queues.acknowledge(_seen(ledger))
    drift(ledger, stream, "x", to="c", when=LAST)
    assert ledger.queues.leads([key])[key] == Leads(b'{"name":"x b"}', b'{"name":"x c"}', "by hand")
    ledger.queues.resend([key])
    claimed = claim(ledger)
    ledger.verdicts.conclude(claimed.batch, "created", slot=claimed.slot)
    drift(ledger, stream, "x", to="d", when="2026-04-04T00:00:00.000000Z")
    assert ledger.queues.leads([key])[key] == Leads(b'{"name":"x c"}', b'{"name":"x d"}', "created")
    clock.advance(100)
    ledger.verdicts.forget_payloads(99)
    assert ledger.queues.leads([key])[key] == Leads(None, None, "created")


def test_what_a_person_changed_is_forgotten_in_time_but_not_that_they_did(ledger: Ledger, clock: FakeClock) -> None:
    stream = register(ledger)
    deliver(ledger, stream, "x", "y")
    drift(ledger, stream, "x", "y")
    commit(ledger, stream, [reading("y", None, mapping=stream.mapping, modified=LAST, fit="deleted")])
    them = keys(ledger, "drift")
    ledger.queues.acknowledge(_seen(ledger))
    assert sorted(each["acked"] for each in rows(ledger)) == [b"", b'{"name":"x b"}']
    clock.advance(100)
    ledger.verdicts.forget_payloads(99)
    assert {each.source for each in ledger.queues.leads(them).values()} == {"by hand"}
    assert {each.was for each in ledger.queues.leads(them).values()} == {None}


def test_of_a_lead_that_was_there_before_us_nobody_knows_what_it_is(ledger: Ledger) -> None:
    stream = register(ledger)
    commit(
        ledger,
        stream,
        [reading("x", mapping=stream.mapping)],
        rules=Rules("hold", began="2027-01-01T00:00:00.000000Z", baseline=True),
    )
    drift(ledger, stream, "x")
    (key,) = keys(ledger, "drift")
    assert ledger.queues.leads([key])[key] == Leads(None, b'{"name":"x b"}', "before")
    assert ledger.queues.acknowledge(_seen(ledger)) == {"known": 1}
    whole = ledger.queues.whole(key)
    assert (whole["stream_name"], whole["workspace"], whole["state"]) == ("erp.companies", WORKSPACE, "known")
