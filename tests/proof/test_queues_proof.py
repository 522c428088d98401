"""Queues are settled beside the daemon: what a person wants sent arrives, once, and nothing else does."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing

from click.testing import CliRunner

from sync.cli import main
from tests.proof.harness import World, after_old, until

LATER = after_old(30)


def say(world: World, *words: str) -> None:
    """A person's word, in another process than the daemon's: this one."""
    done = CliRunner().invoke(main, [*words, "--yes", "-c", str(world.config)])
    assert done.exit_code == 0, (words, done.output)


def in_state(world: World, state: str) -> set[str]:
    return {row[0] for row in world.query("select id from records where state = ?", state)}


def drifted(world: World) -> set[str]:
    return {row[0] for row in world.query("select id from records where drift = 1 and state = 'delivered'")}


def test_quarantine_drift_and_doubt_are_settled_beside_the_daemon(world_with: Callable[..., World]) -> None:
    world = world_with(faults={"refuse:Company 12": 1.0})
    world.source.add(range(1, 13))
    world.source.execute("update companies set name = ? where id = 11", "x" * 300)
    world.write(stream='resend_label = "updated"', workspace="batch_size = 20", level="info")
    stream = ("--stream", "erp.companies")
    with world.daemon() as daemon:
        until(lambda: in_state(world, "quarantined") == {"11", "12"}, "what the server and the mapping refuse")
        world.wait_for_leads(10)

        # the server takes it now; the other is mended at the source, where its date does not move
        world.sandbox.set_faults({})
        world.source.execute("update companies set name = 'Company 11' where id = 11")
        say(world, "quarantine", "retry", *stream, "--reason", "refused by the server")
        say(world, "quarantine", "retry", *stream, "--id", "11")
        world.wait_for_leads(12)
        assert world.names() == world.source.names()

        for n in (1, 2, 3):
            world.source.execute("update companies set name = ?, updated_at = ? where id = ?", f"Other {n}", LATER, n)
        until(lambda: drifted(world) == {"1", "2", "3"}, "drift")
        say(world, "drift", "resend", *stream, "--id", "1")
        say(world, "drift", "ack", *stream, "--id", "2")
        world.wait_for_leads(13)
        until(lambda: drifted(world) == {"3"}, "the drift that nobody has settled")

        # the answer to the next batch is lost, and so is all of it but what a person finds
        world.sandbox.set_faults(script=["reset-after"])
        world.source.add([21, 22, 23])
        until(lambda: in_state(world, "in_doubt") == {"21", "22", "23"}, "a batch in doubt")
        ((batch,),) = world.query("select name from batches where state = 'in_doubt'")
        say(world, "doubt", "resolve", batch, "--landed", "--record", "erp.companies:22")
        assert in_state(world, "in_doubt") == {"21", "23"}
        say(world, "doubt", "resolve", batch, "--landed")
        world.source.add([24])
        world.wait_for_leads(17)
        assert daemon.stop() == 0
    assert set(world.states()) == {"delivered"}
    was = world.source.names() - Counter(f"Other {n}" for n in (1, 2, 3)) + Counter(f"Company {n}" for n in (1, 2, 3))
    assert world.names() == was + Counter({"Other 1": 1})
    assert [row["lead"]["labels"] for row in world.sandbox.leads('"Other 1"')] == [["updated"]]
    assert "Company" not in daemon.log.read_text()


def test_what_is_held_is_sent_by_a_persons_word_alone(world: World) -> None:
    world.source.add(range(1, 7))
    world.write(workspace='timeout = "5s"')
    text = world.config.read_text()
    world.write_text(text.replace('"sandbox-key"', '"another-key"'))
    world.once()
    reason = json.dumps([{"field": "", "rule": "6 new leads in one poll; max_new is 5"}])
    with closing(sqlite3.connect(world.ledger, isolation_level=None)) as ledger:
        ledger.execute("update records set state = 'held', reason = ?", (reason,))
    world.write_text(text)
    with world.daemon() as daemon:
        daemon.wait_for("poll")
        world.source.execute("update companies set updated_at = ? where id = 4", LATER)  # touched
        world.source.add([7], at=LATER)
        world.wait_for_leads(1)
        assert world.names() == Counter({"Company 7": 1})
        say(world, "held", "discard", "--stream", "erp.companies", "--id", "5", "--id", "6")
        say(world, "held", "approve", "--reason", "max_new")
        world.wait_for_leads(5)
        world.source.execute("update companies set updated_at = ? where id = 5", LATER)
        world.source.execute("update companies set employees = 99, updated_at = ? where id = 6", LATER)
        world.wait_for_leads(6)
        assert daemon.stop() == 0
    assert world.names() == world.source.names() - Counter({"Company 5": 1})
    assert world.states() == {"delivered": 6, "forgotten": 1}
