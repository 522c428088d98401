"""The selftest's oracle: compares the source with the server's leads, and doubts with what could be known.

It never asks the program. The server's list of requests tells which answers a client could read, the notes of the
killed processes which requests began, and the receipts' lines which verdicts were on disk.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sync.trial.oracle import created_names, reconcile
from sync.trial.sandbox import reports
from sync.trial.sandbox.running import RunningSandbox
from sync.trial.selftest.world import TrialWorld, name_of

UNKNOWABLE = {
    "timeout-before",
    "timeout-after",
    "reset-before",
    "reset-after",
    "half",
    "malformed",
    "not-succeeded",
    "not-succeeded-after",
}
"""Faults after which a client cannot know whether its leads were created."""


@dataclass(frozen=True, slots=True)
class TrialTruth:
    """`lost`, `twice` and `claimed` are ids of records, as in Reconciliation; `in_doubt` and `landed` count them.

    `wrong_doubts` are batches that are in doubt without need, or should be and are not. `leaks` are log and receipt
    files that hold values of records.
    """

    lost: Sequence[int] = ()
    twice: Sequence[int] = ()
    wrong_doubts: Sequence[str] = ()
    claimed: Sequence[int] = ()
    leaks: Sequence[str] = ()
    in_doubt: int = 0
    landed: int = 0
    records: int = 0
    requests: int = 0
    faults: Mapping[str, int] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """True if the promise was kept."""
        return not (self.lost or self.twice or self.wrong_doubts or self.claimed or self.leaks)


def look(world: TrialWorld, sandbox: RunningSandbox, refused: Sequence[int] = (), *, exact: bool = True) -> TrialTruth:
    """Compare source, server and ledger at the end of a trial.

    `refused` are the ids of records that the server refuses. Not `exact`: files were tampered with, so that a batch
    may be in doubt although its outcome could be known.
    """
    requests = reports.requests(sandbox.store_path)
    names = created_names(sandbox.store_path)
    states = {int(id_): str(state) for id_, state in world.rows("select id, state from records")}
    numbers = world.numbers()
    created = {number: names[name_of(number)] for number in numbers | states.keys()}
    excused = [number for number in refused if states.get(number) == "quarantined"]
    found = reconcile(numbers, created, states, excused)
    return TrialTruth(
        lost=sorted(found.lost),
        twice=sorted(found.twice),
        wrong_doubts=sorted(_wrong_doubts(world, requests)) if exact else (),
        claimed=sorted(found.claimed),
        leaks=[
            place.name for place in (world.events, *world.folder.glob("*.receipts")) if b"Canary" in _content(place)
        ],
        in_doubt=len(found.in_doubt),
        landed=len(found.landed),
        records=len(numbers),
        requests=len(requests),
        faults=Counter(row["fault"] for row in requests if row["fault"]),
    )


def _content(place: Any) -> bytes:
    return bytes(place.read_bytes()) if place.exists() else b""


def _wrong_doubts(world: TrialWorld, requests: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return batches that are in doubt though their outcome could be known, or are not though it could not."""
    answers = {str(row["digest"]): row for row in requests}
    notes = [line.split(" ") for line in world.notes.read_text().splitlines()]
    began = {batch: digest for what, batch, digest in notes if what == "began"}
    late = {batch for what, batch, _ in notes if what == "late"}
    doubted_with_an_answer = {batch for what, batch, _ in notes if what == "doubted"}
    intended, known = _receipts(world)
    unclear = {batch for batch, digest in began.items() if not _is_clear(answers.get(digest))}
    # Between the intent and the verdict a later process cannot know whether the request began.
    unknown = (intended - known) | unclear
    doubted = {str(row[0]) for row in world.rows("select name from batches where state = 'in_doubt'")}
    # Only the client knows if an answer at the last moment still came in time.
    return ((unknown ^ doubted) - late) | (set(began) - intended) | (doubted_with_an_answer - unclear - late)


def _receipts(world: TrialWorld) -> tuple[set[str], set[str]]:
    """Return the batches with an intent, and those with a clear verdict, in the receipts on disk."""
    intended: set[str] = set()
    known: set[str] = set()
    for place in world.folder.glob("*.receipts"):
        for line in place.read_text().splitlines():
            document = json.loads(line.partition(" ")[2])
            if document["t"] == "intent":
                intended.add(document["batch"])
            elif document["t"] == "verdict" and document["verdict"] != "in_doubt":
                known.add(document["batch"])
    return intended, known


def _is_clear(answer: Mapping[str, Any] | None) -> bool:
    """Return True if the answer told the client what became of its leads. None: the request never arrived whole, and
    so created nothing."""
    if answer is None:
        return True
    status = answer["status"]
    if answer["fault"] in UNKNOWABLE or status is None:
        return False
    return not (status == 408 or (status >= 500 and status != 503))
