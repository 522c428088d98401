"""kill -9 at any moment loses nothing and sends nothing twice; what was on the wire is in doubt."""

from __future__ import annotations

from collections.abc import Callable

from sync.trial.sandbox.running import start
from tests.proof.harness import World, until
from tests.proof.kills import Plan, assert_truth, kill_again_and_again, waiting

STUMBLES = "ok*15,timeout-after,ok*20,429*2,ok*20,reset-after,ok*20,500-after,ok*20,half,ok*20,reset-before,ok*"
"""Each unknown outcome is followed by successes: three in a row would rest the workspace for minutes."""


def test_kills_at_random_moments(world_with: Callable[..., World]) -> None:
    """A few kills of whole processes while the source is written to and the server stumbles."""
    world = world_with(latency=(0.001, 0.03), hang=2.0, script=STUMBLES, seed=3)
    told = kill_again_and_again(world, Plan(kills=6, seed=5))
    assert_truth(world)
    assert told.cut_off, "no kill met a request on the wire: the test has lost its point"


def test_the_server_is_killed_and_comes_back(world_with: Callable[..., World]) -> None:
    """What was on the wire when the server died is in doubt, the rest waits and goes out once it is back: in seconds,
    for requests that failed together are one failure."""
    world = world_with(hang=600.0)
    world.sandbox.set_faults(script="ok*6,timeout-after*4,ok*")
    world.source.add(range(300))
    world.write(workspace='batch_size = 10\nin_flight = 4\ntimeout = "300s"', level="info")
    with world.daemon() as daemon:
        world.wait_for_leads(70)  # six batches were answered: a seventh has arrived, and waits for its answer
        world.sandbox.kill()
        daemon.wait_for("workspace_rests")
        back = start(world.sandbox.options)
        with back:
            until(lambda: not waiting(world), "all sent after the server's return")
            assert daemon.stop() == 0
    assert_truth(world)
    assert 0 < len(world.doubtful()) <= 40
