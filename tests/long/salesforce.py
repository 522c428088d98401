"""Measures the cost of reading Salesforce: `python -m tests.long.salesforce [--accounts 50000] [--contacts 200000]`.

The connector alone, against the stand-in in a process of its own: a first scan, a quiet poll, a poll after all accounts
changed, one after all contacts changed (with the parents that it re-reads), a sweep. Prints requests, seconds, memory.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar


def serve(pipe: Connection, folder: str, accounts: int, contacts: int) -> None:
    """Run the stand-in: change its records as the pipe tells, and answer with the requests so far."""
    from tests.salesforce.sf_authority import make_authority
    from tests.salesforce.sf_server import running

    with running(make_authority(Path(folder))) as (stand_in, _):
        org = stand_in.org = indexed()
        ids = [org.put("Account", number, Name=f"Firm {number}", BillingCity="Ulm") for number in range(accounts)]
        for number in range(contacts):
            org.put("Contact", number, AccountId=ids[number % accounts], Email=f"c{number}@corp.example")
        pipe.send(stand_in.host)
        while (word := pipe.recv()) != "stop":
            stand_in.forget()
            org.advance(timedelta(hours=1))
            for row in org.tables[word].values() if word in org.tables else ():
                org._stamp(row, None)
            org.advance(timedelta(minutes=1))
            pipe.send("ready")
            pipe.recv()
            pipe.send(dict(stand_in.calls()))


def indexed() -> Any:
    """Return an organisation that finds records by id, and contacts by account, through an index."""
    from tests.salesforce.sf_org import Org
    from tests.salesforce.sf_soql import Query

    class Indexed(Org):
        def run(self, query: Query, *, deleted: bool = False) -> list[dict[str, Any]]:
            chosen = next((each for each in query.conditions if each.operator == "IN"), None)
            if chosen is None:
                return super().run(query, deleted=deleted)
            whole = self.tables[query.object]
            if chosen.field == "Id":
                self.tables[query.object] = {id_: whole[id_] for id_ in chosen.value if id_ in whole}
            else:
                self.tables[query.object] = {row["Id"]: row for id_ in chosen.value for row in self.children(id_)}
            try:
                return super().run(query, deleted=deleted)
            finally:
                self.tables[query.object] = whole

        def children(self, id_: str) -> list[dict[str, Any]]:
            if not self.by_account:
                for row in self.tables["Contact"].values():
                    self.by_account.setdefault(row["AccountId"], []).append(row)
            return self.by_account.get(id_, [])

        by_account: ClassVar[dict[str, list[dict[str, Any]]]] = {}

    return Indexed()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accounts", type=int, default=50_000)
    parser.add_argument("--contacts", type=int, default=200_000)
    chosen = parser.parse_args()
    here, there = multiprocessing.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        process = multiprocessing.get_context("fork").Process(
            target=serve, args=(there, folder, chosen.accounts, chosen.contacts)
        )
        process.start()
        try:
            measure(here, here.recv(), f"{folder}/ca.pem")
        finally:
            here.send("stop")
            process.join()


def measure(pipe: Connection, host: str, ca_file: str) -> None:
    from connectors.salesforce.connector import CONNECTOR
    from connectors.salesforce.options import SalesforceSource
    from tests.salesforce.sf_world import stream

    auth = {"flow": "session", "session_id": "open-session", "instance": host, "ca_file": ca_file}
    lanes: dict[str, Any] = {}
    spec = stream()

    def work(change: str) -> int:
        # as after a restart: the stand-in's clock leaps, which no clock of this machine does
        connector = CONNECTOR.open("sf", SalesforceSource.model_validate({"auth": auth, "timeout": "10m"}))
        if change == "sweep":
            return sum(
                len(connector.fetch(spec, [id_ for id_, _ in each.rows])) for each in connector.sweep(spec, None)
            )
        read = 0
        for page in connector.read(spec, lanes):
            lanes[page.lane] = page.cursor
            parents = dict.fromkeys(touch.parent for touch in page.touched if touch.parent)
            read += len(page.records) + (len(connector.fetch(spec, list(parents))) if parents else 0)
        return read

    for what, change in (
        ("a first scan", "none"),
        ("the next poll", "none"),
        ("a quiet poll", "none"),
        ("all accounts changed", "Account"),
        ("all contacts changed", "Contact"),
        ("a sweep that reads all anew", "sweep"),
    ):
        pipe.send(change)
        pipe.recv()
        begun = time.monotonic()
        read = work(change)
        seconds = time.monotonic() - begun
        pipe.send("count")
        calls = {name: count for name, count in sorted(pipe.recv().items()) if "describe" not in name}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        shown = " + ".join(f"{count:,} {name}" for name, count in calls.items())
        print(f"{what:<28} {read:>8,} read  {sum(calls.values()):>6,} requests ({shown})  {seconds:.1f} s  {peak} MiB")


if __name__ == "__main__":
    main()
