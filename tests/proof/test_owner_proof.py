"""The real daemon under load, whose lock is taken away while batches are on the wire: nothing is created twice."""

from __future__ import annotations

from collections.abc import Callable

from tests.proof.harness import World


def test_a_daemon_without_its_lock_is_overtaken_before_it_sends_more_and_what_it_had_sent_counts(
    world_with: Callable[..., World],
) -> None:
    """Each answer takes a moment, so that batches are on the wire when another process begins."""
    world = world_with(latency=(0.0, 0.0), stall=(0.3, 0.3))
    world.source.add(range(24))
    world.write(workspace="batch_size = 2\nin_flight = 4", every="10m")
    with world.daemon() as daemon:
        world.wait_for_leads(4)
        world.ledger.with_name("ledger.db.lock").unlink()
        ended = world.once()
        assert ended.code in {0, 75}
        assert daemon.wait() == 74
        (failed,) = daemon.events("ledger_failed")
        assert "stops before it sends" in failed["error"]
        assert failed["hint"]
    assert world.states() == {"delivered": 24}
    assert world.names() == world.source.names()
