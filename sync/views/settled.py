"""What a word of a person did to the records of a queue, and why it could not be given to others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from state.diagram import ON_THE_WIRE, State
from state.queues import Moves, Queue, WaitingRecord
from sync.views.phrases import count, printable

QueueAction = Literal["retry", "drop", "approve", "discard", "ack", "resend"]
NAMED = 20
"""How many records are named one by one in a text."""


@dataclass(frozen=True, slots=True)
class SettlingRefusal:
    """Why a word cannot be given to a record; `final` is False where there is only nothing left to do for it."""

    waiting: WaitingRecord
    why: str
    final: bool

    def __str__(self) -> str:
        return f"{self.waiting.stream}:{printable(self.waiting.id)} {self.why}"


@dataclass(frozen=True, slots=True)
class SettlingReport:
    """A word that was given: in which queue, to how many records, what it made of them, and who was left out."""

    queue: Queue
    word: QueueAction
    records: int
    moves: Moves
    refused: Sequence[SettlingRefusal]
    asleep: Sequence[str] = ()
    """Streams of these records that the configuration does not name any more."""

    @property
    def unchanged(self) -> int:
        return self.records - self.moves.total()

    @property
    def exit_code(self) -> int:
        """65 where a record was refused, else 0."""
        return 65 if any(each.final for each in self.refused) else 0


_ELSEWHERE: dict[State, str] = {
    "sending": "is on the wire: wait for its answer",
    "in_doubt": "is in doubt: settle its batch first (`doubt list`)",
    "quarantined": "is in quarantine: settle it there",
    "held": "is held: approve or discard it",
    "pending": "waits to be sent already",
}


def out_of_queue(queue: Queue, waiting: WaitingRecord) -> SettlingRefusal:
    """Why a record that was named is not in the queue."""
    elsewhere = _ELSEWHERE.get(waiting.state)
    if queue == "orphaned":
        return SettlingRefusal(waiting, "is not listed as orphaned", final=False)
    if elsewhere and (queue == "drift" or waiting.state in ON_THE_WIRE):
        return SettlingRefusal(waiting, elsewhere, waiting.state != "pending")
    if queue == "drift":
        lead = "has no lead" if waiting.lead_exists == "no" else "has not changed since its lead was created"
        return SettlingRefusal(waiting, f"{lead} ({waiting.state})", final=False)
    return SettlingRefusal(
        waiting, f"is {waiting.state}, not {'held' if queue == 'held' else 'in quarantine'}", final=False
    )


def not_fit(waiting: WaitingRecord) -> SettlingRefusal | None:
    """Why no lead can be sent of a drifted record as it is now; None where one can."""
    why = {
        "deleted": "is gone at its source: there is no lead to send",
        "filtered": "is not wanted any more: there is no lead to send",
        "unfit": "cannot be a lead as it is now",
    }.get(waiting.fit)
    return SettlingRefusal(waiting, why, final=True) if why else None


def settled_as_json(settled: SettlingReport) -> dict[str, Any]:
    """`moved` says where records went; `again`: they are judged again at their stream's next poll."""
    return {
        "word": settled.word,
        "records": settled.records,
        "moved": dict(settled.moves),
        "unchanged": settled.unchanged,
        "refused": [
            {"stream": each.waiting.stream, "id": each.waiting.id, "why": each.why} for each in settled.refused
        ],
        "not_configured": list(settled.asleep),
    }


def settled_as_lines(settled: SettlingReport) -> list[str]:
    """What was done in figures, and by name who was left out."""
    became: Counter[str] = Counter()
    for state, n in settled.moves.items():
        became[_became(settled.queue, settled.word, state)] += n
    lines = [f"{count(n, 'record')}: {text}" for text, n in became.items()]
    if settled.unchanged:
        lines.append(f"{count(settled.unchanged, 'record')} unchanged: asked for before, or changed meanwhile")
    lines += [f"{stream} is not in the configuration: its records wait until it is" for stream in settled.asleep]
    lines += [str(each) for each in settled.refused[:NAMED]]
    more = len(settled.refused) - NAMED
    return [*lines, *([f"and {more:,} more were left out (--json names them)"] if more > 0 else [])]


def _became(queue: Queue, word: QueueAction, state: str) -> str:
    if queue == "orphaned":
        return "listed no more"
    if word == "ack":
        return "no drift any more, the lead stands for what the record says now"
    return {
        "pending": "to be sent",
        "again": "to be read again at the next poll of the stream, and sent if it can be",
        "forgotten": "forgotten until it changes at its source",
    }.get(state, "has a lead already, so its change is drift again")
