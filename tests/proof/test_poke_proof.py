"""A daemon with an hour between two polls reads at once what it is told of: by `poke`, or by PostgreSQL's NOTIFY."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest

from tests import databases
from tests.docs.pages import PAGES, blocks
from tests.proof.harness import World, after_old, command, until

HOUR = "1h"


def test_a_daemon_polls_when_it_is_poked(world: World) -> None:
    world.source.add([1])
    world.write(every=HOUR)
    with world.daemon() as daemon:
        daemon.wait_for("batch", verdict="created")
        world.source.add([2], at=after_old(60))
        answer = command("poke", "-c", world.config, "--json")
        assert (answer.code, answer.summary) == (0, {"erp.companies": 0.0})
        until(lambda: world.names() == world.source.names(), "the record of after the first poll")


def test_what_is_too_young_when_the_daemon_is_poked_is_read_once_it_is_not(world: World) -> None:
    world.source.add([1])
    world.write(every=HOUR)
    world.config.write_text(world.config.read_text().replace('settle = "0s"', 'settle = "2s"'))
    with world.daemon() as daemon:
        daemon.wait_for("batch", verdict="created")
        world.source.add([2], at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"))
        assert command("poke", "-c", world.config).code == 0
        until(lambda: world.names() == world.source.names(), "the record that was too young")


def test_a_stream_that_is_not_in_force_is_named(world: World) -> None:
    world.source.add([1])
    world.write(every=HOUR)
    with world.daemon() as daemon:
        daemon.wait_for("batch", verdict="created")
        world.config.write_text(world.config.read_text().replace("erp.streams.companies", "erp.streams.firms"))
        answer = command("poke", "-c", world.config)
    assert answer.code == 65
    assert answer.stdout == "erp.firms: the running daemon has no such stream; does it need a reload?\n"


def test_without_a_daemon_it_says_what_to_do(world: World) -> None:
    world.source.add([1])
    world.write(every=HOUR)
    absent = command("poke", "-c", world.config)
    with world.daemon() as daemon:
        daemon.wait_for("batch", verdict="created")
        daemon.kill()
    killed = command("poke", "-c", world.config)
    for answer in (absent, killed):
        assert answer.code == 75
        assert "no daemon is running" in answer.stderr
        assert "`once`" in answer.stderr
    with world.daemon() as daemon:  # the file that the killed one left is in nobody's way
        until(lambda: command("poke", "-c", world.config).code == 0, "a poke of the next daemon")
        assert daemon.stop() == 0
    assert not list(world.config.parent.glob("*.socket")), "a daemon that ends takes its socket along"


@pytest.mark.postgresql
def test_what_is_announced_is_read_before_the_next_turn(world: World) -> None:
    with (
        databases.postgresql() as name,
        psycopg.connect(f"{databases.POSTGRESQL} dbname={name}", autocommit=True) as writer,
    ):
        writer.execute(
            "create table companies (id bigint primary key, name text, email text, employees int,"
            " updated_at timestamptz not null default clock_timestamp())"
        )
        writer.execute("insert into companies (id, name) values (1, 'One')")
        (trigger,) = blocks("sql")
        writer.execute(trigger.text.encode())
        channel = 'listen = "companies_changed"'
        assert channel in PAGES[trigger.page]
        world.write(source=f"postgresql://postgres@127.0.0.1/{name}", every=HOUR, stream=channel)
        assert "polled as soon as something is announced" in command("check", "-c", world.config).stdout
        with world.daemon() as daemon:
            daemon.wait_for("batch", verdict="created")
            # the beginning of listening asks for a turn too, so the first announcement is not all there is to see
            for number in (2, 3):
                writer.execute("insert into companies (id, name) values (%s, %s)", (number, f"No. {number}"))
                world.wait_for_leads(number)
            cut_off = (
                "select pg_terminate_backend(pid) from pg_stat_activity where query like 'LISTEN%%' and datname = %s"
            )
            assert writer.execute(cut_off, (name,)).fetchall() == [(True,)]
            assert daemon.wait_for("listen_failed")["source"] == "erp"
            writer.execute("insert into companies (id, name) values (4, 'Unheard')")
            # it listens again, and reads what was announced to nobody
            world.wait_for_leads(4)
            assert daemon.stop() == 0
        assert world.created() == 4


def test_a_database_without_channels_is_named_and_polled(world: World) -> None:
    world.source.add([1])
    world.write(every=HOUR, stream='listen = "changes"')
    checked = command("check", "-c", world.config)
    assert checked.code == 77
    assert "sqlite has none" in checked.stdout
    with world.daemon() as daemon:
        assert "remove listen" in daemon.wait_for("listen_failed")["hint"]
        world.wait_for_leads(1)
