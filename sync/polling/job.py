"""The input of one stream's polls (StreamJob), and what each of them reports (PollReport)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from connectors.interface import StreamSpec
from state.rows import PollKind, PollOutcome, StreamRow
from sync.config.schema import Guard
from sync.mapping.compile import LeadMapping


@dataclass(frozen=True, slots=True)
class StreamJob:
    """Everything a poll of one stream needs to know, from the configuration."""

    row: StreamRow
    spec: StreamSpec
    mapping: LeadMapping
    start: str
    """`all`, `now`, or an ISO 8601 time in UTC."""
    sweep_every: float
    """Seconds."""
    max_pending: int
    guard: Guard
    leads_per_second: float
    """The rate that the workspace's limit allows."""
    neighbours: Sequence[str] = ()
    """The configured streams of the same workspace, this one included: they share one `max_pending`."""
    given_ids: bool = False
    """The source's vendor assigns all of its ids, so they say nothing of a person: see `is_opaque`."""


@dataclass(slots=True)
class PollReport:
    """The result of one poll; `counts` adds up to `read`.

    `unqueued` are the records that left the queue, `set_aside` those that the guard held.
    """

    kind: PollKind
    outcome: PollOutcome = "complete"
    pages: int = 0
    read: int = 0
    unqueued: int = 0
    set_aside: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, read: int, counts: Counter[str]) -> None:
        """Add one committed page: records read, and the counts of what became of them."""
        self.pages += 1
        self.read += read
        self.unqueued += counts.pop("unqueued", 0)
        self.counts.update({name: n for name, n in counts.items() if n})

    @property
    def queued(self) -> int:
        """The number of leads that the poll would create."""
        return self.counts["new"] + self.counts["resend"]

    def as_kept(self) -> dict[str, int]:
        """Return the counts that the ledger keeps of each poll."""
        aside = {"set_aside": self.set_aside} if self.set_aside else {}
        return {"read": self.read, **self.counts, **aside}
