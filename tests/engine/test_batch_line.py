"""The line of a batch in the log: what it tells without asking the ledger, and what it counts there now and then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random

import pytest

from state.ledger import Ledger
from state.rows import Claim, Conclusion
from sync.config.schema import Workspace
from sync.delivery.backoff import Backoff
from sync.delivery.outcome import Outcome
from sync.delivery.sender import COUNT_SECONDS, Destination, Sender, SentBatch
from sync.events import Level
from sync.log import heard_by
from sync.shared.secrets import Secret
from tests.state.ledger_tools import RULE, WORKSPACE, FakeClock, claim, declare, pending, register, unsynced

STREAM = "erp.companies"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ledger(tmp_path: Path, clock: FakeClock) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.db", own=True, clock=clock, connector=unsynced) as opened:
        pending(opened, register(opened, declare(STREAM)), *map(str, range(30)))
        yield opened


@pytest.fixture
def sender(ledger: Ledger) -> Iterator[Sender]:
    options = Workspace.model_validate({"api_key": "k", "base_url": "http://127.0.0.1:1"})
    to = Destination(WORKSPACE, options, Secret("k"), RULE, [STREAM], {})
    made = Sender(ledger, to, judge=Backoff(ledger, to, random=Random(1)))
    yield made
    made.close()


def line_of(sender: Sender, batch: Claim, outcome: Outcome) -> Mapping[str, object]:
    heard: list[Mapping[str, object]] = []

    def listener(event: str, level: Level, fields: Mapping[str, object]) -> None:
        heard.append(fields)

    with heard_by(listener):
        sender.say(batch, SentBatch(outcome, Conclusion(batch.batch, {}, {STREAM: 10}), 0.5, 1234))
    return heard[0]


def test_what_waits_and_how_many_requests_may_follow_is_told_once_a_second(
    ledger: Ledger, sender: Sender, clock: FakeClock
) -> None:
    told = []
    for seconds in (0.0, COUNT_SECONDS / 2, COUNT_SECONDS / 2 - 0.001, 0.001, COUNT_SECONDS):
        clock.advance(seconds)
        line = line_of(sender, claim(ledger, 5), Outcome("created", "created", 200))
        told.append((line.get("pending"), line.get("room")))
    assert told == [(25, 99), (None, None), (None, None), (10, 96), (5, 95)]


def test_everything_else_is_told_of_each_batch(ledger: Ledger, sender: Sender) -> None:
    lines = [line_of(sender, claim(ledger, 10), Outcome("created", "created", 200)) for _ in range(2)]
    for line in lines:
        assert {key: line[key] for key in line.keys() - {"batch", "pending", "room"}} == {
            "workspace": WORKSPACE,
            "leads": 10,
            "streams": {STREAM: 10},
            "verdict": "created",
            "status": 200,
            "cause": "created",
            "milliseconds": 500,
            "bytes": 1234,
        }
