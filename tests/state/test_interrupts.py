"""Killed before and after every statement, commit and send: nothing is lost, nothing is sent twice."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from state.ledger import Ledger
from state.rows import Verdict
from sync.trial.processes import run_forked
from tests.sizes import sized
from tests.state.interrupted import Cut, Killed, Outside, check_cut_off, check_end, program
from tests.state.ledger_tools import FakeClock, claim, commit, pending, reading, register, rows, unsynced


def steps_of(path: Path) -> list[str]:
    """Every step of an undisturbed run."""
    cut = Cut()
    program(path, Outside(), cut).close()
    return cut.steps


def copied(ledger: Path, to: Path) -> Path:
    for suffix in ("", ".key", ".receipts"):
        shutil.copy(f"{ledger}{suffix}", f"{to}{suffix}")
    return to


def cut_and_finish(path: Path, at: int, *, after: bool) -> None:
    cut, outside = Cut(at, after=after), Outside()
    with pytest.raises(Killed):
        program(path, outside, cut).close()
    cut.bury()
    check_cut_off(path, outside)
    with program(path, outside, Cut()) as ledger:
        check_end(ledger, outside)


def matters_after(step: str) -> bool:
    """Inside a transaction, just after one statement is just before the next."""
    return step in {"send", "COMMIT"} or step.startswith(("CREATE", "INSERT INTO [_sqlite", "PRAGMA"))


def test_an_undisturbed_run_meets_every_verdict(folder: Path) -> None:
    outside = Outside()
    with program(folder / "ledger.db", outside, Cut()) as ledger:
        assert set(outside.sent.values()) == {"created", "refused", "rejected", "paused", "in_doubt"}
        assert {row["state"] for row in rows(ledger, "SELECT * FROM batches")} > {"landed", "absent"}
        check_end(ledger, outside)
    again = len(outside.sent)
    with program(folder / "ledger.db", outside, Cut()) as ledger:
        check_end(ledger, outside)
    assert len(outside.sent) == again, "run again, it does nothing"


STRIDE = sized(13, 1, 1)
"""Everyday at every thirteenth step, or at every single one when more is asked for."""
PARTS = 3


def cut_at_each(steps: list[str], folder: Path, *, numbers: range, made: Path | None = None) -> None:
    for number in numbers:
        step = steps[number - 1]
        if step.lstrip().startswith(("SELECT", "ROLLBACK")) or step == "BEGIN":
            continue  # it changes nothing: to die here is to die before the next step
        for after in (False, True) if matters_after(step) else (False,):
            path = folder / f"{number}-{after}.db"
            try:
                cut_and_finish(copied(made, path) if made else path, number, after=after)
            except Exception as error:
                raise AssertionError(f"killed {'after' if after else 'before'} step {number}: {step}") from error


def test_killed_while_the_ledger_is_made(folder: Path) -> None:
    cut = Cut()
    Ledger(folder / "whole.db", own=True, connector=cut.connect).close()
    assert len(cut.steps) > 30
    cut_at_each(cut.steps, folder, numbers=range(1, len(cut.steps) + 1, STRIDE))


@pytest.mark.parametrize("part", range(PARTS))
def test_killed_at_steps_all_over(folder: Path, part: int) -> None:
    made = folder / "made.db"
    Ledger(made, own=True).close()
    steps = steps_of(copied(made, folder / "whole.db"))
    assert steps.count("send") > 10
    cut_at_each(steps, folder, numbers=range(1 + part * STRIDE, len(steps) + 1, PARTS * STRIDE), made=made)


def a_queue_each(path: Path) -> None:
    """A ledger with records for every word: drifted, rejected, unfit, held, and two of a batch in doubt."""
    with Ledger(path, own=True, clock=FakeClock(), connector=unsynced) as ledger:
        stream = register(ledger)
        sent: tuple[tuple[Verdict, str], ...] = (("created", "ab"), ("rejected", "c"), ("in_doubt", "de"))
        for verdict, ids in sent:
            pending(ledger, stream, *ids)
            claimed = claim(ledger)
            ledger.verdicts.conclude(claimed.batch, verdict, slot=claimed.slot)
        later = [reading(each, "b", mapping=stream.mapping, modified="2026-02-02T00:00:00.000000Z") for each in "ab"]
        commit(ledger, stream, [*later, reading("f", mapping=stream.mapping, fit="unfit")])
        pending(ledger, stream, "g", "h")
        with ledger.file.write() as connection:
            connection.execute("UPDATE records SET state = 'held' WHERE state = 'pending'")


def everything(ledger: Ledger) -> list[list[dict[str, object]]]:
    tables = ("records", "batches", "deliveries")
    return [rows(ledger, f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables]


SAID: dict[str, Callable[[Ledger, list[int]], object]] = {
    "retry": lambda ledger, keys: ledger.queues.retry(keys),
    "drop": lambda ledger, keys: ledger.queues.drop(keys),
    "approve": lambda ledger, keys: ledger.queues.approve(keys),
    "discard": lambda ledger, keys: ledger.queues.discard(keys),
    "acknowledge": lambda ledger, keys: ledger.queues.acknowledge(dict.fromkeys(keys, b"b")),
    "resend": lambda ledger, keys: ledger.queues.resend(keys),
    "landed": lambda ledger, _: ledger.verdicts.resolve(doubtful(ledger), landed=True, note="n"),
    "one absent": lambda ledger, _: ledger.verdicts.resolve(doubtful(ledger), landed=False, note="n", positions=[1]),
}


def doubtful(ledger: Ledger) -> str:
    return next((str(each["name"]) for each in ledger.verdicts.in_doubt()), "none any more")


@pytest.mark.parametrize("word", SAID)
def test_a_persons_word_that_is_cut_off_is_given_whole_or_not_at_all(folder: Path, word: str) -> None:
    """And said again it ends as it would have."""
    made = folder / "made.db"
    a_queue_each(made)

    def say(path: Path, cut: Cut) -> list[list[dict[str, object]]]:
        with Ledger(path, clock=FakeClock(), connector=cut.connect) as ledger:
            keys = [int(str(row["key"])) for row in rows(ledger)]
            cut.steps.append("said")
            SAID[word](ledger, keys)
            return everything(ledger)

    undisturbed, before = Cut(), Ledger(made, connector=unsynced)
    after = say(copied(made, folder / "whole.db"), undisturbed)
    ends = [everything(before), after]
    before.close()
    assert ends[0] != ends[1]
    for number in range(undisturbed.steps.index("said") + 2, len(undisturbed.steps) + 1):
        cut, path = Cut(number), copied(made, folder / f"{number}.db")
        with pytest.raises(Killed):
            say(path, cut)
        cut.bury()
        with Ledger(path, connector=unsynced) as ledger:
            assert everything(ledger) in ends
        assert say(path, Cut()) == after


def run_and_die(place: Path, at: int, *, after: bool) -> int:
    """Run to the step whose end is the end of this process."""
    cut = Cut(at, after=after, die=lambda: os._exit(9))
    program(place / "ledger.db", Outside(place / "outside.log"), cut)
    return 0


def test_killed_for_real(folder: Path) -> None:
    steps = steps_of(folder / "whole.db")
    sends = [number for number, step in enumerate(steps, 1) if step == "send"]
    commits = [number for number, step in enumerate(steps, 1) if step == "COMMIT"]
    chosen = [
        (20, "before"),
        (sends[0], "before"),
        (sends[0], "after"),
        (sends[-1], "after"),
        (commits[len(commits) // 2], "before"),
        (commits[len(commits) // 2], "after"),
    ]
    for at, when in chosen:
        place = folder / f"real-{at}-{when}"
        place.mkdir()
        assert run_forked(partial(run_and_die, place, at, after=when == "after")) == 9
        outside = Outside(place / "outside.log")
        check_cut_off(place / "ledger.db", outside)
        with program(place / "ledger.db", outside, Cut()) as ledger:
            check_end(ledger, outside)
