"""Measures the cost of an idle daemon: `python -m tests.long.idle [--minutes 5] [--every 5m] [--served]`.

Three SQLite sources of a thousand delivered records each; prints CPU seconds, memory, bytes and system calls written.
With --served under a service manager that wants a watchdog fed, and a Prometheus that asks twice a minute.
"""

from __future__ import annotations

import argparse
import os
import socket
import sqlite3
import tempfile
import threading
import time
import urllib.request
from contextlib import closing
from pathlib import Path

from tests.free_port import free_port
from tests.proof.harness import TABLE, World, config_text, sandbox_with, until

STREAMS = ("companies", "others", "thirds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--every", default="5m", help="how often each stream is polled")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--served", action="store_true", help="with a watchdog, and figures for Prometheus")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="idle-") as folder, sandbox_with() as sandbox:
        world = World(Path(folder), sandbox)
        fill(world, chosen.rows)
        text, env = three_sources(world, chosen.every), {}
        if chosen.served:
            port = free_port()
            text += f'[metrics]\nlisten = "127.0.0.1:{port}"\n'
            env = {"NOTIFY_SOCKET": manager(Path(folder)), "WATCHDOG_USEC": "90000000"}
            threading.Thread(target=scrape, args=(port,), daemon=True).start()
        world.write_text(text)
        with world.daemon(env) as daemon:
            until(lambda: world.states() == {"delivered": 3 * chosen.rows}, "the first leads", 120)
            time.sleep(2)  # the last verdicts and sweeps are no idleness
            measure(world, daemon.process.pid, chosen.minutes)
            assert daemon.stop() == 0


def fill(world: World, rows: int) -> None:
    world.source.add(range(rows))
    with closing(sqlite3.connect(world.source.path)) as database, database:
        for name in STREAMS[1:]:
            database.execute(TABLE.replace("companies", name))
            database.execute(f"create index {name}_by_time on {name} (updated_at, id)")
            database.execute(f"insert into {name} select * from companies")


def three_sources(world: World, every: str) -> str:
    text = config_text(world.source.url, world.sandbox.url, every=every, level="info")
    source = text[text.index("[sources.erp]") :]
    return text + "".join(
        source.replace("sources.erp", f"sources.{name}").replace("companies", name) for name in STREAMS[1:]
    )


def manager(folder: Path) -> str:
    """Bind a notification socket, drain it in a thread, and return its path."""
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.bind(str(folder / "notify.sock"))

    def read() -> None:
        while heard.recv(65536):
            pass

    threading.Thread(target=read, daemon=True).start()
    return str(folder / "notify.sock")


def scrape(port: int) -> None:
    while True:
        time.sleep(30)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            answer.read()


def measure(world: World, pid: int, minutes: float) -> None:
    before, ledger, log = usage(pid), ledger_bytes(world), log_bytes(world)
    requests = world.requests()
    time.sleep(minutes * 60)
    after = usage(pid)
    more = {name: after[name] - before[name] for name in before}
    print(f"measured          {minutes:g} minutes, {world.requests() - requests} requests")
    print(f"CPU               {more['cpu']:.2f} s, {more['cpu'] / minutes * 60:.2f} s an hour")
    print(f"memory            {after['VmRSS'] / 2**20:.1f} MiB now, {after['VmHWM'] / 2**20:.1f} MiB at the most")
    print(f"threads           {after['Threads']:.0f}")
    print(f"written           {more['wchar']:.0f} bytes in {more['syscw']:.0f} calls")
    print(f"to the disk       {more['write_bytes']:.0f} bytes")
    print(f"ledger            {ledger_bytes(world) - ledger:+d} bytes, log {log_bytes(world) - log:+d} bytes")
    print(f"woken             {more['switches']:.0f} times")


def usage(pid: int) -> dict[str, float]:
    """Read the usage of a process from /proc: CPU seconds, bytes, counts."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    found = {"cpu": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")}
    for line in Path(f"/proc/{pid}/io").read_text().splitlines():
        name, value = line.split(": ")
        found[name] = int(value)
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in {"VmRSS", "VmHWM"}:
            found[name] = int(value.split()[0]) * 1024
        elif name == "Threads":
            found[name] = int(value)
    tasks = Path(f"/proc/{pid}/task").glob("*/status")
    found["switches"] = sum(
        int(line.split()[1]) for task in tasks for line in task.read_text().splitlines() if line.startswith("voluntary")
    )
    return found


def ledger_bytes(world: World) -> int:
    return sum(path.stat().st_size for path in world.folder.glob("ledger.db*"))


def log_bytes(world: World) -> int:
    return world.config.with_name("daemon.log").stat().st_size


if __name__ == "__main__":
    main()
