"""The same lead from two records, table by table: who is sent, who is a duplicate of whom, and who is known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ledger_tools import (
    WORKSPACE,
    FakeClock,
    claim,
    commit,
    declare,
    put_new,
    reading,
    register,
    row,
    rows,
    states,
    unsynced,
)

from state.diagram import State, Version
from state.foreign import Foreign
from state.ledger import Ledger
from state.rows import MatchKind, OnChange, Reading, StreamRow
from state.streams import Declared

LATER = "2026-02-02T00:00:00.000000Z"
EMAIL: tuple[MatchKind, ...] = ("email",)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ledger(tmp_path: Path, clock: FakeClock) -> Iterator[Ledger]:
    with Ledger(put_new(tmp_path / "ledger.db"), own=True, clock=clock, connector=unsynced) as opened:
        yield opened


def two_streams(
    ledger: Ledger, kinds: tuple[MatchKind, ...] = EMAIL, others: tuple[MatchKind, ...] | None = None, **options: str
) -> tuple[StreamRow, StreamRow]:
    """`crm` and `erp`, of one workspace."""
    declared = [
        declare("crm", match_on=kinds, **options),  # type: ignore[arg-type] # as declare has them
        declare("erp", match_on=kinds if others is None else others),
    ]
    found = ledger.streams.register(declared)
    return found["crm"], found["erp"]


def person(
    stream: StreamRow, id_: str, *values: str, content: str = "a", modified: str = "2026-01-01T00:00:00.000000Z"
) -> Reading:
    """A lead with these values: an e-mail address, or `domain:…`, `phone:…`."""
    hashes = [(kind or "email", each.encode()) for each in values for kind in (each.rpartition(":")[0],)]
    plain = reading(id_, content + "".join(values), mapping=stream.mapping, modified=modified)
    return replace(plain, values=hashes)  # type: ignore[arg-type] # kinds


def gone(stream: StreamRow, id_: str, into: str | None = None) -> Reading:
    return Reading(id_, Version("deleted", LATER, stream.mapping, None, None), merged_into=into)


def filtered(stream: StreamRow, id_: str) -> Reading:
    return reading(id_, "b", mapping=stream.mapping, modified=LATER, fit="filtered")


def judge_again(ledger: Ledger, *streams: StreamRow, seen: tuple[Reading, ...] = ()) -> dict[str, str]:
    """The turn of each stream: what is to be judged again is read as `seen` has it. What became of whom."""
    found = {each.id: each for each in seen}
    for stream in streams:
        due = ledger.records.to_judge_again(stream.id, stream.mapping, 100)
        commit(ledger, stream, [found[id_] for id_, _, _ in due])
        assert ledger.records.to_judge_again(stream.id, stream.mapping, 100) == []
    return states(ledger)


def send(ledger: Ledger, verdict: str = "created", most: int = 100) -> list[str]:
    claimed = claim(ledger, most)
    ledger.verdicts.conclude(claimed.batch, verdict, slot=claimed.slot)  # type: ignore[arg-type] # a verdict
    return [each.id for each in claimed.deliveries]


def twin_of(ledger: Ledger, id_: str) -> str | None:
    found = rows(ledger, "SELECT o.id FROM records d JOIN records o ON o.key = d.twin WHERE d.id = ?", id_)
    return str(found[0]["id"]) if found else None


def reason(ledger: Ledger, id_: str) -> object:
    return json.loads(row(ledger, id_)["reason"] or "null")


# -- who is a duplicate


@pytest.mark.parametrize("first", ["crm", "erp"])
def test_whoever_comes_first_is_the_lead(ledger: Ledger, first: str) -> None:
    crm, erp = two_streams(ledger)
    one, other = (crm, erp) if first == "crm" else (erp, crm)
    assert commit(ledger, one, [person(one, "first", "x")]) == {"new": 1, "unqueued": 0}
    assert commit(ledger, other, [person(other, "second", "x")])["duplicate"] == 1
    assert states(ledger) == {"first": "pending", "second": "duplicate"}
    assert twin_of(ledger, "second") == "first"
    assert reason(ledger, "second") == [{"field": "email", "rule": f"is that of record first of {one.name}"}]
    assert send(ledger) == ["first"]


def test_of_two_on_one_page_the_first_is_the_lead(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger)
    counts = commit(ledger, crm, [person(crm, each, "x") for each in ("a", "b", "c")])
    assert counts == {"new": 1, "duplicate": 2, "unqueued": 0}
    assert (twin_of(ledger, "b"), twin_of(ledger, "c")) == ("a", "a")


@pytest.mark.parametrize(
    ("kinds", "one", "other", "same"),
    [
        (("email",), "x", "x", True),
        (("email",), "x", "y", False),
        (("domain",), "x", "x", False),
        (("domain",), "domain:x", "domain:x", True),
        (("domain", "email"), "domain:x", "x", False),
        (("email", "phone"), "phone:1", "phone:1", True),
        (("email",), "phone:1", "phone:1", False),
        ((), "x", "x", False),
    ],
)
def test_only_values_of_the_kinds_that_match_on_names_count(
    ledger: Ledger, kinds: tuple[MatchKind, ...], one: str, other: str, same: bool
) -> None:
    crm, erp = two_streams(ledger, kinds)
    commit(ledger, crm, [person(crm, "a", one, "only a")])
    commit(ledger, erp, [person(erp, "b", other, "only b")])
    assert states(ledger) == {"a": "pending", "b": "duplicate" if same else "pending"}


def test_match_on_governs_a_streams_own_newcomers_whosever_the_lead_is(ledger: Ledger) -> None:
    crm, erp = two_streams(ledger, EMAIL, ())
    commit(ledger, erp, [person(erp, "a", "x"), person(erp, "b", "x")])
    commit(ledger, crm, [person(crm, "c", "x")])
    commit(ledger, erp, [person(erp, "d", "x")])
    assert states(ledger) == {"a": "pending", "b": "pending", "c": "duplicate", "d": "pending"}
    assert twin_of(ledger, "c") == "a", "the oldest"


def test_of_several_leads_the_oldest_is_the_one(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger)
    commit(ledger, crm, [person(crm, "a", "x"), person(crm, "b", "y")])
    commit(ledger, crm, [person(crm, "c", "y", "x"), person(crm, "d", "x", "y"), person(crm, "e", "z", "y")])
    assert [twin_of(ledger, each) for each in "cde"] == ["a", "a", "b"]


def test_another_workspace_is_another_world(ledger: Ledger) -> None:
    found = ledger.streams.register(
        [declare("crm", match_on=EMAIL), declare("erp", match_on=EMAIL, workspace="second")]
    )
    for name, id_ in (("crm", "a"), ("erp", "b")):
        commit(ledger, found[name], [person(found[name], id_, "x")])
    assert states(ledger) == {"a": "pending", "b": "pending"}


def into_state(ledger: Ledger, stream: StreamRow, state: str) -> None:
    """Brings record `a` with the value `x` into a state."""
    commit(ledger, stream, [person(stream, "a", "x")])
    match state:
        case "held" | "ignored" | "quarantined":
            with ledger.file.write() as connection:
                connection.execute("UPDATE records SET state = ?", (state,))
        case "sending":
            claim(ledger)
        case "delivered" | "in_doubt":
            send(ledger, "created" if state == "delivered" else "in_doubt")
        case "filtered after delivery" | "withdrawn after delivery":
            send(ledger)
            commit(ledger, stream, [filtered(stream, "a") if state.startswith("filtered") else gone(stream, "a")])
        case "filtered" | "withdrawn":
            commit(ledger, stream, [filtered(stream, "a") if state == "filtered" else gone(stream, "a")])


OWNING = ("pending", "held", "sending", "in_doubt", "delivered", "filtered after delivery", "withdrawn after delivery")
NOT_OWNING = ("filtered", "withdrawn", "quarantined", "ignored")


@pytest.mark.parametrize("state", [*OWNING, *NOT_OWNING])
def test_who_stands_for_a_lead(ledger: Ledger, state: str) -> None:
    crm, erp = two_streams(ledger)
    into_state(ledger, crm, state)
    commit(ledger, erp, [person(erp, "b", "x")])
    assert states(ledger)["b"] == ("duplicate" if state in OWNING else "pending")


def test_no_record_is_a_duplicate_of_itself(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger)
    commit(ledger, crm, [person(crm, "a", "x", "y")])
    counts = commit(ledger, crm, [person(crm, "a", "x", "z", modified=LATER)])
    assert (counts["updated"], states(ledger)) == (1, {"a": "pending"})


@pytest.mark.parametrize("on_change", ["hold", "resend"])
def test_a_lead_that_exists_is_never_taken_back(ledger: Ledger, on_change: OnChange) -> None:
    """A drifted record may come to bear what is another's; its lead is there all the same."""
    crm, erp = two_streams(ledger, on_change=on_change)
    commit(ledger, crm, [person(crm, "a", "x")])
    commit(ledger, erp, [person(erp, "b", "y")])
    send(ledger)
    commit(ledger, crm, [person(crm, "a", "y", modified=LATER)])
    assert states(ledger) == {"a": "delivered" if on_change == "hold" else "pending", "b": "delivered"}


def test_what_a_lead_bears_and_what_it_bore_belongs_to_it(ledger: Ledger) -> None:
    crm, erp = two_streams(ledger)
    commit(ledger, crm, [person(crm, "a", "x")])
    send(ledger)
    commit(ledger, crm, [person(crm, "a", "y", modified=LATER)])
    commit(ledger, erp, [person(erp, "b", "x"), person(erp, "c", "y")])
    assert states(ledger) == {"a": "delivered", "b": "duplicate", "c": "duplicate"}


def test_a_held_record_stays_held_and_keeps_its_place(ledger: Ledger) -> None:
    crm, erp = two_streams(ledger)
    into_state(ledger, crm, "held")
    commit(ledger, erp, [person(erp, "b", "x")])
    counts = commit(ledger, crm, [person(crm, "a", "x", content="b", modified=LATER)])
    assert (counts["held"], states(ledger)) == (1, {"a": "held", "b": "duplicate"})


def test_an_approval_does_not_make_two_of_one(ledger: Ledger) -> None:
    """Both were held before anybody matched them; a person lets both go."""
    crm, _ = two_streams(ledger, ())
    seen = (person(crm, "a", "x"), person(crm, "b", "x"))
    commit(ledger, crm, seen)
    with ledger.file.write() as connection:
        connection.execute("UPDATE records SET state = 'held'")
    crm, _ = two_streams(ledger)
    assert judge_again(ledger, crm, seen=seen) == {"a": "held", "b": "held"}
    with ledger.file.write() as connection:
        connection.execute("UPDATE records SET again = 'send'")
    assert judge_again(ledger, crm, seen=seen) == {"a": "pending", "b": "duplicate"}


def test_a_duplicate_keeps_what_it_would_be_sent_with_as_long_as_a_quarantined_record(
    ledger: Ledger, clock: FakeClock
) -> None:
    crm, _ = two_streams(ledger)
    commit(ledger, crm, [person(crm, "a", "x"), person(crm, "b", "x")])
    assert (row(ledger, "b")["payload"], row(ledger, "b")["source"]) == (b'{"name":"b ax"}', b"ax")
    clock.advance(3600)
    assert ledger.verdicts.forget_payloads(7200) == 0
    clock.advance(3601)
    assert ledger.verdicts.forget_payloads(7200) == 1
    assert (row(ledger, "b")["payload"], row(ledger, "b")["source"]) == (None, None)
    assert row(ledger, "a")["payload"] is not None


# -- when the lead's record changes


def test_a_changed_duplicate_is_judged_by_its_new_values(ledger: Ledger) -> None:
    crm, erp = two_streams(ledger)
    commit(ledger, crm, [person(crm, "a", "x")])
    commit(ledger, erp, [person(erp, "b", "x")])
    assert commit(ledger, erp, [person(erp, "b", "x", content="b", modified=LATER)])["duplicate"] == 1
    assert commit(ledger, erp, [person(erp, "b", "y", modified=LATER)])["new"] == 1
    assert (states(ledger)["b"], twin_of(ledger, "b"), reason(ledger, "b")) == ("pending", None, None)


@pytest.mark.parametrize("why", ["filtered", "withdrawn", "quarantined", "other values", "no values", "rejected"])
def test_when_the_lead_s_record_will_not_be_sent_its_oldest_duplicate_is(ledger: Ledger, why: str) -> None:
    crm, erp = two_streams(ledger)
    commit(ledger, crm, [person(crm, "a", "x")])
    others = [person(erp, each, "x") for each in ("b", "c")]
    commit(ledger, erp, others)
    match why:
        case "filtered":
            commit(ledger, crm, [filtered(crm, "a")])
        case "withdrawn":
            commit(ledger, crm, [gone(crm, "a")])
        case "quarantined":
            commit(ledger, crm, [reading("a", "b", mapping=crm.mapping, modified=LATER, fit="unfit")])
        case "other values":
            commit(ledger, crm, [person(crm, "a", "y", modified=LATER)])
        case "no values":
            commit(ledger, crm, [person(crm, "a", modified=LATER)])
        case "rejected":
            send(ledger, "rejected")
    assert {each: row(ledger, each)["again"] for each in "bc"} == {"b": "judge", "c": "judge"}
    assert judge_again(ledger, crm, erp, seen=tuple(others)) | {"a": ""} == {"a": "", "b": "pending", "c": "duplicate"}
    assert twin_of(ledger, "c") == "b"


@pytest.mark.parametrize("verdict", ["refused", "paused", "in_doubt", "created"])
def test_a_lead_on_its_way_is_a_lead_whatever_the_answer(ledger: Ledger, verdict: str) -> None:
    crm, erp = two_streams(ledger)
    commit(ledger, crm, [person(crm, "a", "x")])
    commit(ledger, erp, [person(erp, "b", "x")])
    send(ledger, verdict)
    assert (states(ledger)["b"], row(ledger, "b")["again"]) == ("duplicate", None)
    for each in ledger.verdicts.in_doubt():
        ledger.verdicts.resolve(str(each["name"]), landed=False, note="looked")
    assert (states(ledger)["b"], row(ledger, "b")["again"]) == ("duplicate", None)


def test_values_read_while_the_lead_was_on_its_way_count_once_it_did_not_arrive(ledger: Ledger) -> None:
    """It was refused with the old address, and would now go out with one that is another's."""
    crm, erp = two_streams(ledger)
    commit(ledger, erp, [person(erp, "a", "x")])
    send(ledger)
    commit(ledger, crm, [person(crm, "b", "y")])
    waiting = claim(ledger)
    changed = person(crm, "b", "x", modified=LATER)
    commit(ledger, crm, [changed])
    commit(ledger, erp, [person(erp, "c", "y")])
    assert judge_again(ledger, crm, erp) == {"a": "delivered", "b": "sending", "c": "duplicate"}
    ledger.verdicts.conclude(waiting.batch, "refused", slot=waiting.slot)
    assert ledger.outbox.pending(WORKSPACE) == 1
    found = judge_again(ledger, crm, erp, seen=(changed, person(erp, "c", "y")))
    assert found == {"a": "delivered", "b": "duplicate", "c": "pending"}


def test_values_read_while_the_lead_was_on_its_way_do_not_matter_once_it_arrived(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger)
    commit(ledger, crm, [person(crm, "b", "y")])
    waiting = claim(ledger)
    commit(ledger, crm, [person(crm, "b", "x", modified=LATER)])
    ledger.verdicts.conclude(waiting.batch, "created", slot=waiting.slot)
    assert judge_again(ledger, crm) == {"b": "delivered"}


# -- several on one page


def page(ledger: Ledger, stream: StreamRow, *readings: Reading) -> dict[str, str | None]:
    """Of whom each record of the page is a duplicate; of those, none may wait for a record that waits for nothing."""
    commit(ledger, stream, readings)
    return {each.id: twin_of(ledger, each.id) for each in readings}


def test_who_leaves_on_the_same_page_is_nobodys_lead(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger)
    commit(ledger, crm, [person(crm, "a"), person(crm, "b", "x"), person(crm, "c", "y"), person(crm, "d", "z")])
    found = page(
        ledger,
        crm,
        person(crm, "a", "x", "y", modified=LATER),
        filtered(crm, "b"),
        person(crm, "c", "w", modified=LATER),
        person(crm, "new", "z"),
        gone(crm, "d"),
    )
    assert found == {"a": None, "b": None, "c": None, "new": None, "d": None}
    assert states(ledger) == {"a": "pending", "b": "filtered", "c": "pending", "d": "withdrawn", "new": "pending"}


def test_who_comes_to_bear_a_value_on_the_same_page_bears_it(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger)
    commit(ledger, crm, [person(crm, "lead", "v")])
    send(ledger)
    commit(ledger, crm, [person(crm, "a", "w")])
    found = page(
        ledger,
        crm,
        person(crm, "n", "x"),
        person(crm, "m", "y"),
        person(crm, "a", "x", modified=LATER),
        person(crm, "lead", "y", modified=LATER),
    )
    assert found == {"n": "a", "m": "lead", "a": None, "lead": None}, "the ledger's own come before the new"


def test_two_that_swap_their_values_are_both_sent(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger)
    commit(ledger, crm, [person(crm, "a", "x"), person(crm, "b", "y")])
    found = page(ledger, crm, person(crm, "a", "y", modified=LATER), person(crm, "b", "x", modified=LATER))
    assert found == {"a": None, "b": None}


def test_ids_and_values_of_any_kind(ledger: Ledger) -> None:
    crm, erp = two_streams(ledger)
    commit(ledger, crm, [person(crm, "a\0b", "x\0y", "日本")])
    commit(ledger, erp, [person(erp, "\0", "x\0y"), person(erp, "c", "x")])
    assert states(ledger) == {"a\0b": "pending", "\0": "duplicate", "c": "pending"}


# -- switched on, off, otherwise


def test_switched_on_the_oldest_of_those_that_wait_is_the_lead(ledger: Ledger) -> None:
    crm, erp = two_streams(ledger, ())
    seen = [person(crm, "a", "x"), person(crm, "d", "z"), person(erp, "b", "x"), person(crm, "c", "x")]
    for each, stream in zip(seen, (crm, crm, erp, crm), strict=True):
        commit(ledger, stream, [each])
    crm, erp = two_streams(ledger)
    assert claimable(ledger) == set(), "nothing goes out before it was matched"
    # one by one, as on pages of their own
    for id_ in ("a", "d", "c"):
        commit(ledger, crm, [each for each in seen if each.id == id_])
    commit(ledger, erp, [seen[2]])
    assert states(ledger) == {"a": "pending", "d": "pending", "b": "duplicate", "c": "duplicate"}
    assert (twin_of(ledger, "b"), twin_of(ledger, "c")) == ("a", "a")


def test_switched_off_all_are_set_free(ledger: Ledger) -> None:
    crm, erp = two_streams(ledger)
    seen = (person(crm, "a", "x"), person(crm, "b", "x"), person(erp, "c", "x"))
    commit(ledger, crm, seen[:2])
    commit(ledger, erp, seen[2:])
    crm, erp = two_streams(ledger, (), EMAIL)
    assert judge_again(ledger, crm, erp, seen=seen) == {"a": "pending", "b": "pending", "c": "duplicate"}


def test_other_kinds_are_other_matches(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger)
    seen = (person(crm, "a", "x", "phone:1"), person(crm, "b", "x"), person(crm, "c", "phone:1"))
    commit(ledger, crm, seen)
    crm, _ = two_streams(ledger, ("phone",))
    assert judge_again(ledger, crm, seen=seen) == {"a": "pending", "b": "pending", "c": "duplicate"}


def test_switched_on_while_one_is_in_doubt(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger, ())
    seen = (person(crm, "a", "x"), person(crm, "b", "x"))
    commit(ledger, crm, seen)
    first = claim(ledger, 1)
    ledger.verdicts.conclude(first.batch, "created", slot=first.slot)
    second = claim(ledger, 1)
    ledger.verdicts.conclude(second.batch, "in_doubt", slot=second.slot)
    crm, _ = two_streams(ledger)
    assert judge_again(ledger, crm) == {"a": "delivered", "b": "in_doubt"}
    ledger.verdicts.resolve(second.batch, landed=False, note="looked")
    assert judge_again(ledger, crm, seen=seen) == {"a": "delivered", "b": "duplicate"}


def test_registering_the_same_again_changes_nothing(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger, ("phone", "email"))
    commit(ledger, crm, [person(crm, "a", "x"), person(crm, "b", "x")])
    crm, _ = two_streams(ledger, ("email", "phone", "email"))
    assert ledger.records.to_judge_again(crm.id, crm.mapping, 9) == []
    assert crm.match_on == ("email", "phone")


def test_what_waits_in_a_stream_that_is_gone_stands_for_no_lead(ledger: Ledger) -> None:
    crm, erp = two_streams(ledger)
    seen = (person(crm, "a", "x"), person(crm, "sent", "y"), person(erp, "b", "x"), person(erp, "c", "y"))
    commit(ledger, crm, [seen[1]])
    send(ledger)
    commit(ledger, crm, [seen[0]])
    commit(ledger, erp, seen[2:])
    alone: Declared = declare("erp", match_on=EMAIL)
    register(ledger, alone)
    assert judge_again(ledger, erp, seen=seen) == {
        "a": "pending",
        "sent": "delivered",
        "b": "pending",
        "c": "duplicate",
    }
    crm, erp = two_streams(ledger)
    assert judge_again(ledger, crm, erp, seen=seen)["a"] == "duplicate", "b waits in its stead by now"


def test_a_stream_that_moves_to_another_workspace_is_matched_there(ledger: Ledger) -> None:
    crm, erp = two_streams(ledger)
    seen = (person(crm, "a", "x"), person(erp, "b", "x"))
    commit(ledger, crm, [seen[0]])
    commit(ledger, erp, [seen[1]])
    moved = declare("crm", match_on=EMAIL, workspace="second")
    ledger.streams.rename("crm", moved)
    found = ledger.streams.register([moved, declare("erp", match_on=EMAIL)])
    assert judge_again(ledger, found["crm"], found["erp"], seen=seen) == {"a": "pending", "b": "pending"}


# -- merged at the source


@pytest.mark.parametrize(
    ("loser", "waits", "then"),
    [
        ("delivered", "known", "known"),
        ("filtered after delivery", "known", "known"),
        ("in_doubt", "duplicate", "known"),
        ("sending", "duplicate", "known"),
        ("pending", "pending", "delivered"),
        ("held", "pending", "delivered"),
        ("quarantined", "pending", "delivered"),
        ("filtered", "pending", "delivered"),
        (None, "pending", "delivered"),
    ],
)
@pytest.mark.parametrize("order", ["survivor, tombstone", "tombstone, survivor", "one page", "one page, turned round"])
def test_a_survivor_has_its_losers_lead(ledger: Ledger, loser: str | None, waits: str, then: str, order: str) -> None:
    crm, _ = two_streams(ledger, ())
    if loser:
        into_state(ledger, crm, loser)
    survivor, tombstone = person(crm, "s", "y"), gone(crm, "a", into="s")
    pages = {
        "survivor, tombstone": [[survivor], [tombstone]],
        "tombstone, survivor": [[tombstone], [survivor]],
        "one page": [[survivor, tombstone]],
        "one page, turned round": [[tombstone, survivor]],
    }[order]
    for each in pages:
        commit(ledger, crm, each)
    assert claimable(ledger) <= {"s"} if waits == "pending" else not claimable(ledger)
    assert judge_again(ledger, crm, seen=(survivor,))["s"] == waits
    settle_all(ledger)
    assert judge_again(ledger, crm, seen=(survivor,))["s"] == then
    assert row(ledger, "a")["state"] == "withdrawn"
    sent = rows(ledger, "SELECT count(DISTINCT record) AS n FROM deliveries")[0]["n"]
    assert sent == 1, "one person, one lead"


def claimable(ledger: Ledger) -> set[str]:
    found = rows(ledger, "SELECT id FROM records WHERE state = 'pending' AND again IS NULL")
    return {each["id"] for each in found}


def settle_all(ledger: Ledger) -> None:
    """Whatever is on the wire or in doubt landed; whatever waits is sent."""
    for each in rows(ledger, "SELECT name, slot FROM batches WHERE state = 'sending'"):
        ledger.verdicts.conclude(each["name"], "created", slot=each["slot"])
    for each in ledger.verdicts.in_doubt():
        ledger.verdicts.resolve(str(each["name"]), landed=True, note="looked")
    if claimable(ledger):
        send(ledger)


@pytest.mark.parametrize("verdict", ["refused", "absent"])
def test_a_survivor_is_sent_when_its_losers_lead_did_not_arrive(ledger: Ledger, verdict: str) -> None:
    crm, _ = two_streams(ledger, ())
    commit(ledger, crm, [person(crm, "a")])
    claimed = claim(ledger)
    survivor, tombstone = person(crm, "s"), gone(crm, "a", into="s")
    commit(ledger, crm, [tombstone, survivor])
    assert (states(ledger)["s"], reason(ledger, "s")) == ("duplicate", [{"rule": "was merged with record a"}])
    if verdict == "refused":
        ledger.verdicts.conclude(claimed.batch, "refused", slot=claimed.slot)
    else:
        ledger.verdicts.conclude(claimed.batch, "in_doubt", slot=claimed.slot)
        ledger.verdicts.resolve(claimed.batch, landed=False, note="looked")
    assert judge_again(ledger, crm, seen=(survivor, tombstone)) == {"a": "withdrawn", "s": "pending"}


@pytest.mark.parametrize("state", ["pending", "held", "quarantined", "duplicate", "unfit"])
def test_a_survivor_that_waits_is_stopped_and_known(ledger: Ledger, state: str) -> None:
    crm, erp = two_streams(ledger, EMAIL)
    commit(ledger, crm, [person(crm, "a", "x")])
    commit(ledger, erp, [person(erp, "other", "y")])
    send(ledger)
    survivor = person(crm, "s", "y" if state == "duplicate" else "z")
    if state == "unfit":
        survivor = reading("s", "s", mapping=crm.mapping, fit="unfit")
    commit(ledger, crm, [survivor])
    if state in {"held", "quarantined"}:
        with ledger.file.write() as connection:
            connection.execute("UPDATE records SET state = ? WHERE id = 's'", (state,))
    commit(ledger, crm, [gone(crm, "a", into="s")])
    assert row(ledger, "s")["again"] == "judge"
    assert judge_again(ledger, crm, seen=(survivor,))["s"] == "known"
    known = row(ledger, "s")
    assert (known["lead_exists"], known["base_source_fp"], known["payload"]) == (
        "yes",
        survivor.version.source_fp,
        None,
    )
    assert reason(ledger, "s") == [{"rule": "was merged with record a, whose lead exists"}]


@pytest.mark.parametrize(
    ("verdict", "then"), [("refused", "known"), ("created", "delivered"), ("in_doubt", "in_doubt")]
)
def test_a_survivor_on_the_wire_is_judged_after_its_verdict(ledger: Ledger, verdict: str, then: str) -> None:
    crm, _ = two_streams(ledger, ())
    commit(ledger, crm, [person(crm, "a")])
    send(ledger)
    survivor = person(crm, "s")
    commit(ledger, crm, [survivor])
    claimed = claim(ledger)
    commit(ledger, crm, [gone(crm, "a", into="s")])
    touched = person(crm, "s", modified=LATER)
    commit(ledger, crm, [touched])
    assert judge_again(ledger, crm)["s"] == "sending"
    ledger.verdicts.conclude(claimed.batch, verdict, slot=claimed.slot)  # type: ignore[arg-type] # a verdict
    assert claimable(ledger) == set()
    assert judge_again(ledger, crm, seen=(touched,))["s"] == then


def test_a_survivor_with_a_lead_of_its_own_keeps_it(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger, ())
    commit(ledger, crm, [person(crm, "a"), person(crm, "s")])
    send(ledger)
    counts = commit(ledger, crm, [gone(crm, "a", into="s")])
    assert (counts["withdrawn"], states(ledger)) == (1, {"a": "withdrawn", "s": "delivered"})
    assert judge_again(ledger, crm) == {"a": "withdrawn", "s": "delivered"}


def test_a_survivor_that_is_not_wanted_is_known_when_it_is(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger, ())
    commit(ledger, crm, [person(crm, "a"), filtered(crm, "s")])
    send(ledger)
    commit(ledger, crm, [gone(crm, "a", into="s")])
    assert states(ledger)["s"] == "filtered"
    commit(ledger, crm, [person(crm, "s", modified=LATER)])
    assert states(ledger)["s"] == "known"


@pytest.mark.parametrize("order", ["abc", "acb", "bac", "bca", "cab", "cba"])
def test_chains_of_merges(ledger: Ledger, order: str) -> None:
    """a, whose lead exists, went into b, b into c, in whatever order that is read."""
    crm, _ = two_streams(ledger, ())
    commit(ledger, crm, [person(crm, "a")])
    send(ledger)
    pages = {"a": gone(crm, "a", into="b"), "b": gone(crm, "b", into="c"), "c": person(crm, "c")}
    for each in order:
        commit(ledger, crm, [pages[each]])
    judge_again(ledger, crm, seen=(pages["c"],))
    assert states(ledger) == {"a": "withdrawn", "b": "withdrawn", "c": "known"}


def test_merges_back_and_forth(ledger: Ledger) -> None:
    """They are one person for good: once a lead exists for either, none of them is sent any more."""
    crm, _ = two_streams(ledger, ())
    commit(ledger, crm, [person(crm, "a"), person(crm, "b")])
    commit(ledger, crm, [gone(crm, "a", into="b")])
    judge_again(ledger, crm, seen=(person(crm, "b"),))
    assert send(ledger) == ["b"]
    back = person(crm, "a", content="back", modified="2026-03-03T00:00:00.000000Z")
    commit(ledger, crm, [back])
    assert states(ledger) == {"a": "known", "b": "delivered"}
    commit(ledger, crm, [gone(crm, "b", into="a"), gone(crm, "a", into="a")])
    assert judge_again(ledger, crm) == {"a": "withdrawn", "b": "withdrawn"}


def test_two_survivors_of_one_record_are_one_person(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger, ())
    commit(ledger, crm, [gone(crm, "a", into="b")])
    commit(ledger, crm, [replace(gone(crm, "a", into="c"), version=Version("deleted", "3", crm.mapping, None, None))])
    commit(ledger, crm, [person(crm, "b"), person(crm, "c")])
    assert states(ledger) == {"a": "withdrawn", "b": "pending", "c": "duplicate"}


def test_a_tombstone_that_is_read_again_does_nothing(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger, ())
    commit(ledger, crm, [person(crm, "a"), person(crm, "s")])
    commit(ledger, crm, [gone(crm, "a", into="s")])
    judge_again(ledger, crm, seen=(person(crm, "s"),))
    assert commit(ledger, crm, [gone(crm, "a", into="s")]) == {"unchanged": 1}
    assert (claimable(ledger), send(ledger)) == ({"s"}, ["s"])


# -- imported


@pytest.mark.parametrize("state", ["pending", "held", "quarantined", "duplicate"])
def test_an_imported_value_makes_what_waits_known(ledger: Ledger, state: State) -> None:
    crm, erp = two_streams(ledger, EMAIL if state == "duplicate" else ())
    commit(ledger, erp, [person(erp, "lead", "y")])
    seen = person(crm, "a", "x", "y")
    commit(ledger, crm, [seen])
    if state != "duplicate":
        with ledger.file.write() as connection:
            connection.execute("UPDATE records SET state = ? WHERE id = 'a'", (state,))
    assert states(ledger)["a"] == state
    foreign = Foreign(ledger.file)
    assert foreign.meets(WORKSPACE, [("email", b"x"), ("email", b"z")]) == {"crm": {"a"}}
    assert foreign.add(WORKSPACE, [("email", b"x"), ("email", b"z")]) == (2, 1)
    assert claimable(ledger) == {"lead"}
    assert judge_again(ledger, crm, erp, seen=(seen,)) == {"lead": "pending", "a": "known"}
    assert reason(ledger, "a") == [{"field": "email", "rule": "is that of a lead that was imported as existing"}]
    assert commit(ledger, crm, [person(crm, "a", "x", content="b", modified=LATER)])["drifted"] == 1
    assert foreign.add(WORKSPACE, [("email", b"x")]) == (0, 0)
    assert foreign.meets(WORKSPACE, [("email", b"x")]) == {}


@pytest.mark.parametrize(
    ("match_on", "value", "known"),
    [
        ((), "x", True),
        ((), "domain:x", True),
        ((), "phone:x", False),
        (("phone",), "phone:x", True),
        (("email",), "phone:x", False),
        (("phone",), "domain:x", True),
    ],
)
def test_what_comes_later_is_known_by_address_and_domain_and_by_number_where_asked_for(
    ledger: Ledger, match_on: tuple[MatchKind, ...], value: str, known: bool
) -> None:
    crm, _ = two_streams(ledger, match_on)
    kind = value.rpartition(":")[0] or "email"
    commit(ledger, crm, [person(crm, "before", value)])
    meets = Foreign(ledger.file).meets(WORKSPACE, [(kind, value.encode())])  # type: ignore[list-item] # a kind
    assert meets == ({"crm": {"before"}} if known else {})
    Foreign(ledger.file).add(WORKSPACE, [(kind, value.encode())])  # type: ignore[list-item] # a kind
    Foreign(ledger.file).add("second", [("email", b"w")])
    commit(ledger, crm, [person(crm, "a", value), person(crm, "b", "w")])
    found = judge_again(ledger, crm, seen=(person(crm, "before", value),))
    alone = "duplicate" if match_on == ("phone",) and not known else "pending"
    assert found == {"before": "known" if known else "pending", "a": "known" if known else alone, "b": "pending"}


def test_what_cannot_be_sent_as_it_is_does_not_become_known(ledger: Ledger) -> None:
    """Its values are those of an earlier version; what it will be, nobody knows yet."""
    crm, _ = two_streams(ledger, ())
    commit(ledger, crm, [person(crm, "a", "x")])
    commit(ledger, crm, [reading("a", "b", mapping=crm.mapping, modified=LATER, fit="unfit")])
    assert Foreign(ledger.file).meets(WORKSPACE, [("email", b"x")]) == {}
    Foreign(ledger.file).add(WORKSPACE, [("email", b"x")])
    assert judge_again(ledger, crm) == {"a": "quarantined"}


@pytest.mark.parametrize(("verdict", "then"), [("refused", "known"), ("created", "delivered")])
def test_an_import_meets_a_lead_on_its_way(ledger: Ledger, verdict: str, then: str) -> None:
    crm, _ = two_streams(ledger, ())
    commit(ledger, crm, [person(crm, "a", "x")])
    claimed = claim(ledger)
    Foreign(ledger.file).add(WORKSPACE, [("email", b"x")])
    ledger.verdicts.conclude(claimed.batch, verdict, slot=claimed.slot)  # type: ignore[arg-type] # a verdict
    assert claimable(ledger) == set()
    assert judge_again(ledger, crm, seen=(person(crm, "a", "x"),)) == {"a": then}


def test_an_import_meets_a_lead_on_its_way_that_is_not_wanted_for_a_while(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger, ())
    commit(ledger, crm, [person(crm, "a", "x")])
    send(ledger, "in_doubt")
    commit(ledger, crm, [filtered(crm, "a")])
    Foreign(ledger.file).add(WORKSPACE, [("email", b"x")])
    back = person(crm, "a", "x", modified="2026-03-03T00:00:00.000000Z")
    commit(ledger, crm, [back])
    (doubt,) = ledger.verdicts.in_doubt()
    ledger.verdicts.resolve(str(doubt["name"]), landed=False, note="looked")
    assert judge_again(ledger, crm, seen=(back,)) == {"a": "known"}


def test_an_import_taken_back_sends_what_comes_later_and_nothing_that_is_known(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger, ())
    foreign = Foreign(ledger.file)
    foreign.add(WORKSPACE, [("email", b"x"), ("email", b"y")])
    foreign.add("second", [("email", b"x")])
    assert foreign.meets("second", [("email", b"x")]) == {}
    commit(ledger, crm, [person(crm, "a", "x")])
    assert (foreign.remove(WORKSPACE, [("email", b"x"), ("email", b"z")]), foreign.count(WORKSPACE)) == (1, 1)
    assert (foreign.clear(WORKSPACE), foreign.count(WORKSPACE), foreign.count("second")) == (1, 0, 1)
    commit(ledger, crm, [person(crm, "b", "x"), person(crm, "a", "x", content="b", modified=LATER)])
    assert states(ledger) == {"a": "known", "b": "pending"}
