"""The server's failures: nothing is lost, nothing doubled, and what cannot be known is in doubt."""

from __future__ import annotations

import re
import signal
from collections import Counter
from collections.abc import Callable

from tests.proof.harness import World, config_text, until

OTHER = 'api_key = "other-key"'


def test_a_storm_of_429_and_503_delays_and_loses_nothing(world_with: Callable[..., World]) -> None:
    world = world_with(script="429*2,ok*5,503:1,ok*5,429,ok*")
    world.source.add(range(200))
    world.write(workspace="batch_size = 10")
    done = world.once()
    assert done.code == 0, done.stderr[-2000:]
    assert world.names() == world.source.names()


def test_an_unclear_answer_is_in_doubt_and_not_sent_again(world: World) -> None:
    """Whether the leads were created or not: nobody knows, so nobody sends them again."""
    faults = ("500", "500-after", "malformed", "not-succeeded-after", "half", "reset-after")
    world.write()
    for number, fault in enumerate(faults):
        world.source.add([number])
        world.sandbox.set_faults({}, script=fault)
        done = world.once()
        assert done.code == 65
        (account,) = [event["account"] for event in done.events if event["event"] == "batch_in_doubt"]
        assert re.match(r"connected; (\d+) of \1 bytes written; .* after [\d.]+ m?s$", account)
        assert world.query("select account from batches order by claimed_at desc limit 1") == [(account,)]
        assert world.doubtful() == {str(n) for n in range(number + 1)}
    assert world.requests() == len(faults)
    assert world.names() == Counter(f"Company {n}" for n in range(1, len(faults)))
    world.source.add([100])
    assert world.once().code == 65
    assert world.states() == {"in_doubt": len(faults), "delivered": 1}
    assert world.requests() == len(faults) + 1


def test_on_unknown_resend_sends_again(world_with: Callable[..., World]) -> None:
    """Duplicates rather than waiting for a person: what was asked for."""
    world = world_with(script="500-after,ok*")
    world.source.add(range(2))
    world.write(workspace='on_unknown = "resend"')
    assert world.once().code == 0
    assert world.states() == {"delivered": 2}
    assert set(world.names().values()) == {2}


def test_one_bad_lead_is_found_and_the_others_go_through(world_with: Callable[..., World]) -> None:
    """Halving finds it in at most 10 requests, and the server's own words stand beside it."""
    world = world_with(faults={'refuse:Company 1037"': 1.0})
    world.source.add(range(1000, 1100))
    world.write()
    assert world.once().code == 65
    assert world.source.names() - world.names() == Counter({"Company 1037": 1})
    assert max(world.names().values()) == 1
    (reason,) = world.reasons()["1037"]
    assert reason["message"]
    assert world.requests() <= 10


def test_on_rejected_hold_leaves_the_batch_in_doubt(world_with: Callable[..., World]) -> None:
    world = world_with(faults={'refuse:Company 3"': 1.0})
    world.source.add(range(10))
    world.write(workspace='on_rejected = "hold"')
    assert world.once().code == 65
    assert (world.states(), world.requests()) == ({"in_doubt": 10}, 1)


def test_a_wrong_key_rests_and_goes_on_after_a_reload(world: World) -> None:
    world.source.add(range(10))
    world.write()
    good = world.config.read_text()
    world.write_text(good.replace("sandbox-key", "wrong-key"))
    with world.daemon() as daemon:
        rests = daemon.wait_for("workspace_rests", why="credentials")
        assert rests["hint"]
        assert world.states() == {"pending": 10}
        world.write_text(good)
        daemon.signal(signal.SIGHUP)
        world.wait_for_leads(10)
        assert daemon.stop() == 0
    assert world.names() == world.source.names()
    assert [row["status"] for row in world.sandbox.requests()] == [401, 200]


def test_one_workspace_does_not_hinder_the_other(world_with: Callable[..., World]) -> None:
    """`main` has a key that the server does not know."""
    world = world_with(keys=("other-key",))
    world.source.add(range(50))
    world.write_text(two_workspaces(world))
    done = world.once()
    assert done.code == 77
    assert world.states() == {"delivered": 50, "pending": 50}
    assert world.names() == world.source.names()


def test_two_workspaces_with_one_key_are_refused(world: World) -> None:
    world.write_text(two_workspaces(world).replace(OTHER, 'api_key = "sandbox-key"'))
    refused = world.once()
    assert refused.code == 78
    assert "workspaces.other.api_key" in refused.stderr
    assert "sandbox-key" not in refused.stderr + refused.stdout


def test_a_second_process_on_one_ledger_is_turned_away(world: World) -> None:
    world.source.add(range(3))
    world.write()
    with world.daemon() as daemon:
        until(lambda: world.states() == {"delivered": 3}, "the leads")
        assert world.once().code == 75
        second = world.daemon()
        assert second.wait(10) == 75
        assert daemon.stop() == 0


def two_workspaces(world: World) -> str:
    text = config_text(world.source.url, world.sandbox.url, stream='workspace = "main"')
    other = text[text.index("[sources.erp.streams.companies]") :].replace("streams.companies", "streams.again")
    workspace = text[text.index("[workspaces.main]") : text.index("[ledger]")].replace("main", "other")
    return text + other.replace('"main"', '"other"') + workspace.replace('api_key = "sandbox-key"', OTHER)
