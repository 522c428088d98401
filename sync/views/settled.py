"""The result of a decision on records of a queue, and why it was refused for some of them."""

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
"""The most refused records that the text names one by one."""


@dataclass(frozen=True, slots=True)
class SettlingRefusal:
    """The reason for which an action is refused for a record; `final` is False where only nothing is left to do."""

    waiting: WaitingRecord
    why: str
    final: bool

    def __str__(self) -> str:
        return f"{self.waiting.stream}:{printable(self.waiting.id)} {self.why}"


@dataclass(frozen=True, slots=True)
class SettlingReport:
    """The result of an action on `records` of a queue: where they moved, and which were refused."""

    queue: Queue
    word: QueueAction
    records: int
    moves: Moves
    refused: Sequence[SettlingRefusal]
    not_configured: Sequence[str] = ()
    """Streams of these records that are no longer in the configuration."""

    @property
    def unchanged(self) -> int:
        """Return how many records the action did not move."""
        return self.records - self.moves.total()

    @property
    def exit_code(self) -> int:
        """Return 65 where a record was refused, else 0."""
        return 65 if any(each.final for each in self.refused) else 0


_ELSEWHERE: dict[State, str] = {
    "sending": "is on the wire: wait for its answer",
    "in_doubt": "is in doubt: settle its batch first (`doubt list`)",
    "quarantined": "is in quarantine: settle it there",
    "held": "is held: approve or discard it",
    "pending": "is already waiting to be sent",
}


def out_of_queue(queue: Queue, waiting: WaitingRecord) -> SettlingRefusal:
    """Return why a record that was named is not in the queue."""
    elsewhere = _ELSEWHERE.get(waiting.state)
    if queue == "orphaned":
        return SettlingRefusal(waiting, "is not listed as orphaned", final=False)
    # what is on the wire is settled by its answer, whatever the queue
    if elsewhere and (queue == "drift" or waiting.state in ON_THE_WIRE):
        # What waits already was only asked for twice, which is no mistake.
        return SettlingRefusal(waiting, elsewhere, waiting.state != "pending")
    if queue == "drift":
        lead = "has no lead" if waiting.lead_exists == "no" else "has not changed since its lead was created"
        return SettlingRefusal(waiting, f"{lead} ({waiting.state})", final=False)
    return SettlingRefusal(
        waiting, f"is {waiting.state}, not {'held' if queue == 'held' else 'in quarantine'}", final=False
    )


def not_fit(waiting: WaitingRecord) -> SettlingRefusal | None:
    """Return why a drifted record cannot become a lead as it is now; None if it can."""
    why = {
        "deleted": "is gone at its source: there is no lead to send",
        "filtered": "is excluded by `where` now: there is no lead to send",
        "unfit": "cannot become a lead as it is now",
    }.get(waiting.fit)
    return SettlingRefusal(waiting, why, final=True) if why else None


def settled_as_json(settled: SettlingReport) -> dict[str, Any]:
    """Return the result as JSON: `moved` maps new states to numbers; `again` are reread at their stream's next poll."""
    return {
        "word": settled.word,
        "records": settled.records,
        "moved": dict(settled.moves),
        "unchanged": settled.unchanged,
        "refused": [
            {"stream": each.waiting.stream, "id": each.waiting.id, "why": each.why} for each in settled.refused
        ],
        "not_configured": list(settled.not_configured),
    }


def settled_as_lines(settled: SettlingReport) -> list[str]:
    """Return the result in figures, and the refused records by name."""
    became: Counter[str] = Counter()
    for state, n in settled.moves.items():
        # several states may read alike, so they are summed by their text
        became[_became(settled.queue, settled.word, state)] += n
    lines = [f"{count(n, 'record')}: {text}" for text, n in became.items()]
    if settled.unchanged:
        lines.append(f"{count(settled.unchanged, 'record')} unchanged: asked for before, or changed in the meantime")
    lines += [
        f"{stream} is not in the configuration: its records wait until it is" for stream in settled.not_configured
    ]
    lines += [str(each) for each in settled.refused[:NAMED]]
    more = len(settled.refused) - NAMED
    return [*lines, *([f"and {more:,} more were left out (--json names them)"] if more > 0 else [])]


def _became(queue: Queue, word: QueueAction, state: str) -> str:
    if queue == "orphaned":
        return "no longer listed"
    if word == "ack":
        return "no longer drift: the lead now counts as up to date"
    return {
        "pending": "to be sent",
        "again": "to be read again at the stream's next poll, and sent if possible",
        "forgotten": "forgotten until changed at the source",
    }.get(state, "has a lead already, so the change is listed as drift again")
