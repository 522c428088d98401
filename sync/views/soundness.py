"""Verifies the ledger's file and its receipts, and reports what `ledger rebuild` made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlite_utils import Database

from state.ledger import Ledger
from state.rebuilding.rebuild import Rebuilt
from state.receipts.compare import lacking
from state.receipts.history import ReceiptHistory
from state.receipts.journal import tellings
from state.receipts.place import ReceiptsFile
from state.receipts.writing import known_batches
from sync.views.phrases import count, joined, number

FAULTS_SHOWN = 20

_RULES = {
    "batches that do not hold as many leads as they say": (
        "SELECT count(*) FROM batches b WHERE NOT rebuilt"
        " AND leads <> (SELECT count(*) FROM deliveries d WHERE d.batch = b.name)"
    ),
    "records in a batch that is neither on the way nor in doubt": (
        "SELECT count(*) FROM records r JOIN batches b ON b.name = r.batch WHERE b.state NOT IN ('sending', 'in_doubt')"
    ),
    "records in a batch that does not exist": (
        "SELECT count(*) FROM records WHERE batch IS NOT NULL AND batch NOT IN (SELECT name FROM batches)"
    ),
    "duplicates of no record": "SELECT count(*) FROM records WHERE state = 'duplicate' AND twin IS NULL",
    "duplicates of a record that stands for no lead": (
        "SELECT count(*) FROM records d JOIN records o ON o.key = d.twin"
        " WHERE d.again IS NULL AND o.lead_exists = 'no' AND o.state NOT IN ('pending', 'held')"
    ),
    "contacts left out of what waits for a record that stands for no lead": (
        "SELECT count(*) FROM left_out l JOIN records r ON r.key = l.record JOIN records o ON o.key = l.owner"
        " WHERE r.lead_exists = 'no' AND r.state IN ('pending', 'held') AND r.again IS NULL"
        " AND o.lead_exists = 'no' AND o.state NOT IN ('pending', 'held')"
    ),
}


@dataclass(frozen=True, slots=True)
class Soundness:
    """Row counts of each table, the faults found, and the cure for the gravest. Holds no value of a record."""

    rows: Mapping[str, int]
    faults: tuple[str, ...]
    cure: str


RESTORE = "stop the daemon, keep a copy of the ledger, and restore the last sound backup"
REBUILD = "stop the daemon, and run `ledger rebuild`: it adds what the receipts know and the ledger does not"
RESTART = "start the daemon again (or `once`): what the receipts lack is written again from the ledger"
"""Never a backup: if the receipts are lost too, nothing would know what was sent since that backup."""


def look(ledger: Ledger) -> Soundness:
    """Run SQLite's own checks of the whole file, the rules above, and compare the receipts.

    Raises LedgerError where they cannot be read, LedgerUntrusted where the receipts are of a newer program.
    """
    # before the ledger: what is sent meanwhile is then in the ledger at least
    began = int(ledger.clock.wall() * 1000)
    histories = [(place, ReceiptHistory.of(place.read())) for place in ledger.places.all]
    with ledger.file.read() as connection:
        database = Database(connection)
        # one read transaction for all sums: the daemon may write meanwhile
        rows = {name: database[name].count for name in database.table_names() if not name.startswith(("_", "sqlite_"))}
        checks = connection.execute(f"PRAGMA integrity_check({FAULTS_SHOWN})").fetchall()
        faults = [str(row[0]) for row in checks if row[0] != "ok"]
        loose = connection.execute("PRAGMA foreign_key_check").fetchmany(FAULTS_SHOWN)
        faults += [f"table {row[0]}, row {row[1]}: what it refers to in {row[2]} is missing" for row in loose]
        for what, query in _RULES.items():
            n = connection.execute(query).fetchone()[0]
            faults += [f"{what}: {n:,}"] if n else []
        batches, told = known_batches(connection), tellings(connection)
        ended = {row["name"] for row in connection.execute("SELECT name FROM batches WHERE ended_at < ?", (began,))}
    # in the order of gravity: the first with a fault gives the cure
    found = {RESTORE: faults, REBUILD: [], RESTART: []}
    for place, history in histories:
        found[RESTART] += _weak_receipts(place, history, batches, ended)
        found[REBUILD] += _ahead_of_the_ledger(place, history, batches, told)
    cure = next((cure for cure, of_it in found.items() if of_it), "")
    return Soundness(rows, tuple(fault for of_it in found.values() for fault in of_it), cure)


def _ahead_of_the_ledger(
    place: ReceiptsFile, history: ReceiptHistory, batches: Mapping[str, str], told: int
) -> Iterator[str]:
    # a batch is committed before its receipt is written, so the ledger should know every one
    unheard = sum(name not in batches for name in history.batches)
    if unheard:
        yield f"the receipts {place.path} name batches that the ledger does not know: {unheard:,}"
    if history.told > told:
        yield f"the receipts {place.path} tell of imports or settled records that the ledger does not know"


def _weak_receipts(
    place: ReceiptsFile, history: ReceiptHistory, batches: Mapping[str, str], ended: set[str]
) -> Iterator[str]:
    """Yield what one receipts file lacks, of the batches that had `ended` before it was read."""
    if not place.exists():
        yield f"the receipts {place.path} are missing"
        return
    if history.facts and not history.has_begin:
        yield f"the receipts {place.path} have no beginning: the next start writes them again from the ledger"
    if history.damaged:
        yield f"the receipts {place.path} have damaged lines: {history.damaged:,}"
    lacks = sum(name in ended for name, _ in lacking(batches, history))
    if lacks:
        yield f"the receipts {place.path} lack what became of batches: {lacks:,}"


# ---- rebuilding


def rebuilt_as_json(done: Rebuilt) -> dict[str, Any]:
    """Return the result as JSON; all keys are always there."""
    return {
        "is_new": done.is_new,
        "kept": str(done.kept) if done.kept else None,
        "streams": list(done.streams),
        "batches": done.batches,
        "remembered": dict(done.remembered),
        "told": asdict(done.told),
        "damaged": done.damaged,
        "beginning_lost": done.is_tail,
    }


def rebuilt_as_lines(done: Rebuilt, program: str) -> list[str]:
    """Return what was made, what it holds now, and what comes next."""
    lines = [_made(done)]
    lines.append(f"streams     {joined(done.streams) if done.streams else 'none'}")
    lines.append(f"batches     {number(done.batches)} that it did not know")
    unsent = {state: n for state, n in asdict(done.told).items() if n}
    if unsent:
        lines.append(f"records     {_figures(unsent)}: it took them for unsent")
    if done.remembered:
        lines.append(f"remembered  {_figures(done.remembered)}: recognised when their source shows them again")
    if done.damaged:
        lines.append(
            f"lost        what stood in {count(done.damaged, 'damaged line')}: leads recorded there may be sent again"
        )
    if done.is_tail:
        lines.append("lost        what was sent before these receipts begin: it may be sent again")
    sent = "what is remembered here" if done.damaged or done.is_tail else "what was sent"
    return [
        *lines,
        "",
        f"The next poll reads each stream; {sent} is not sent again, and an unusual number of new leads is held.",
        f"Next: {program} once, then {program} status",
    ]


def _made(done: Rebuilt) -> str:
    if not done.is_new:
        return f"the ledger was brought up to its receipts; as it was before it is kept as {done.kept}"
    kept = f"; the one that could not be read is kept as {done.kept}" if done.kept else ""
    return f"a new ledger was made from the receipts{kept}"


def _figures(counts: Any) -> str:
    return joined(f"{number(n)} {state.replace('_', ' ')}" for state, n in counts.items())
