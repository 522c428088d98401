"""The CPU time of a first sync beside that of a fixed script, in one run: `python -m tests.bench.speed`.

The script does what everybody's first script does: it reads the same table, builds the same leads, keeps a hash of each
in SQLite, and sends batches of 100. Its figure stands for the machine, so that the ratio of the two says whether the
program became slower, wherever it is measured. Ends with 1 if the ratio is a third below the one written down here.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from sync.trial.configuration import BY_ID_AND_TIME, Values, database_table, stream_tables, workspace_tables
from sync.trial.sandbox.reports import lead_count
from sync.trial.sandbox.running import RunningSandbox
from tests.bench.mapping import company
from tests.proof.harness import sandbox_with

RATIO = 0.29
"""The script's CPU time by the program's. Write a lower one down only for something that is worth the time."""
LEAST = 2 / 3
BATCH = 100
LEAD = {
    "kind": "company",
    "name": "name",
    "industry": "industry",
    "employee_count": "employees",
    "emails": ["owner_email"],
    "addresses": ["city"],
}


def make_source(path: Path, rows: int) -> None:
    """Write a table of companies."""
    columns = list(company(0))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"CREATE TABLE companies ({', '.join(columns)}, PRIMARY KEY (id))")
        places = ", ".join("?" * len(columns))
        every = (tuple(company(n).values()) for n in range(rows))
        database.executemany(f"INSERT INTO companies VALUES ({places})", every)


def script(source: str, url: str, known: str) -> None:
    """Sync by hand: the fixed workload. Whoever changes it measures `RATIO` anew."""
    with closing(sqlite3.connect(source)) as database, closing(sqlite3.connect(known)) as ledger:
        ledger.execute("CREATE TABLE sent (id TEXT PRIMARY KEY, hash BLOB)")
        database.row_factory = sqlite3.Row
        found = database.execute("SELECT * FROM companies ORDER BY updated_at, id")
        while batch := found.fetchmany(BATCH):
            documents = [json.dumps(_lead(row)) for row in batch]
            hashes = [hashlib.blake2b(each.encode(), digest_size=16).digest() for each in documents]
            _post(url, f"[{','.join(documents)}]".encode())
            with ledger:
                ids = (str(row["id"]) for row in batch)
                ledger.executemany("INSERT INTO sent VALUES (?, ?)", zip(ids, hashes, strict=True))


def _lead(row: sqlite3.Row) -> dict[str, object]:
    return {
        "isContact": False,
        "name": row["name"].strip(),
        "industry": row["industry"].strip(),
        "employeeCount": row["employees"],
        "email": [{"Address": row["owner_email"].strip().lower()}],
        "address": [{"Address": row["city"].strip()}],
    }


def _post(url: str, body: bytes) -> None:
    with closing(http.client.HTTPConnection(url.removeprefix("http://"))) as connection:
        headers = {"X-API-Key": "sandbox-key", "Content-Type": "application/json"}
        connection.request("POST", "/api/v1/leads", body, headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise SystemExit(f"the sandbox answered {answer.status}: {answer.read()[:200]!r}")


def configuration(source: Path, url: str) -> str:
    """Return the file by which the program does the same work, as fast as it can."""
    limit: Values = {"limit": {"requests": 100_000, "per": "60s"}}
    return (
        workspace_tables(url, limit)
        + database_table("erp", source, {"settle": "0s"})
        + stream_tables("erp.companies", {"table": "companies", **BY_ID_AND_TIME}, LEAD)
    )


def seconds_of(words: Sequence[str | Path]) -> float:
    """Run a command of this interpreter to its end; return its CPU seconds, start included."""
    process = subprocess.Popen([sys.executable, *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(map(str, words))} ended with {os.waitstatus_to_exitcode(status)}")
    return used.ru_utime + used.ru_stime


def measure(folder: Path, sandbox: RunningSandbox, rows: int) -> tuple[float, float]:
    """Return the CPU seconds of the script and of the program, each over the same rows and from nothing."""
    source = folder / "source.db"
    make_source(source, rows)
    by_hand = seconds_of(["-m", "tests.bench.speed", "--script", source, sandbox.url, folder / "known.db"])
    config = folder / "config.toml"
    config.write_text(configuration(source, sandbox.url))
    config.chmod(0o600)
    ours = seconds_of(["-m", "sync", "-c", config, "once"])
    if (sent := lead_count(sandbox.store_path)) != 2 * rows:
        raise SystemExit(f"{sent} leads arrived of twice {rows}")
    return by_hand, ours


def main() -> int:
    """Print one line; return 1 where the program became slower."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.speed", description=__doc__)
    parser.add_argument("--rows", type=int, default=30_000, help="companies in the source")
    parser.add_argument("--rounds", type=int, default=2, help="of which the best counts: other work only slows it down")
    parser.add_argument("--script", nargs=3, metavar=("SOURCE", "URL", "KNOWN"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.script:
        script(*options.script)
        return 0
    rounds = []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory(prefix="speed-") as folder, sandbox_with(limit=100_000) as sandbox:
            rounds.append(measure(Path(folder), sandbox, options.rows))
    by_hand, ours = (min(each) for each in zip(*rounds, strict=True))
    ratio, least = by_hand / ours, RATIO * LEAST
    each = f"{by_hand / options.rows * 1e6:.0f} us a record by hand, {ours / options.rows * 1e6:.0f} by the program"
    print(f"{each}: {ratio:.3f} (written down: {RATIO}; at least {least:.3f})")
    return 0 if ratio >= least else 1


if __name__ == "__main__":
    sys.exit(main())
