"""Signals: an orderly end keeps every verdict, a reload takes effect or is refused whole, a backfill goes on later."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable

from tests.proof.harness import TABLE, World, config_text, until


def test_sigterm_with_nothing_in_flight_waits_for_nothing(world: World) -> None:
    """Its next poll is far away, and a request might take longer than the wait for its end."""
    world.source.add(range(10))
    world.write(every="10m", workspace='timeout = "5m"')
    with world.daemon() as daemon:
        world.wait_for_leads(10)
        until(lambda: world.states() == {"delivered": 10}, "the verdict")
        assert daemon.stop() == 0
        assert [event["in_flight"] for event in daemon.events("stopping")] == [0]
        assert [event["in_doubt"] for event in daemon.events("stopped")] == [0]


def test_sigterm_lets_a_slow_request_finish(world_with: Callable[..., World]) -> None:
    world = world_with(latency=(0.0, 0.0), stall=(1.0, 1.0))
    world.source.add(range(10))
    world.write()
    with world.daemon() as daemon:
        until(lambda: world.query("select 1 from batches where state = 'sending'"), "a request on the wire")
        assert daemon.stop() == 0
    assert world.states() == {"delivered": 10}
    assert world.names() == world.source.names()


def test_a_second_sigterm_leaves_doubt(world_with: Callable[..., World]) -> None:
    world = world_with(faults={"timeout-after": 1.0}, hang=60.0)
    world.source.add(range(10))
    world.write()
    with world.daemon() as daemon:
        world.wait_for_leads(10)
        daemon.signal(signal.SIGTERM)
        daemon.wait_for("stopping")
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0
    world.sandbox.set_faults({})
    assert world.once().code == 65
    assert world.states() == {"in_doubt": 10}
    assert world.names() == world.source.names()


def test_a_daemon_that_was_stopped_and_continued_goes_on(world_with: Callable[..., World]) -> None:
    """Its wait for signals was interrupted when its time was over: that is no signal."""
    world = world_with(latency=(0.0, 0.0), stall=(1.0, 1.0))
    world.source.add(range(10))
    world.write()
    with world.daemon() as daemon:
        until(lambda: world.query("select 1 from batches where state = 'sending'"), "a request on the wire")
        daemon.signal(signal.SIGSTOP)
        time.sleep(1.3)  # longer than one wait for signals
        daemon.signal(signal.SIGCONT)
        until(lambda: world.states() == {"delivered": 10}, "the verdict")
        assert daemon.stop() == 0
    assert world.names() == world.source.names()


def test_sighup_takes_a_good_file_and_refuses_a_bad_one(world: World) -> None:
    world.source.add(range(10))
    world.source.execute(TABLE.replace("companies", "others"))
    world.source.execute("insert into others values (1, 'Other 1', null, 1, '2026-01-01 10:00:00')")
    good = config_text(world.source.url, world.sandbox.url)
    world.write_text(good)
    with world.daemon() as daemon:
        world.wait_for_leads(10)

        world.write_text(good.replace('start = "all"', 'start = "yesterday-ish"\ntypo = 1'))
        daemon.signal(signal.SIGHUP)
        refused = daemon.wait_for("config_refused")
        assert len(refused["problems"]) >= 2
        world.source.add([11])
        world.wait_for_leads(11)

        other = good[good.index("[sources.erp.streams.companies]") :].replace("companies", "others")
        world.write_text(good + other)
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("config_reloaded")
        world.wait_for_leads(12)
        world.source.add([13])
        world.wait_for_leads(13)
        assert daemon.stop() == 0
    assert world.names() == world.source.names() + Counter({"Other 1": 1})


def test_sigterm_during_a_backfill_resumes_without_loss(world: World) -> None:
    """The first process ends between two pages; the next one goes on from there."""
    world.source.add(range(6_000))
    world.write(connection="page_size = 100", level="info")
    with world.daemon() as daemon:
        until(lambda: world.query("select 1 from records limit 1 offset 200"), "some pages")
        assert daemon.stop() == 0
        assert 0 < world.query("select count(*) from records")[0][0] < 6_000
    assert world.once().code == 0
    assert world.names() == world.source.names()
