"""The guard from outside: a mistake at the source costs no request, what was asked for is sent."""

from __future__ import annotations

from typing import Any

from tests.proof.harness import Ended, World, after_old, command, until

LATER = after_old(30)


def held_back(world: World, done: Ended, leads: int, rule: str) -> None:
    """Nothing of them was requested, each waits with its reason, the figures agree, and a person is asked for."""
    assert done.code == 65, done.stderr[-3000:]
    assert done.summary["balanced"] is True
    assert (done.summary["sent"], done.summary["set_aside"], done.summary["pending"]) == (0, leads, 0)
    assert done.summary["needs_person"]["held"]["records"] == leads
    reasons = [reason["rule"] for reason in done.summary["needs_person"]["held"]["reasons"]]
    assert rule in reasons, reasons
    assert world.states()["held"] == leads
    (event,) = (each for each in done.events if each["event"] == "held")
    assert (event["level"], event["leads"]) == ("warning", leads)


def events(done: Ended, name: str) -> list[dict[str, Any]]:
    return [each for each in done.events if each["event"] == name]


def test_the_first_scan_is_announced_and_sent_and_as_many_later_are_held(world: World) -> None:
    """With a look at the first five in between: the rest belongs to what was asked for, however much it is."""
    world.source.add(range(600))
    world.write(level="info", limit='{ requests = 100, per = "30s" }', more="[guard]\nmax_new = 500")
    first = world.once("--max", "5")
    assert (first.code, first.summary["sent"], first.summary["pending"]) == (0, 5, 595), first.stderr[-3000:]
    (begins,), (ends,) = events(first, "first_scan"), events(first, "first_scan_over")
    assert (begins["records"], begins["seconds"]) == (600, 2)
    assert ends["leads"] == 600
    assert world.once().code == 0
    assert world.names() == world.source.names()
    requests = world.requests()

    world.source.add(range(600, 1200), at=LATER)
    held_back(world, world.once(), 600, "600 new leads in one poll; max_new is 500")
    assert world.requests() == requests
    shown = command("status", "-c", world.config).stdout
    assert "600 records held" in shown
    assert "600 of them: 600 new leads in one poll; max_new is 500; approve them" in shown


def test_a_table_that_was_given_new_ids(world: World) -> None:
    world.source.add(range(60))
    world.write(level="info")
    assert world.once().code == 0
    requests = world.requests()
    world.source.execute("update companies set id = id + 1000, updated_at = ?", LATER)
    rule = "60 of 60 new records have an e-mail address of a lead that exists under another id"
    held_back(world, world.once(), 60, rule)
    assert world.requests() == requests


def test_a_column_that_is_suddenly_empty(world: World) -> None:
    world.source.add(range(60))
    world.write(level="info")
    assert world.once().code == 0
    requests = world.requests()
    world.source.add(range(100, 130), at=LATER)
    world.source.execute("update companies set email = null where id >= 100")
    done = world.once()
    held_back(world, done, 30, "is empty in all 30 new leads; 100 % of the 60 before had it")
    assert done.summary["needs_person"]["held"]["reasons"][0]["field"] == "emails"
    assert world.requests() == requests


def test_a_kill_in_the_middle_of_an_unusual_poll(world: World) -> None:
    """Neither process reads more than `max_new` by itself."""
    world.source.add(range(20))
    world.write(level="info", connection="page_size = 10", stream="guard = { max_new = 1500 }")
    assert world.once().code == 0
    requests = world.requests()
    world.source.add(range(1000, 3000), at=LATER)
    with world.daemon() as daemon:
        until(lambda: world.query("select 1 from records limit 1 offset 600"), "some pages")
        daemon.kill()
    read = world.query("select count(*) from records")[0][0] - 20
    assert 500 < read < 1500
    assert world.states() == {"delivered": 20, "pending": read}
    held_back(world, world.once(), 2000, "2,000 new leads in one poll; max_new is 1,500")
    assert world.requests() == requests
    assert world.query("select count(*) from polls where released = 0") == [(0,)]
