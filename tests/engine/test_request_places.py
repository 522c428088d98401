"""Requests of all workspaces share a bounded number of places, and no workspace waits for another's bad server."""

from __future__ import annotations

from sync.delivery.request_places import FORGOTTEN, LONG, RequestPlaces


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_place_is_for_whoever_has_waited_longest() -> None:
    places = RequestPlaces(Clock(), at_once=2)
    first, second = places.take("a"), places.take("a")
    assert places.take("b") is None
    assert places.take("c") is None
    places.give_back(first)
    assert places.take("a") is None, "it has waited the least"
    assert places.take("c") is None
    assert places.take("b")
    places.give_back(second)
    assert places.take("c")


def test_a_request_that_hangs_keeps_nobody_from_a_place() -> None:
    clock = Clock()
    places = RequestPlaces(clock, at_once=2)
    assert places.take("a")
    assert places.take("a")
    assert places.take("b") is None
    clock.now += LONG
    assert places.take("b")


def test_who_asks_no_more_is_nobody_s_predecessor() -> None:
    clock = Clock()
    places = RequestPlaces(clock, at_once=1)
    place = places.take("a")
    assert places.take("gone") is None
    assert places.take("b") is None
    places.give_back(place)
    assert places.take("b") is None, "the other one came first"
    clock.now += FORGOTTEN
    assert places.take("b")


def test_what_is_given_back_twice_is_one_place() -> None:
    places = RequestPlaces(Clock(), at_once=1)
    place = places.take("a")
    places.give_back(place)
    places.give_back(place)
    places.give_back(None)
    assert places.take("a")
    assert places.take("a") is None
