"""The self-test keeps its word: it holds for the program as it is, and sees what is wrong with one that is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from state.rebuilding.remembering import Remembering
from state.receipts.journal import Journal
from sync.delivery import client
from sync.delivery.outcome import Outcome
from sync.delivery.sender import Sender
from sync.log import emit
from sync.service.schedule import Schedule
from sync.trial.sandbox.running import RunningSandbox
from sync.trial.selftest.life import Life
from sync.trial.selftest.steps import NONE, Mishap
from sync.trial.selftest.trial import (
    Trial,
    TrialResult,
    at_each_send,
    at_each_step,
    at_files,
    at_random,
    run,
    undisturbed,
)
from tests.proof.harness import Ended, command
from tests.sizes import sized


@pytest.mark.parametrize("first", range(1, 1 + sized(3, 120, 1200), 3))
def test_random_schedules_of_kills_failures_full_disks_and_clocks(
    sandbox: RunningSandbox, tmp_path: Path, first: int
) -> None:
    """A few of the many that `selftest crash --schedules 2000` tries."""
    for seed in range(first, first + 3):
        verdict = run(at_random(seed), tmp_path / f"{seed}", sandbox)
        assert verdict.holds, verdict


@pytest.mark.parametrize("part", range(2))
def test_killed_at_steps_of_a_run(sandbox: RunningSandbox, tmp_path: Path, part: int) -> None:
    """The first steps open the ledger; most of what matters follows between the hundredth and the five hundredth."""
    for number, trial in enumerate(at_each_step(range(100 + part * 67, 500, sized(266, 8, 4)))):
        verdict = run(trial, tmp_path / f"{number}", sandbox)
        assert verdict.holds, verdict


@pytest.mark.parametrize("trial", [*at_files()][sized(1, 0, 0) :: sized(5, 1, 1)], ids=lambda trial: trial.name)
def test_files_that_are_removed_replaced_and_torn(sandbox: RunningSandbox, tmp_path: Path, trial: Trial) -> None:
    verdict = run(trial, tmp_path / "files", sandbox)
    assert verdict.holds, verdict


def test_an_undisturbed_run_meets_every_verdict(sandbox: RunningSandbox, tmp_path: Path) -> None:
    verdict = run(undisturbed(), tmp_path / "whole", sandbox)
    assert verdict.holds
    assert verdict.ends == {"done": 1}
    assert verdict.steps > 300
    assert set(verdict.truth.faults) >= {"429", "500", "503", "half", "refuse"}
    assert verdict.truth.in_doubt > 0


def test_a_machine_too_busy_to_answer_in_time_breaks_no_promise(sandbox: RunningSandbox, tmp_path: Path) -> None:
    sandbox.set_faults(latency="380ms-420ms")
    try:
        verdict = run(Trial("late", (), [range(1, 4)], "ok*"), tmp_path / "late", sandbox)
    finally:
        sandbox.set_faults(latency="0s")
    assert verdict.holds, verdict


def test_one_seed_is_one_schedule() -> None:
    assert at_random(7) == at_random(7)
    assert at_random(7) != at_random(8)


# -- a clock that is set while it lives


def back_and_forth(folder: Path, sandbox: RunningSandbox) -> TrialResult:
    """Set by hours at every few looks at it, each time further back; rows come when it has slept."""
    jumps = tuple((look, -3 * 3600.0) for look in range(1, 2000, 7))
    return run(Trial("set", [Life(clock_jumps=jumps, later=range(10, 13))], [range(1, 10)], "ok*"), folder, sandbox)


def test_a_clock_that_is_set_back_again_and_again_stops_no_poll(sandbox: RunningSandbox, tmp_path: Path) -> None:
    verdict = back_and_forth(tmp_path / "set", sandbox)
    assert verdict.holds, verdict
    assert verdict.truth.records == 12


# -- a program that is not as it should be


def test_it_sees_a_program_whose_polls_wait_for_a_clock_that_was_set_back(
    sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Schedule, "keep_time", lambda _: 0.0)
    monkeypatch.setattr("sync.trial.selftest.life.LONGEST_SECONDS", 4.0)
    verdict = back_and_forth(tmp_path / "set", sandbox)
    assert verdict.ends["hung"]
    assert not verdict.holds


def test_it_sees_a_program_that_goes_on_with_an_older_ledger(
    sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("state.receipts.opening.refuse_older", lambda *_, **__: None)
    (trial,) = (each for each in at_files() if each.name == "ledger replaced by another file, before")
    verdict = run(trial, tmp_path / "files", sandbox)
    assert verdict.truth.twice
    assert not verdict.holds


def one(folder: Path, sandbox: RunningSandbox, script: str = "ok*", *lives: Life) -> TrialResult:
    trial = Trial("one", lives, [range(1, 10)], script)
    return run(trial, folder / "one", sandbox)


def test_it_sees_a_program_that_retries_after_a_lost_answer(
    sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As every peer does."""
    monkeypatch.setattr(client, "of_failure", lambda *_, **__: Outcome("refused", "no answer"))
    verdict = one(tmp_path, sandbox, "ok,reset-after,ok*")
    assert verdict.truth.twice
    assert not verdict.holds


def test_it_sees_a_program_that_gives_up_after_a_lost_answer(
    sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "of_failure", lambda *_, **__: Outcome("created", "it will have arrived"))
    verdict = one(tmp_path, sandbox, "ok,reset-before,ok*")
    assert verdict.truth.lost == verdict.truth.claimed != []
    assert not verdict.holds


def test_it_sees_requests_without_receipts(
    sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Journal, "intents", lambda *_: None)
    verdict = one(tmp_path, sandbox)
    assert len(verdict.truth.wrong_doubts) >= 3
    assert not verdict.holds


def test_it_sees_doubt_where_there_need_be_none(
    sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.delivery.sender.of_answer", lambda *_, **__: Outcome("in_doubt", "who knows"))
    verdict = one(tmp_path, sandbox)
    assert len(verdict.truth.wrong_doubts) >= 3
    assert not verdict.holds


def test_it_sees_values_in_the_log(sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def say(_: Any, claim: Any, __: Any) -> None:
        emit("job_failed", job="x", error=claim.deliveries[0].payload.decode())

    monkeypatch.setattr(Sender, "say", say)
    verdict = one(tmp_path, sandbox)
    assert verdict.truth.leaks == ["events.jsonl"]
    assert not verdict.holds


def test_it_sees_a_program_that_dies_by_itself(
    sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Sender, "_body", defect)
    trial = Trial("one", [Life(kill_after=0.3)], [range(1, 10)], "ok*")
    monkeypatch.setattr("sync.trial.selftest.life.LONGEST_SECONDS", 2.0)
    assert not run(trial, tmp_path / "one", sandbox).holds


def test_a_kill_at_a_request_leaves_doubt_and_nothing_worse(sandbox: RunningSandbox, tmp_path: Path) -> None:
    """Before it began, nobody who comes later can know that it did not: its intent was written."""
    for number, trial in enumerate([*at_each_send()][: sized(4, 99, 99)]):
        verdict = run(trial, tmp_path / f"{number}", sandbox)
        assert verdict.holds, verdict
        assert verdict.ends["killed"] == 1, trial.name
        landed = trial.name.startswith("killed after request 1")
        assert verdict.truth.landed >= (3 if landed else 0)


# -- the ledger is lost


def losing(folder: Path, sandbox: RunningSandbox, mishap: Mishap) -> TrialResult:
    lives = [Life(), Life(loss=mishap)]
    return run(Trial("loss", lives, [range(1, 10), range(10, 13)], "ok,reset-after,ok*"), folder, sandbox)


@pytest.mark.parametrize("step", [0, *range(2, 60, sized(29, 2, 1))])
def test_a_ledger_that_was_lost_is_made_again_by_a_process_that_may_be_killed(
    sandbox: RunningSandbox, tmp_path: Path, step: int
) -> None:
    verdict = losing(tmp_path / "loss", sandbox, Mishap(step, "after"))
    assert verdict.holds, verdict
    assert verdict.truth.landed >= 3  # more where the machine was too busy to hear an answer


def test_it_sees_a_rebuilt_ledger_that_forgets(
    sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Remembering, "take", lambda *_: None)
    verdict = losing(tmp_path / "loss", sandbox, NONE)
    assert verdict.truth.twice
    assert not verdict.holds


# -- the command


def crash(*words: str) -> Ended:
    return command("selftest", "crash", *words, seconds=200)


def test_the_command_says_what_came_of_it(tmp_path: Path) -> None:
    done = crash("--steps", "0", "--schedules", "2", "--seed", "5", "--json", "--keep", str(tmp_path / "kept"))
    assert done.code == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["trials"], said["holds"], said["lost"], said["created_twice"]) == (2, True, 0, 0)
    assert said["records"] > 12
    assert (tmp_path / "kept" / "0" / "ledger.db").exists()
    assert crash("--keep", str(tmp_path / "kept")).code == 64


def test_the_command_says_it_for_people_too() -> None:
    done = crash("--steps", "0", "--schedules", "1")
    assert done.code == 0
    assert "the promise holds in all 1 trials" in done.stdout
    assert done.stderr == ""
