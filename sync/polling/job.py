"""What a poll of one stream is told, and what it reports; the names of the engine's own lanes of the cursor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from connectors.interface import StreamSpec
from state.rows import PollKind, PollOutcome, StreamRow
from sync.config.schema import Guard
from sync.mapping.compile import LeadMapping

ACCOUNT_LANE = "@account"
"""Of a connector that can tell: the account that this stream is read from."""
ALIKE_LANE = "@alike"
"""That every record of the stream is found by other spellings of its id too."""
BASELINE_LANE = "@baseline"
"""Of a stream that starts `now`: its T0, and whether what was there before is read."""
CONTACTS_LANE = "@contacts"
"""That it is known by what the contacts nested in the stream's leads can be recognised."""
FIRST_LANE = "@first"
"""Whether the first scan is over, and with which poll it ended."""
REREAD_LANE = "@reread"
"""That filtered records are to be read again, and how far that is."""
SWEEP_LANE = "@sweep"


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
    """What the workspace's limit lets through."""
    neighbours: Sequence[str] = ()
    """The configured streams of the same workspace, this one included: together they may fill the outbox."""
    given_ids: bool = False
    """The source's vendor gives all of its ids: see `is_opaque`."""


@dataclass(slots=True)
class PollReport:
    """What a poll did; `counts` adds up to `read`.

    `unqueued`: records that left the queue in it. `set_aside`: those that the guard took out of it.
    """

    kind: PollKind
    outcome: PollOutcome = "complete"
    pages: int = 0
    read: int = 0
    unqueued: int = 0
    set_aside: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, read: int, counts: Counter[str]) -> None:
        self.pages += 1
        self.read += read
        self.unqueued += counts.pop("unqueued", 0)
        self.counts.update({name: n for name, n in counts.items() if n})

    @property
    def queued(self) -> int:
        """How many leads it would create."""
        return self.counts["new"] + self.counts["resend"]

    def as_kept(self) -> dict[str, int]:
        """As the ledger keeps it of each poll."""
        aside = {"set_aside": self.set_aside} if self.set_aside else {}
        return {"read": self.read, **self.counts, **aside}
