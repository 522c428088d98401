"""Receipts and ledger held against each other: every pair of what they may say of a batch, without a file."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from state.receipts.compare import (
    CombinedReceipts,
    ahead,
    is_whole,
    lacking,
    refuse_older,
    refuse_untold,
    together,
)
from state.receipts.history import CERTAIN, BatchReceipt, ReceiptHistory
from sync.shared.errors import LedgerUntrusted

STATES = sorted(CERTAIN | {"landed", "absent", "settled", "sending", "in_doubt"})
WORDS: dict[str, dict[int, Any]] = {
    "landed": {0: "landed", 1: "landed"},
    "absent": {0: "absent", 1: "absent"},
    "settled": {0: "landed", 1: "absent"},
}


def receipt(state: str, leads: int = 2) -> BatchReceipt:
    """Of a batch that its receipts call `state`; two leads, where people settled it."""
    made = BatchReceipt("main", 1, leads)
    if state in WORDS:
        made.verdict, made.words = "in_doubt", dict(WORDS[state])
    elif state != "sending":
        made.verdict = state
    assert made.state == state
    return made


def half_settled() -> BatchReceipt:
    return BatchReceipt("main", 1, 2, verdict="in_doubt", words={1: "landed"})


def history(**batches: BatchReceipt) -> ReceiptHistory:
    return ReceiptHistory(batches=batches, has_begin=True, told=3)


# -- what all places together know


def test_a_verdict_is_known_and_an_intent_is_none() -> None:
    created = receipt("created")
    truth = CombinedReceipts({"a": created, "b": receipt("sending")})
    assert truth.verdict_of("a") is created
    assert truth.verdict_of("b") is None
    assert truth.verdict_of("c") is None


@pytest.mark.parametrize(("whole", "batch", "never_left"), [(True, "c", True), (True, "a", False), (False, "c", False)])
def test_only_receipts_that_are_whole_prove_that_a_batch_never_left(whole: bool, batch: str, never_left: bool) -> None:
    assert CombinedReceipts({"a": receipt("sending")}, whole).never_left(batch) is never_left


def test_nothing_is_proven_before_anything_was_read() -> None:
    assert not CombinedReceipts().never_left("a")
    assert not ReceiptHistory().has_begin, "what was not read has no beginning"


SENT = {"a": "created", "b": "refused", "c": "sending"}


@pytest.mark.parametrize(
    ("spoilt", "named", "told", "whole"),
    [
        ({}, [], 3, True),
        ({}, ["a", "b"], 2, True),
        ({"has_begin": False}, [], 3, False),
        ({"torn": True}, [], 3, False),
        ({"damaged": 1}, [], 3, False),
        ({}, [], 4, False),
        ({}, ["c"], 3, False),
        ({}, ["another"], 3, False),
        ({"batches": {"a": receipt("created")}}, [], 3, False),
        ({"batches": {"b": receipt("refused")}}, [], 3, False),
    ],
)
def test_a_place_is_whole_only_if_it_lacks_nothing(
    spoilt: dict[str, Any], named: list[str], told: int, whole: bool
) -> None:
    place = replace(history(a=receipt("created"), b=receipt("refused")), **spoilt)
    assert is_whole(place, SENT, named, told) is whole


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ("sending", "created"),
        ("sending", "in_doubt"),
        ("in_doubt", "landed"),
        ("in_doubt", "half settled"),
        ("half settled", "absent"),
    ],
)
def test_of_a_batch_that_several_places_know_the_best_informed_is_heard(less: str, more: str) -> None:
    told = {name: half_settled() if name == "half settled" else receipt(name) for name in (less, more)}
    for order in (less, more), (more, less):
        found = together(history(b=told[name]) for name in order)
        assert found["b"] is told[more]


def test_places_that_know_different_batches_know_them_all_and_the_first_one_speaks_where_none_knows_more() -> None:
    first, second = (history(**{own: receipt("created"), "both": receipt("created")}) for own in "xy")
    assert together([first, second]) == {**first.batches, **second.batches}
    assert together([first, second])["both"] is first.batches["both"]
    assert together([]) == {}


# -- when the ledger is not trusted


def agree(ledger: str, receipts: str) -> bool:
    """The table of pairs that no crash and no second process explains, said a second time."""
    open_ = {"sending", "in_doubt"}
    if ledger in open_ or receipts in open_:
        return True
    by_people = {"landed", "absent", "settled"}
    may_follow = {
        "landed": by_people | {"created"},
        "absent": by_people | {"refused", "rejected", "paused"},
        "settled": by_people,
    }
    return receipts in may_follow.get(ledger, {ledger})


@pytest.mark.parametrize(("ledger", "receipts"), list(product(STATES, STATES)))
def test_a_batch_of_which_they_say_what_cannot_both_be_is_refused(ledger: str, receipts: str) -> None:
    if agree(ledger, receipts):
        refuse_older({"b": ledger, "other": "created"}, {"b": receipt(receipts)}, "the.db")
        return
    with pytest.raises(LedgerUntrusted) as caught:
        refuse_older({"b": ledger}, {"b": receipt(receipts)}, "the.db")
    assert str(caught.value).startswith(f"the ledger the.db calls batch b {ledger}, its receipts call it {receipts}")
    assert "restore" in caught.value.hint


def test_every_batch_is_held_against_the_ledger() -> None:
    receipts = {name: receipt("created") for name in ("a", "b", "c")}
    with pytest.raises(LedgerUntrusted, match="calls batch c refused"):
        refuse_older({"a": "created", "b": "sending", "c": "refused"}, receipts, "the.db")


@pytest.mark.parametrize(
    ("unheard", "damaged", "said"),
    [
        (
            {"x": receipt("created", 7)},
            [],
            "name 1 batch that it does not know, with 7 leads created or possibly created",
        ),
        ({"x": receipt("created", 1)}, [], "name 1 batch that it does not know, with 1 lead created"),
        (
            {"x": receipt("created", 900), "y": receipt("in_doubt", 99), "z": receipt("sending", 1)},
            [],
            "name 3 batches that it does not know, with 1,000 leads",
        ),
        ({"x": receipt("refused", 7)}, [], "name 1 batch that it does not know, with 0 leads"),
        ({}, ["x"], "name 1 batch that it does not know, with 0 leads"),
        ({"x": receipt("landed")}, ["x", "a"], "name 1 batch that it does not know, with 2 leads"),
        ({"x": receipt("landed")}, ["y"], "name 2 batches that it does not know, with 2 leads"),
    ],
)
def test_a_ledger_that_has_never_heard_of_a_batch_is_older(
    unheard: dict[str, BatchReceipt], damaged: list[str], said: str
) -> None:
    known = {"a": receipt("created", 50)}
    with pytest.raises(LedgerUntrusted) as caught:
        refuse_older({"a": "created"}, {**known, **unheard}, "the.db", damaged=damaged)
    assert str(caught.value).startswith(f"the ledger the.db is older than its receipts: they {said}")
    assert "ledger rebuild" in caught.value.hint


def test_damaged_lines_about_batches_that_the_ledger_has_are_no_reason_to_refuse_it() -> None:
    refuse_older({"a": "created"}, {}, "the.db", damaged=["a"])


@pytest.mark.parametrize(("told", "by_places", "is_older"), [(3, [3, 2], False), (3, [2, 4], True), (0, [], False)])
def test_a_ledger_that_was_told_less_than_any_place_is_older(told: int, by_places: list[int], is_older: bool) -> None:
    histories = [ReceiptHistory(told=each) for each in by_places]
    if not is_older:
        refuse_untold(told, histories, "the.db")
        return
    with pytest.raises(LedgerUntrusted, match="is older than its receipts") as caught:
        refuse_untold(told, histories, "the.db")
    assert "ledger rebuild" in caught.value.hint


# -- what one of them is told


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("known", [None, "half settled", *STATES])
def test_a_place_is_told_what_it_lacks_of_each_batch(state: str, known: str | None) -> None:
    place = history()
    if known is not None:
        place.batches["b"] = half_settled() if known == "half settled" else receipt(known)
    expected = []
    if state != "sending":  # the recovery's
        lack = {None: "batch", "sending": "verdict"}.get(known)
        if known in {"in_doubt", "half settled"} and state in {"landed", "absent", "settled"}:
            lack = "words"
        expected = [("b", lack)] if lack else []
    assert list(lacking({"b": state}, place)) == expected


def test_a_place_is_told_of_every_batch_that_it_lacks_not_of_the_first_only() -> None:
    ledger = {"being sent": "sending", "known": "created", "new": "created", "old": "in_doubt", "settled": "landed"}
    place = history(known=receipt("created"), old=receipt("sending"), settled=receipt("in_doubt"))
    assert list(lacking(ledger, place)) == [("new", "batch"), ("old", "verdict"), ("settled", "words")]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("known", ["half settled", *STATES])
def test_the_ledger_is_told_of_what_it_has_in_doubt_and_of_nothing_else(state: str, known: str) -> None:
    told = half_settled() if known == "half settled" else receipt(known)
    is_ahead = state == "in_doubt" and known not in {"sending", "in_doubt"}
    assert list(ahead({"b": state}, {"b": told})) == ([("b", told)] if is_ahead else [])


def test_the_ledger_is_told_of_every_batch_in_doubt_and_of_none_that_it_does_not_have() -> None:
    receipts = {"strange": receipt("created"), "a": receipt("in_doubt"), "b": receipt("landed"), "c": receipt("paused")}
    found = dict(ahead({"a": "in_doubt", "b": "in_doubt", "c": "in_doubt"}, receipts))
    assert list(found) == ["b", "c"]
