"""A source with many streams needs few connections of its database, and none while nothing is read."""

from __future__ import annotations

import psycopg
import pytest

from sync.service.turn_threads import AT_ONCE, OF_A_SOURCE
from sync.trial.configuration import BY_ID_AND_TIME, source_table, stream_tables, workspace_tables
from tests import databases
from tests.proof.harness import World, until

STREAMS = 6 * OF_A_SOURCE
BORNE = 3 * OF_A_SOURCE
"""Connections that the server allows: fewer than polls of all sources together, more than those of one source, since it
counts one that was closed until its process is gone."""
LEAD = {"kind": "company", "name": "name"}


@pytest.mark.postgresql
def test_many_streams_share_few_connections_and_give_them_back(world: World) -> None:
    assert BORNE < AT_ONCE
    with (
        databases.postgresql() as name,
        psycopg.connect(f"{databases.POSTGRESQL} dbname={name}", autocommit=True) as admin,
    ):
        role = f"reader_{name}"
        admin.execute(f"create role {role} login connection limit {BORNE}".encode())
        try:
            names = [f"t{n}" for n in range(STREAMS)]
            for n, each in enumerate(names):
                admin.execute(f"create table {each} (id int primary key, name text, updated_at timestamptz)".encode())
                admin.execute(f"insert into {each} values ({n}, 'Lead {n}', now() - interval '1 hour')".encode())
                admin.execute(f"grant select on {each} to {role}".encode())
            world.write_text(
                workspace_tables(world.sandbox.url, {"linger": "100ms"})
                + source_table(
                    "erp", "sql", {"url": f"postgresql://{role}@127.0.0.1/{name}", "every": "1h", "settle": "0s"}
                )
                + "".join(stream_tables(f"erp.{each}", {"table": each, **BY_ID_AND_TIME}, LEAD) for each in names)
            )
            with world.daemon() as daemon:
                world.wait_for_leads(STREAMS)
                until(lambda: len(daemon.events("poll")) == STREAMS, "the end of all polls")
                # one more would have been refused
                assert daemon.events("poll_failed") == []

                def connections() -> object:
                    found = admin.execute("select count(*) from pg_stat_activity where usename = %s", (role,))
                    return found.fetchone()

                until(lambda: connections() == (0,), "all connections are given back")
                assert daemon.stop() == 0
        finally:
            admin.execute(f"drop owned by {role}".encode())
            admin.execute(f"drop role {role}".encode())
