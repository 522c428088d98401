"""Receipts of several requests that wait for the disk at the same time share one sync; none counts as written that is
not."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from state.ledger import Ledger
from state.receipts.history import ReceiptHistory
from state.receipts.journal import intent_line
from state.receipts.lines import unpack_leads, unpack_values
from state.rows import Claim, MatchKind
from sync.shared.errors import LedgerError
from tests.engine.wire import wait_until
from tests.patience import PATIENCE
from tests.state.ledger_tools import (
    FakeClock,
    UnsyncedDisk,
    claim,
    commit,
    declare,
    pending,
    put_new,
    reading,
    register,
    states,
    unsynced,
)


class GatedDisk(UnsyncedDisk):
    """Counts the syncs; while `gate` is closed, one waits until it is opened, and then fails with `error` if set."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.syncs = 0
        self.error: BaseException | None = None

    def sync(self, descriptor: int) -> None:
        self.syncs += 1
        assert self.gate.wait(PATIENCE)
        if self.error:
            raise self.error


class Scene:
    """A ledger with five claimed batches, and threads that write their receipts."""

    def __init__(self, folder: Path, threads: ThreadPoolExecutor) -> None:
        self.disk, self.path, self._threads = GatedDisk(), put_new(folder / "ledger.db"), threads
        self.ledger = self.opened()
        pending(self.ledger, register(self.ledger), *"abcde")
        self.ledger.journal.flush()
        self.claims = [claim(self.ledger, 1) for _ in "abcde"]

    def opened(self) -> Ledger:
        return Ledger(self.path, own=True, clock=FakeClock(), connector=unsynced, disk=self.disk)

    def at_once(self, write: Callable[[Claim], None], what: str) -> Sequence[Future[None]]:
        """One thread is in its sync and the others wait; then the gate is opened."""
        self.disk.gate.clear()
        self.disk.syncs = 0
        first = self._threads.submit(write, self.claims[0])
        wait_until(lambda: self.disk.syncs == 1)
        others = [self._threads.submit(write, each) for each in self.claims[1:]]
        queue = getattr(self.ledger.journal, what)
        wait_until(lambda: len(queue._waiting) == len(others))
        self.disk.gate.set()
        return [first, *others]

    def intent(self, claimed: Claim) -> None:
        self.ledger.journal.intent(claimed.batch)

    def verdict(self, claimed: Claim) -> None:
        self.ledger.journal.verdict(claimed.batch, "created", status=200)

    def history(self) -> ReceiptHistory:
        return ReceiptHistory.of(self.ledger.places.main.read())


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with ThreadPoolExecutor(5) as threads:
        made = Scene(tmp_path, threads)
        yield made
        made.disk.gate.set()
        made.ledger.close()


def test_intents_and_verdicts_that_wait_at_the_same_time_share_one_sync(scene: Scene) -> None:
    for write, what in ((scene.intent, "_intents"), (scene.verdict, "_verdicts")):
        for each in scene.at_once(write, what):
            each.result(PATIENCE)
        assert scene.disk.syncs == 2
    assert {name: batch.verdict for name, batch in scene.history().batches.items()} == {
        each.batch: "created" for each in scene.claims
    }


def test_no_request_starts_before_its_intent_is_synced(scene: Scene) -> None:
    """Not even one whose line was appended by another thread."""
    scene.disk.gate.clear()
    queue = scene.ledger.journal._intents
    scene.disk.syncs = 0
    futures = [scene._threads.submit(scene.intent, scene.claims[0])]
    wait_until(lambda: scene.disk.syncs == 1)
    futures += [scene._threads.submit(scene.intent, each) for each in scene.claims[1:]]
    wait_until(lambda: len(queue._waiting) == 4)
    assert not any(each.done() for each in futures)
    scene.disk.gate.set()
    for each in futures:
        each.result(PATIENCE)


@pytest.mark.parametrize("error", [OSError(errno.EIO, os.strerror(errno.EIO)), KeyboardInterrupt()])
def test_where_the_sync_fails_none_of_those_that_share_it_counts_as_written(scene: Scene, error: BaseException) -> None:
    scene.intent(scene.claims[0])
    scene.claims = rest = scene.claims[1:]
    scene.disk.error = error
    for each in scene.at_once(scene.intent, "_intents"):
        assert isinstance(each.exception(PATIENCE), LedgerError if isinstance(error, OSError) else type(error))
    scene.disk.error = None
    if isinstance(error, OSError):
        assert not {each.batch for each in rest} & scene.history().batches.keys()
    scene.ledger.close()
    scene.ledger = scene.opened()
    scene.ledger.recover()
    assert states(scene.ledger)["a"] == "in_doubt", "its intent was synced"
    if isinstance(error, OSError):
        assert [*states(scene.ledger).values()] == ["in_doubt", *["pending"] * 4]


def test_what_one_caller_writes_of_several_batches_shares_one_sync(scene: Scene) -> None:
    scene.disk.syncs = 0
    scene.ledger.journal.intents({each.batch: each.deliveries for each in scene.claims})
    assert scene.disk.syncs == 1
    scene.ledger.journal.verdicts((each.batch, "created", 200, "") for each in scene.claims)
    assert scene.disk.syncs == 2
    assert {name: batch.verdict for name, batch in scene.history().batches.items()} == {
        each.batch: "created" for each in scene.claims
    }


def test_an_intent_says_the_same_made_from_its_claim_or_read_from_the_ledger(scene: Scene) -> None:
    stream = register(scene.ledger, declare("erp.people", match_on=("email", "domain")))
    values: list[tuple[MatchKind, bytes]] = [("email", b"e" * 16), ("domain", b"d" * 16)]
    readings = [reading(each, mapping=stream.mapping) for each in ("x", "y", "z")]
    commit(scene.ledger, stream, [replace(each, values=values if each.id == "y" else ()) for each in readings])
    claimed = claim(scene.ledger)
    assert {each.stream for each in claimed.deliveries} == {stream.id}
    with scene.ledger.file.read() as connection:
        read, made = (
            intent_line(connection, scene.ledger.hasher, claimed.batch, of) for of in ((), claimed.deliveries)
        )
    assert made == read
    assert sorted(unpack_values(made["values"])) == sorted(values)
    assert [len(list(unpack_leads(packed))) for *_, packed in made["streams"]] == [3]
