"""Answers that came at the same time: one transaction concludes them and claims the next batches, and a verdict that
cannot be written takes no other with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from state.ledger import Ledger
from sync.config.schema import Workspace
from sync.delivery.backoff import Backoff
from sync.delivery.outcome import Outcome
from sync.delivery.sender import AnsweredBatch, Destination, Sender
from sync.delivery.worker import DeliveryWorker
from sync.engine.tally import Tally
from sync.shared.errors import LedgerError
from sync.shared.secrets import Secret
from tests.state.ledger_tools import (
    RULE,
    WORKSPACE,
    FakeClock,
    Unsynced,
    check_the_books,
    claim,
    pending,
    register,
    states,
)

STREAM = "erp.companies"
CREATED = Outcome("created", "created", 200)


class Watching(Unsynced):
    """Notes where transactions begin and end, and fails at the statements that `fails_at` names by their values."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.ends: list[str] = []
        self.fails_at: Callable[[Any], bool] = lambda values: False

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if sql in ("COMMIT", "ROLLBACK") and self.in_transaction:
            self.ends.append(sql)
        if sql.startswith("UPDATE batches SET state") and self.fails_at(parameters):
            raise sqlite3.IntegrityError("a value that the ledger does not take")
        return super().execute(sql, parameters)


class Scene:
    """Three batches that were answered, two of them created, and a lead that waits behind them."""

    def __init__(self, folder: Path) -> None:
        connections: list[Watching] = []

        def connect(path: Path) -> sqlite3.Connection:
            connections.append(found := Watching(path, timeout=30, isolation_level=None, check_same_thread=False))
            return found

        self.ledger = Ledger(folder / "ledger.db", own=True, clock=FakeClock(), connector=connect)
        self.connection = connections[0]
        pending(self.ledger, register(self.ledger), "a", "b", "c", "d")
        claims = [claim(self.ledger, 1) for _ in "abc"]
        outcomes = (CREATED, Outcome("refused", "busy", 503), CREATED)
        self.judged = [AnsweredBatch(*each, 0.1, 100) for each in zip(claims, outcomes, strict=True)]
        options = Workspace.model_validate({"api_key": "k", "base_url": "http://127.0.0.1:1"})
        self.to = Destination(WORKSPACE, options, Secret("k"), RULE, [STREAM], {})

    def receipts(self) -> set[str]:
        lines = [line for line in self.ledger.places.main.read() if line is not None]
        return {line["batch"] for line in lines if line["t"] == "verdict"}


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.ledger.close()


def test_they_share_a_transaction_with_the_next_claim_and_their_receipts_come_before(scene: Scene) -> None:
    backoff = Backoff(scene.ledger, scene.to, random=Random(1))
    sender = Sender(scene.ledger, scene.to, judge=backoff)
    backoff.keep()
    scene.connection.ends.clear()

    def claimed() -> str:
        assert scene.receipts() == {each.claim.batch for each in scene.judged}
        return claim(scene.ledger, 1).deliveries[0].id

    conclusions, next_one = sender.conclude_together(scene.judged, claimed)
    assert scene.connection.ends.count("COMMIT") == 1
    assert [dict(each.moved) for each in conclusions] == [{"delivered": 1}, {"pending": 1}, {"delivered": 1}]
    assert next_one == "b", "what was refused is pending for that claim"
    assert states(scene.ledger) == {"a": "delivered", "b": "sending", "c": "delivered", "d": "pending"}
    check_the_books(scene.ledger)
    sender.close()


def test_a_verdict_that_cannot_be_written_takes_no_other_with_it(scene: Scene) -> None:
    errors: list[BaseException] = []
    worker = DeliveryWorker(scene.ledger, scene.to, tally=Tally(), failed=errors.append)
    worker._in_flight = len(scene.judged)
    scene.connection.fails_at = lambda values: scene.judged[0].claim.batch in values
    worker._answered = list(scene.judged)
    assert worker._step()
    assert states(scene.ledger) == {"a": "sending", "b": "pending", "c": "delivered", "d": "pending"}
    assert [type(error) for error in errors] == [LedgerError]
    assert worker.in_flight == 0
    assert worker.wait_until_done(0), "a round does not wait for what ended with an error"
    assert scene.receipts() == {each.claim.batch for each in scene.judged}, "the next start knows them all"
    check_the_books(scene.ledger)
    worker.stop()
