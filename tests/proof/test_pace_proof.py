"""Verdicts and pace, whole program: plan, bisecting, breaker, a stranger on the key."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import httpx

from tests.proof.harness import World, until

SINGLES = 5


def delivered(world: World) -> int:
    return world.states().get("delivered", 0)


# -- the plan


def test_what_still_fits_into_the_free_plan_is_used_and_the_rest_waits(world_with: Callable[..., World]) -> None:
    """250 leads, batches of 100, room for 200: the last 50 are tried in halves down to one."""
    world = world_with(plan="free")
    world.source.add(range(250))
    world.write(workspace="in_flight = 1")
    done = world.once()
    assert done.code == 77
    assert done.summary["rests"]["main"]["why"] == "plan"
    assert "change the plan" in done.summary["rests"]["main"]["hint"]
    assert world.states() == {"delivered": 200, "pending": 50}
    assert [row["leads"] for row in world.sandbox.requests()] == [100, 100, 50, 25, 12, 6, 3, 1]
    assert sum(world.names().values()) == 200

    world.sandbox.set_faults(plan="basic")
    assert world.once().code == 0
    assert world.names() == world.source.names()
    assert [row["leads"] for row in world.sandbox.requests()][8:] == [1, 49]


def test_a_downgraded_plan_costs_one_request_and_a_reload_looks_at_once(world_with: Callable[..., World]) -> None:
    world = world_with(plan="downgraded")
    world.source.add(range(150))
    world.write()
    with world.daemon() as daemon:
        rests = daemon.wait_for("workspace_rests", why="plan")
        assert (rests["next_batch"], rests["seconds"] >= 30) == (1, True)
        assert (world.states(), world.requests()) == ({"pending": 150}, 1)
        world.sandbox.set_faults(plan="basic")
        daemon.signal(signal.SIGHUP)
        world.wait_for_leads(150)
        daemon.wait_for("workspace_resumes")
        assert daemon.stop() == 0
    sizes = [row["leads"] for row in world.sandbox.requests()]
    assert (sizes[:2], sorted(sizes[2:])) == ([100, 1], [49, 100])


# -- rejected


def test_halves_outlive_a_reload_and_a_restart(world_with: Callable[..., World]) -> None:
    """The server names the places of the leads that it refuses: each is asked about alone, then the rest."""
    bad = [f"Company {number}" for number in (1003, 1042, 1077, 1099)]
    world = world_with(faults={f'refuse:{name}"': 1.0 for name in bad}, latency=(0.06, 0.06))
    world.source.add(range(1000, 1100))
    world.write()
    with world.daemon() as daemon:
        until(lambda: world.requests() >= 2, "some parts")
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("config_reloaded")
        until(lambda: world.requests() >= 3, "some more")
        assert daemon.stop() == 0
    assert delivered(world) < 96
    assert world.once().code == 65
    assert world.source.names() - world.names() == Counter(bad)
    assert max(world.names().values()) == 1
    assert world.requests() <= 16


def test_a_server_that_rejects_everything_does_not_drain_the_queue_into_quarantine(
    world_with: Callable[..., World],
) -> None:
    world = world_with(script="400*")
    world.source.add(range(300))
    world.write()
    first = world.once()
    assert first.code == 65
    assert first.summary["rests"]["main"]["why"] == "breaker"
    assert "tried again when the mapping or [wire] changes" in first.summary["rests"]["main"]["hint"]
    stuck = {"quarantined": SINGLES, "pending": 300 - SINGLES}
    assert world.states() == stuck
    asked = world.requests()
    assert asked <= 40, "halves of a few batches that were on the wire together, at most"
    again = world.once()
    assert (again.code, again.summary["balanced"]) == (65, first.summary["balanced"])
    assert first.summary["balanced"]
    assert (world.states(), world.requests()) == (stuck, asked + 1)

    world.sandbox.set_faults({}, script="ok*")
    world.write(lead="labels = [\"'mended'\"]")
    assert world.once().code == 0
    assert world.states() == {"delivered": 300}
    assert world.names() == world.source.names()


# -- 429


@contextmanager
def stranger(world: World, every: float) -> Iterator[Counter[int]]:
    """Somebody else who sends on the same key, blindly; what he was answered."""
    over, statuses = threading.Event(), Counter[int]()

    def send() -> None:
        headers = {"X-API-Key": "sandbox-key"}
        with httpx.Client(headers=headers, trust_env=False, timeout=10) as client:
            while not over.wait(every):
                lead = [{"isContact": False, "name": "of a stranger"}]
                statuses[client.post(f"{world.sandbox.url}/api/v1/leads", json=lead).status_code] += 1

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield statuses
    finally:
        over.set()
        thread.join()


def test_a_stranger_on_the_key_delays_and_loses_nothing(world_with: Callable[..., World]) -> None:
    """It takes three places in four; we notice and take less. A busy machine, too, sends one in a second."""
    world = world_with(limit=20, per=6.0)
    world.source.add(range(16))
    world.write(workspace="batch_size = 1", limit='{ requests = 20, per = "6s" }')
    with ExitStack() as ends:
        answers = ends.enter_context(stranger(world, 6.0 / 15))
        until(lambda: answers[200] >= 15, "the stranger's places")
        daemon = ends.enter_context(world.daemon())
        limited = daemon.wait_for("rate_limited", why="stranger")
        assert limited["used"] < 0.98 * limited["limit"]
        assert limited["share"] < 0.7
        until(lambda: delivered(world) == 16, "all leads")
        events = daemon.events("rate_limited")
        assert daemon.stop() == 0
    names = world.names()
    assert names.pop("of a stranger") == answers[200]
    assert names == world.source.names()
    refused = sum(row["status"] == 429 for row in world.sandbox.requests()) - answers[429]
    assert refused == len(events), "each 429 of ours is said"
    assert refused <= 60


# -- refused


def test_a_round_gives_up_after_a_few_refusals_and_keeps_everything(world_with: Callable[..., World]) -> None:
    world = world_with(script="503*")
    world.source.add(range(10))
    world.write()
    done = world.once()
    assert (done.code, done.summary["rests"]["main"]["why"]) == (75, "refused")
    assert (world.states(), world.requests()) == ({"pending": 10}, 5)
