"""The command `selftest`: proves on this machine that nothing is lost and nothing is sent twice."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sync.commands.click_options import json_option

if TYPE_CHECKING:  # --help does without them
    from sync.trial.sandbox.running import RunningSandbox
    from sync.trial.selftest.trial import Trial, TrialResult


EXIT_BROKEN = 1
AGAIN = "closingdealz-sync selftest crash --steps 0 --schedules 1 --seed SEED --keep DIR"


@click.group()
def selftest() -> None:
    """Prove on this machine that the program keeps its promise."""


@selftest.command()
@click.option(
    "--steps",
    type=click.IntRange(min=0),
    default=40,
    show_default=True,
    metavar="N",
    help="Kill it around each request and around N steps, evenly spread (a large number: every step), and tamper once "
    "with each of its files in each way; 0: none of these.",
)
@click.option(
    "--schedules",
    type=click.IntRange(min=0),
    default=40,
    show_default=True,
    metavar="N",
    help="Run N more trials with repeated random kills, server failures and all the rest.",
)
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="The first random schedule.")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Run in DIR, a new folder, and keep everything there.",
)
@json_option
def crash(*, steps: int, schedules: int, seed: int, keep: Path | None, as_json: bool) -> int:
    """Kill the daemon at every step and at random, and check that nothing is lost or sent twice.

    It runs in a scratch folder against the built-in sandbox, without disturbing anything else; nothing leaves this
    machine. The server fails on purpose, the disk is full at times, the clock jumps by hours while the daemon runs,
    the ledger is lost and rebuilt. Its files are tampered with, before a process starts and while it runs: the lock is
    removed and a second daemon started, ledger and receipts are replaced by older copies, the end of the receipts is
    torn off; where it refuses to go on, its own advice is followed. In the end the source is compared with what the
    server created.

    Exit code: 0 the promise holds, 1 it is broken.
    """
    began = time.monotonic()
    with _folder(keep) as folder:
        done = _run(folder, steps, range(seed, seed + schedules), _Counter(sys.stderr.isatty()))
    if as_json:
        seconds = round(time.monotonic() - began, 1)
        click.echo(json.dumps({**_as_json(done), "seconds": seconds}, indent=2, ensure_ascii=False))
    else:
        for line in _as_lines(done, AGAIN):
            click.echo(line)
    return 0 if done.holds else EXIT_BROKEN


def _run(folder: Path, steps: int, seeds: range, show: Callable[[str], None]) -> SelftestReport:
    from sync.trial.sandbox.running import start
    from sync.trial.sandbox.settings import SandboxOptions
    from sync.trial.selftest.trial import run
    from sync.trial.surroundings import without_proxies

    report = SelftestReport()
    with without_proxies(), start(SandboxOptions(port=0, limit=100_000)) as sandbox:
        for number, trial in enumerate(_trials(folder, sandbox, steps, seeds)):
            show(trial.name)
            report.add(run(trial, folder / f"{number}", sandbox))
    show("")
    return report


def _trials(folder: Path, sandbox: RunningSandbox, steps: int, seeds: range) -> Iterator[Trial]:
    from sync.trial.selftest.trial import at_each_send, at_each_step, at_files, at_random, run, undisturbed

    if steps:
        count = run(undisturbed(), folder / "undisturbed", sandbox).steps
        wanted = min(steps, count)
        yield from at_each_send()
        yield from at_files()
        yield from at_each_step([1 + index * count // wanted for index in range(wanted)])
    yield from (at_random(seed) for seed in seeds)


class _Counter:
    """Shows the trial under way on one line of a terminal, overwritten each time."""

    def __init__(self, shows: bool) -> None:
        self._shows = shows
        self._n = 0

    def __call__(self, name: str) -> None:
        if self._shows:
            self._n += bool(name)
            text = f"trial {self._n:,}: {name}" if name else ""
            sys.stderr.write(f"\r\033[2K{text}")
            sys.stderr.flush()


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="closingdealz-selftest-") as scratch:
            yield Path(scratch)
        return
    try:
        keep.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise click.UsageError(f"{keep} exists already and was left as it is: name a new folder.") from None
    except OSError as error:
        raise click.FileError(str(keep), error.strerror or "cannot be made") from error
    yield keep.absolute()


# ---- the sums of all trials, for people and as JSON


@dataclass(slots=True)
class SelftestReport:
    """Sums over all trials; `broken` names those in which the promise was not kept."""

    trials: int = 0
    lost: int = 0
    twice: int = 0
    in_doubt: int = 0
    landed: int = 0
    wrong_doubts: int = 0
    claimed: int = 0
    leaks: int = 0
    records: int = 0
    requests: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def add(self, verdict: TrialResult) -> None:
        truth = verdict.truth
        self.trials += 1
        self.lost += len(truth.lost)
        self.twice += len(truth.twice)
        self.wrong_doubts += len(truth.wrong_doubts)
        self.claimed += len(truth.claimed)
        self.leaks += len(truth.leaks)
        self.in_doubt += truth.in_doubt
        self.landed += truth.landed
        self.records += truth.records
        self.requests += truth.requests
        self.ends.update(verdict.ends)
        self.faults.update(truth.faults)
        if not verdict.holds:
            self.broken.append(verdict.trial.name)

    @property
    def holds(self) -> bool:
        return not self.broken


def _as_json(report: SelftestReport) -> dict[str, Any]:
    """Return the figures with every key present, even if its figure is 0."""
    return {
        "trials": report.trials,
        "lives": dict(report.ends),
        "records": report.records,
        "requests": report.requests,
        "faults": dict(report.faults),
        "lost": report.lost,
        "created_twice": report.twice,
        "in_doubt": report.in_doubt,
        "in_doubt_landed": report.landed,
        "doubt_astray": report.wrong_doubts,
        "claimed": report.claimed,
        "values_told": report.leaks,
        "broken": list(report.broken),
        "holds": report.holds,
    }


def _as_lines(report: SelftestReport, again: str) -> list[str]:
    """Return lines with the figures, then the verdict; `again` is the command that repeats one random trial."""
    from sync.views.phrases import count, number

    ends = report.ends
    faults = ", ".join(f"{name} {number(n)}" for name, n in sorted(report.faults.items())) or "none"
    killed, full, done = (number(ends[end]) for end in ("killed", "full", "done"))
    needless = f"{count(report.wrong_doubts, 'batch', 'batches')} in doubt that need not be, or should be and are not"
    refused = f", {number(ends['refused'])} because of its files" if ends["refused"] else ""
    peaceful = f"{full} ended by a full disk{refused}, {done} stopped in peace"
    lines = [
        f"processes      {number(sum(ends.values()))}: {killed} killed, {peaceful}",
        f"the server     {count(report.requests, 'request')}; failures: {faults}",
        f"records        {number(report.records)}",
        f"lost           {number(report.lost)}",
        f"created twice  {number(report.twice)}",
        f"in doubt       {number(report.in_doubt)}, of which {number(report.landed)} had arrived; {needless}",
    ]
    if report.claimed:
        lines.append(f"claimed        {number(report.claimed)} called delivered that never arrived")
    if report.leaks:
        lines.append(f"told           values of records in {count(report.leaks, 'log or receipt', 'logs or receipts')}")
    hung = [f"{number(ends[end])} {end}" for end in ("hung", "fault") if ends[end]]
    lines += [f"defects        processes: {', '.join(hung)}"] if hung else []
    if report.holds:
        return [*lines, "", f"the promise holds in all {number(report.trials)} trials"]
    names = ", ".join(report.broken[:10])
    lines += ["", f"the promise is BROKEN in {count(len(report.broken), 'trial')}: {names}"]
    return [*lines, f"a trial of a seed again, its folder kept: {again}"]
