"""One workspace's delivery in virtual time: the real ledger and pace, and a server that is a function of the leads.

No threads and no sockets; the clock moves only where the workspace rests or the governor has no room.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random

from state.ledger import Ledger
from state.rows import Claim, NoRoom, NothingToSend
from state.slots import RateLimit
from sync.config.schema import Workspace
from sync.delivery.backoff import Backoff
from sync.delivery.outcome import Outcome
from sync.delivery.sender import Destination
from sync.shared.secrets import Secret
from tests.state.ledger_tools import WORKSPACE, FakeClock, declare, pending, register, unsynced

CREATED = Outcome("created", "created", 200)
REJECTED = Outcome("rejected", "rejected", 400, "Name is odd.")
RULE = RateLimit(b"key", 100_000, 60.0)
ANSWERS_IN = 0.05
Server = Callable[[Sequence[str]], Outcome]


def refusing(*bad: str) -> Server:
    """A server that refuses whole batches with one of these leads."""
    return lambda ids: REJECTED if set(bad) & set(ids) else CREATED


class Delivery:
    """As a context manager. `requests` holds the ids of each request."""

    def __init__(self, folder: Path, server: Server, *, streams: Sequence[str] = ("erp.companies",)) -> None:
        self.clock = FakeClock()
        self.server = server
        self.requests: list[Sequence[str]] = []
        self._path = folder / "ledger.db"
        options = Workspace.model_validate({"api_key": "k", "timeout": "60s"})
        self._to = Destination(WORKSPACE, options, Secret("k"), RULE, streams, {})
        self._open()
        self.streams = {name: register(self.ledger, declare(name)) for name in streams}

    def _open(self) -> None:
        self.ledger = Ledger(self._path, own=True, clock=self.clock, connector=unsynced)
        self.health = Backoff(self.ledger, self._to, random=Random(len(self.requests)))
        self.health.begin()

    def restart(self) -> None:
        """Another process, which knows only what the ledger knows."""
        self.ledger.close()
        self._open()

    def add(self, ids: Iterable[str], stream: str = "erp.companies") -> None:
        pending(self.ledger, self.streams[stream], *ids)

    def step(self) -> bool:
        """One request, once it may start; False where nothing is left to send."""
        self.clock.advance(max(0.0, self.health.rests_for))
        most, probe = self.health.pace.most, self.health.probe()
        claim = self.ledger.outbox.claim(WORKSPACE, RULE, most=most, linger=0, timeout=60, probe=probe)
        if isinstance(claim, NothingToSend):
            return False
        if isinstance(claim, NoRoom):
            self.clock.advance(claim.seconds)
            return self.step()
        self.conclude(claim)
        return True

    def conclude(self, claim: Claim) -> None:
        """The server's answer to a batch that was claimed."""
        ids = [each.id for each in claim.deliveries]
        self.requests.append(ids)
        self.clock.advance(ANSWERS_IN)
        outcome = self.health.judge(claim, self.server(ids))
        self.health.keep()
        self.ledger.verdicts.conclude(
            claim.batch,
            outcome.verdict,
            slot=claim.slot,
            status=outcome.status,
            message=outcome.message,
            named=outcome.named,
            by_size=outcome.by_size,
        )
        self.health.concluded(claim, outcome, ANSWERS_IN)

    def run(self, most: int = 10_000) -> int:
        """Sends until nothing is left; how many requests it took."""
        before = len(self.requests)
        while self.step():
            assert len(self.requests) - before < most, "it goes round in circles"
        return len(self.requests) - before

    def states(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for (_, state), n in self.ledger.records.counts().items():
            counts[state] += n
        return counts

    def quarantined(self) -> set[str]:
        return {str(row["id"]) for row in self.ledger.records.in_state("quarantined", limit=100_000)}

    def __enter__(self) -> Delivery:
        return self

    def __exit__(self, *_: object) -> None:
        self.ledger.close()
