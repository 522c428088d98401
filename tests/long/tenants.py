"""Measures many tenants in one daemon: `python -m tests.long.tenants [--workspaces 200] [--minutes 5]`.

Each workspace has a key, a source and two streams of its own. Prints how long a start, a first sync of everybody and a
reload take, then what the idle daemon costs an hour: CPU, memory, threads, bytes of log and disk.
"""

from __future__ import annotations

import argparse
import signal
import sqlite3
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

from sync.trial.configuration import BY_ID_AND_TIME, database_table, stream_tables, toml_table
from tests.long.idle import ledger_bytes, log_bytes, usage
from tests.proof.harness import TABLE, Daemon, World, after_old, sandbox_with, until

STREAMS = ("companies", "others")
LEAD = {"kind": "company", "name": "name", "employee_count": "employees", "emails": "[email]"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workspaces", type=int, default=200)
    parser.add_argument("--rows", type=int, default=50, help="of each stream")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--every", default="30s", help="how often each stream is polled")
    parser.add_argument("--latency", type=float, default=0.1, help="seconds that the API takes to answer")
    chosen = parser.parse_args()
    names = [f"t{n:03}" for n in range(chosen.workspaces)]
    keys = tuple(f"key-{name}" for name in names)
    with tempfile.TemporaryDirectory(prefix="tenants-") as folder, sandbox_with(keys=keys, limit=100) as sandbox:
        world = World(Path(folder), sandbox)
        for name in names:
            fill(world.folder / f"{name}.db", name, chosen.rows)
        world.write_text("".join(tenants(world, names, chosen.every)))
        started = time.monotonic()
        with world.daemon() as daemon:
            peak = Peak(daemon)
            daemon.wait_for("started")
            say("started after", f"{time.monotonic() - started:.1f} s")
            wanted = len(names) * len(STREAMS) * chosen.rows
            until(lambda: world.states() == {"delivered": wanted}, f"{wanted} leads", 900)
            say(
                "first sync",
                f"{wanted} leads in {time.monotonic() - started:.1f} s, CPU {usage(daemon.process.pid)['cpu']:.1f} s",
            )
            assert world.created() == wanted
            say("threads", f"{peak.threads} at the most")
            time.sleep(chosen.minutes * 6)  # the first sweeps are no idleness
            idle(world, daemon, chosen.minutes)
            reload(world, daemon)
            assert world.created() == wanted
            until(lambda: daemon.stop() == 0, "the end")


def say(what: str, figures: str) -> None:
    print(f"{what:<18}{figures}", flush=True)


class Peak:
    """Watches the number of a daemon's threads."""

    def __init__(self, daemon: Daemon) -> None:
        self.threads = 0
        self._tasks = Path(f"/proc/{daemon.process.pid}/task")
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while self._tasks.exists():
            self.threads = max(self.threads, sum(1 for _ in self._tasks.iterdir()))
            time.sleep(0.02)


def fill(path: Path, tenant: str, rows: int) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        for name in STREAMS:
            database.execute(TABLE.replace("companies", name))
            database.execute(f"create index {name}_by_time on {name} (updated_at, id)")
            values = [(n, f"{tenant} {name} {n}", f"info{n}@example.com", n, after_old(-3600 * n)) for n in range(rows)]
            database.executemany(f"insert into {name} values (?, ?, ?, ?, ?)", values)


def tenants(world: World, names: list[str], every: str) -> list[str]:
    parts = [toml_table("ledger", {"path": "ledger.db"}), toml_table("log", {"format": "json", "level": "info"})]
    for name in names:
        workspace = {"api_key": f"key-{name}", "base_url": world.sandbox.url, "linger": "100ms"}
        parts.append(toml_table(f"workspaces.{name}", workspace))
        parts.append(database_table(name, world.folder / f"{name}.db", {"every": every, "settle": "0s"}))
        for stream in STREAMS:
            parts.append(
                stream_tables(f"{name}.{stream}", {"workspace": name, "table": stream, **BY_ID_AND_TIME}, LEAD)
            )
    return parts


def idle(world: World, daemon: Daemon, minutes: float) -> None:
    pid = daemon.process.pid
    before, ledger, log = usage(pid), ledger_bytes(world), log_bytes(world)
    lines = len(daemon.events())
    time.sleep(minutes * 60)
    after = usage(pid)
    more = {name: (after[name] - before[name]) / minutes * 60 for name in before}
    say("idle an hour", f"{more['cpu']:.1f} s of CPU, woken {more['switches']:.0f} times")
    said = (len(daemon.events()) - lines) / minutes * 60
    say("log an hour", f"{said:.0f} lines, {(log_bytes(world) - log) / minutes * 60 / 2**20:.2f} MiB")
    say("disk an hour", f"{more['write_bytes'] / 2**20:.1f} MiB, ledger {ledger_bytes(world) - ledger:+d} bytes")
    say("memory", f"{after['VmRSS'] / 2**20:.1f} MiB now, {after['VmHWM'] / 2**20:.1f} MiB at the most")
    say("threads", f"{after['Threads']:.0f} now")


def reload(world: World, daemon: Daemon) -> None:
    before = len(daemon.events("config_reloaded"))
    begun = time.monotonic()
    daemon.signal(signal.SIGHUP)
    until(lambda: len(daemon.events("config_reloaded")) > before, "a reload", 120)
    say("reload", f"{time.monotonic() - begun:.1f} s, {usage(daemon.process.pid)['VmRSS'] / 2**20:.1f} MiB then")


if __name__ == "__main__":
    main()
