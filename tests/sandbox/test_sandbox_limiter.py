"""Both models of the limit, with the clock handed in, and the exact one over a socket."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sync.trial.sandbox.api import ExactLog, LimitPerKey, SegmentedWindow
from sync.trial.sandbox.reports import most_in_window
from sync.trial.sandbox.running import start
from sync.trial.sandbox.settings import SandboxOptions
from tests.sandbox.conftest import Post

steps = st.lists(st.integers(0, 12), max_size=60)


def rising(gaps: list[int]) -> list[int]:
    times, now = [], 0
    for gap in gaps:
        now += gap
        times.append(now)
    return times


@given(gaps=steps, limit=st.integers(1, 4), per=st.integers(1, 30))
def test_the_exact_log_admits_what_a_count_over_all_that_was_admitted_allows(
    gaps: list[int], limit: int, per: int
) -> None:
    log = ExactLog(limit, per)
    admitted: list[int] = []
    for now in rising(gaps):
        expected = sum(1 for at in admitted if now - per < at <= now) < limit
        assert log.room(now) is expected
        assert log.take(now) is expected
        if expected:
            admitted.append(now)


def test_the_exact_log_frees_a_place_exactly_one_window_later() -> None:
    log = ExactLog(1, 60)
    assert log.take(1)
    assert not log.take(60)
    assert log.take(61)


def test_a_refused_request_takes_no_place() -> None:
    log = ExactLog(1, 60)
    assert log.take(0)
    assert not any(log.take(now) for now in range(1, 60))
    assert log.take(60)


def test_segments_turn_only_at_a_heartbeat_and_lateness_adds_up() -> None:
    # A segment is 10 long, ticks come at 3, 6, 9 …: turns at 12, 24, 36, 48, 60 and 72, not at 10, 20 …
    window = SegmentedWindow(2, 60, segments=6, heartbeat=3, created=0)
    assert window.take(1)
    assert window.take(13)
    assert not window.take(71), "an exact window would have had room since 61"
    assert window.take(72)
    assert not window.take(83)
    assert window.take(84), "what was taken after the first turn comes back one turn later"


def test_segments_with_a_heartbeat_that_fits_are_late_by_none() -> None:
    window = SegmentedWindow(1, 60, segments=6, heartbeat=10, created=0)
    assert window.take(9)
    assert not window.take(59)
    assert window.take(60)


def test_the_heartbeat_ticks_from_its_own_start_not_from_the_keys_first_request() -> None:
    window = SegmentedWindow(1, 10, segments=1, heartbeat=4, created=1, epoch=0)
    assert window.take(1)
    assert not window.take(11), "due at 11, but the next tick is 12"
    assert window.take(12)


@given(gaps=steps, limit=st.integers(1, 4), segments=st.integers(2, 6), heartbeat=st.integers(1, 7))
def test_segments_never_admit_more_than_the_limit_in_their_shortest_window(
    gaps: list[int], limit: int, segments: int, heartbeat: int
) -> None:
    per = segments * 5
    window = SegmentedWindow(limit, per, segments=segments, heartbeat=heartbeat, created=0)
    admitted = [now for now in rising(gaps) if window.take(now)]
    assert most_in_window(admitted, per - 5) <= limit


def test_an_idle_segmented_window_is_empty_again() -> None:
    window = SegmentedWindow(3, 60, segments=6, heartbeat=3, created=0)
    assert [window.take(5) for _ in range(4)] == [True, True, True, False]
    assert [window.take(100_000) for _ in range(4)] == [True, True, True, False]


def test_each_key_has_a_limit_of_its_own() -> None:
    limits = LimitPerKey(lambda _: ExactLog(1, 60))
    assert limits.of("a", 0).take(0)
    assert not limits.of("a", 1).take(1)
    assert limits.of("b", 1).take(1)


def test_over_a_socket_every_request_is_judged_by_the_exact_window_at_its_arrival(post: Post) -> None:
    options = SandboxOptions(port=0, limit=5, per=0.25, latency=(0.001, 0.012), seed=3, keys=("a", "b"))
    with start(options) as running:
        statuses = [post(running, [{"isContact": False}], key="ab"[n % 5 == 0]).status_code for n in range(60)]
        seen = running.requests()
        assert [row["status"] for row in seen] == statuses
        assert running.stats()["max_admitted_in_window"] == 5
        assert running.stats()["max_in_window"] > 5
    admitted: dict[str, list[int]] = {}
    for row in seen:
        at = round(float(row["at"][17:-1]) * 1e6) + int(row["at"][14:16]) * 60_000_000
        before = admitted.setdefault(row["key"], [])
        expected = sum(1 for earlier in before if earlier > at - 250_000) < 5
        assert row["standing"] == ("admitted" if expected else "limited")
        if expected:
            before.append(at)
    assert {200, 429} == set(statuses)
    assert len(admitted) == 2


def test_over_a_socket_segments_hold_back_longer_than_the_window(post: Post) -> None:
    options = SandboxOptions(port=0, limit=2, per=0.3, segments=3, heartbeat=0.15, keys=("k",))
    with start(options) as running:
        statuses = [post(running, [{"isContact": True}], key="k").status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        while post(running, [{"isContact": True}], key="k").status_code == 429:
            pass
        first, *_, last = [row["at"] for row in running.requests() if row["status"] == 200]
    # Turns come 0.15 s apart, not 0.1 s, so three of them take at least 0.3 s after the first heartbeat.
    waited = (float(last[17:-1]) - float(first[17:-1])) % 60
    assert 0.3 <= waited < 2
