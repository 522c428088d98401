"""The oracle of power cuts: compares the source with the server's leads, and doubts with what could be known.

It never asks the program. The server's own notes tell what arrived, in the recorded life and after it; the receipts
on the disk that the cut left tell what could be known; the ledger is read by plain SQL.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from sync.trial.oracle import query, reconcile
from tests.long.powercut.world import is_refused, number_of

NoteLine = Mapping[str, Any]


def decided(notes: Sequence[NoteLine], seed: int) -> list[NoteLine]:
    """Decide by chance which of the requests under way at the cut arrived."""
    random = Random(seed)
    ended = {note["n"] for note in notes if note["t"] == "end"}
    open_ = [note["n"] for note in notes if note["t"] == "begin" and note["n"] not in ended]
    gone = {n for n in open_ if random.random() < 0.5}
    known = [{**note, "landed": False} if note["t"] == "begin" and note["n"] in gone else note for note in notes]
    return [*known, *({"t": "end", "n": n} for n in open_)]


@dataclass(slots=True)
class Server:
    """The server's knowledge: how often each name was created, and the batches that sent it."""

    created: Counter[str] = field(default_factory=Counter)
    sent: dict[str, set[str]] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)
    imported: set[str] = field(default_factory=set)
    first_rows: int = sys.maxsize
    """How many rows the source had when a reading of it first came to its end."""

    @classmethod
    def of(cls, notes: Iterable[NoteLine]) -> Server:
        server = cls()
        for note in notes:
            server.take(note)
        return server

    def take(self, note: NoteLine) -> None:
        match note["t"]:
            case "begin":
                for name in note["names"]:
                    self.sent.setdefault(name, set()).add(note["batch"])
                    self.created[name] += note["landed"]
            case "imported":
                self.imported.add(note["name"])
            case "settled":
                self.settled.add(note["batch"])
            case "polled":
                self.first_rows = min(note["rows"], self.first_rows)


@dataclass(frozen=True, slots=True)
class Known:
    """The receipts on a disk: batches with an intent in every place, and those with a clear verdict in any."""

    intended: frozenset[str]
    decided: frozenset[str]

    @classmethod
    def of(cls, places: Iterable[bytes]) -> Known:
        intended: set[str] | None = None
        decided: set[str] = set()
        for content in places:
            lines = list(_lines(content))
            here = {str(line["batch"]) for line in lines if line["t"] == "intent"}
            intended = here if intended is None else intended & here
            decided |= {str(line["batch"]) for line in lines if line.get("verdict", "in_doubt") != "in_doubt"}
        return cls(frozenset(intended or ()), frozenset(decided))


def _lines(content: bytes) -> Iterator[Mapping[str, Any]]:
    for raw in content.split(b"\n"):
        checksum, _, document = raw.partition(b" ")
        if checksum == b"%08x" % zlib.crc32(document):
            yield json.loads(document)


@dataclass(frozen=True, slots=True)
class Truth:
    """Names of records: `lost` stand nowhere, `twice` were created more than once, `claimed` are called delivered and
    are not. In doubt: `open` as they must be, `intended` though never sent, which nobody can know, and `needless`."""

    lost: Sequence[str] = ()
    twice: Sequence[str] = ()
    claimed: Sequence[str] = ()
    open: Sequence[str] = ()
    intended: Sequence[str] = ()
    needless: Sequence[str] = ()

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Facts:
    """Of one cut: the notes up to it, with what arrived of what was under way, those of all the recording, and what the
    disk that it left could tell."""

    before: Sequence[NoteLine]
    recorded: Sequence[NoteLine]
    known: Known


def judge(facts: Facts, after: Iterable[NoteLine], rows: Mapping[tuple[str, str], str], ledger: Path) -> Truth:
    """Judge a state; `rows` are names by (stream, id), `after` the server's notes since the power is back."""
    cut = Server.of(facts.before)
    created = Counter(cut.created)
    for note in after:
        if note["t"] == "begin":
            created.update(note["names"] if note["landed"] else ())
    states = {rows[key]: state for key, state in states_of(ledger).items() if key in rows}
    for name in rows.values():
        created[name] += _was_there(name) or name in cut.imported
    names = set(rows.values())
    found = reconcile(names, created, states, [name for name in names if _is_accounted(name, states.get(name), cut)])
    doubtful = sorted(found.in_doubt)
    batches = _batches(facts.recorded)
    open_ = [name for name in doubtful if cut.sent.get(name, set()) - facts.known.decided - cut.settled]
    intended = [name for name in doubtful if batches.get(name, set()) & facts.known.intended - facts.known.decided]
    return Truth(
        lost=sorted(found.lost),
        twice=sorted(found.twice),
        claimed=sorted(found.claimed),
        open=open_,
        intended=[name for name in intended if name not in open_],
        needless=[name for name in doubtful if name not in open_ and name not in intended],
    )


def _batches(notes: Iterable[NoteLine]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for note in notes:
        for name in note.get("names", ()):
            found.setdefault(name, set()).add(note["batch"])
    return found


def _was_there(name: str) -> bool:
    """Return True for partners that were in ClosingDealz before the first start."""
    return name.startswith("Known")


def _is_accounted(name: str, state: str | None, cut: Server) -> bool:
    """Return True if a record without a lead is where a person finds it, or was not to be created, as the rows at the
    first reading of a stream that starts "now"."""
    if state == "quarantined":
        return is_refused(name)
    if state == "known":  # an import that was cut off may have come to the disk
        return name.startswith("Imported") or ("partners" in name and number_of(name) < cut.first_rows)
    return state == "held"


def backups_amiss(folder: Path, notes: Sequence[NoteLine]) -> list[str]:
    """List the faults of the ledger's copies in a folder. A copy under its final name must be whole and have its key;
    a reported copy must exist, and so must the one from before a migration."""
    named = [*folder.glob("*ledger.db.b[ae][cf]*"), *folder.glob("backups/ledger.db.b*"), *folder.glob("copy.db")]
    found = [path for path in named if not path.name.endswith((".key", ".new", "-journal", "-wal", "-shm"))]
    amiss = [f"the copy {path.name} is not whole" for path in found if not _is_whole(path)]
    keyless = (path for path in found if ".before-" not in path.name and not _has_key(path))
    amiss += [f"the copy {path.name} has no key" for path in keyless]
    told = {note["path"] for note in notes if note["t"] == "backed up"}
    amiss += [f"the copy {path} is gone" for path in told if not (folder / path).exists()]
    if any(note["t"] == "old" for note in notes) and not any(".before-" in path.name for path in found):
        amiss.append("the copy from before the migration is gone")
    return amiss


def _is_whole(path: Path) -> bool:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
        try:
            tables = database.execute("select count(*) from sqlite_master").fetchone()[0]
            return bool(tables) and database.execute("pragma integrity_check").fetchone() == ("ok",)
        except sqlite3.Error:
            return False


def _has_key(path: Path) -> bool:
    key = path.with_name(f"{path.name}.key")
    return key.exists() and key.stat().st_size == 32


def states_of(ledger: Path) -> dict[tuple[str, str], str]:
    """Return the state of each record, by (stream's name, id)."""
    rows = query(ledger, "select s.name, r.id, r.state from records r join streams s on s.id = r.stream")
    return {(stream, id_): state for stream, id_, state in rows}
