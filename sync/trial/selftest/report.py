"""Adds up the results of trials, for people and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sync.trial.selftest.trial import TrialResult
from sync.views.phrases import count, number


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


def as_json(report: SelftestReport) -> dict[str, Any]:
    """Return the figures with every key present, also where it is 0."""
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


def as_lines(report: SelftestReport, again: str) -> list[str]:
    """Return lines with the figures, then the verdict; `again` is the command that repeats one random trial."""
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
    return [*lines, "", *_broken(report.broken, again)]


def _broken(names: Iterable[str], again: str) -> list[str]:
    shown = list(names)
    lines = [f"the promise is BROKEN in {count(len(shown), 'trial')}: {', '.join(shown[:10])}"]
    return [*lines, f"a trial of a seed again, its folder kept: {again}"]
