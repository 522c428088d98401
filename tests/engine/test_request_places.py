"""Requests of all workspaces share a bounded number of places, and no workspace waits for another's bad server."""

from __future__ import annotations

from sync.delivery.request_places import FORGOTTEN, LONG, RequestPlaces


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_place_is_for_whoever_has_waited_longest() -> None:
    places = RequestPlaces(Clock(), at_once=2)
    for batch in ("a1", "a2"):
        assert places.may_take("a")
        places.take(batch)
    assert not places.may_take("b")
    assert not places.may_take("c")
    places.give_back("a1")
    assert not places.may_take("a"), "it has waited the least"
    assert not places.may_take("c")
    assert places.may_take("b")
    places.take("b1")
    places.give_back("a2")
    assert places.may_take("c")


def test_a_request_that_hangs_keeps_nobody_from_a_place() -> None:
    clock = Clock()
    places = RequestPlaces(clock, at_once=2)
    for batch in ("a1", "a2"):
        places.take(batch)
    assert not places.may_take("b")
    clock.now += LONG
    assert places.may_take("b")


def test_who_asks_no_more_is_nobody_s_predecessor() -> None:
    clock = Clock()
    places = RequestPlaces(clock, at_once=1)
    places.take("a1")
    assert not places.may_take("gone")
    assert not places.may_take("b")
    places.give_back("a1")
    assert not places.may_take("b"), "the other one came first"
    clock.now += FORGOTTEN
    assert places.may_take("b")


def test_what_is_given_back_twice_is_one_place() -> None:
    places = RequestPlaces(Clock(), at_once=1)
    places.take("a1")
    places.give_back("a1")
    places.give_back("a1")
    assert places.may_take("a")
    places.take("a2")
    assert not places.may_take("a")
