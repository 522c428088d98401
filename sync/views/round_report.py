"""The result of one round as figures that add up: as text, and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from state.ledger import Ledger
from sync.config.ages import near_ends
from sync.delivery.pace import REST_HINTS, Pace
from sync.engine.engine import Engine
from sync.engine.round import Summary
from sync.events import PARTS
from sync.polling.turns import Failure
from sync.shared.durations import format_duration
from sync.views.needs import Needs, needs_as_json, needs_as_lines
from sync.views.phrases import count, joined, number, printable, typed
from sync.views.scope import scope_of
from sync.views.troubles import needs_of

EXIT_INTERRUPTED = 75

QUEUED_PARTS = ("sent", "pending", "in_doubt", "set_aside")


@dataclass(frozen=True, slots=True)
class RoundReport:
    """The result of one round. `totals` as in Tally.snapshot.

    `balanced`: the totals add up and agree with the ledger. `limited`: the round ended because --max was reached.
    """

    totals: Mapping[str, int]
    states: Mapping[str, int]
    seconds: float
    rests: Mapping[str, Pace]
    failures: Sequence[Failure]
    needs: Needs
    balanced: bool
    interrupted: bool
    limited: bool
    exit_code: int


def report_of(summary: Summary, engine: Engine, ledger: Ledger, *, most: int | None) -> RoundReport:
    """Compare what was counted during the round with what the ledger holds now. `most` is --max."""
    totals, config = summary.totals, engine.plan.config
    # counted anew from the ledger, independent of the tally that it checks
    pending = sum(ledger.outbox.pending(name) for name in config.workspaces)
    sent = totals["sent"] + totals["in_doubt"]
    return RoundReport(
        totals=totals,
        states=summary.states,
        seconds=summary.seconds,
        rests={name: engine.workers[name].pace for name in summary.rests},
        failures=summary.failures,
        needs=needs_of(ledger, scope_of(config, ledger), near_ends(config, ledger.clock.wall())),
        balanced=adds_up(totals) and totals["pending"] == pending,
        interrupted=summary.interrupted,
        limited=most is not None and sent >= most and totals["pending"] > 0,
        # first: an interrupted round says nothing final about sources or leads
        exit_code=EXIT_INTERRUPTED if summary.interrupted else summary.exit_code,
    )


def adds_up(totals: Mapping[str, int]) -> bool:
    """Return whether both sums hold and no part is negative."""
    read = totals["read"] == sum(totals[part] for part in PARTS)
    queued = totals["queued"] == sum(totals[part] for part in QUEUED_PARTS)
    return read and queued and min(totals.values()) >= 0


def report_as_json(report: RoundReport) -> dict[str, Any]:
    """Return the report as JSON; all states and all parts of `read` are always there."""
    return {
        **report.totals,
        "seconds": round(report.seconds, 3),
        "states": dict(report.states),
        "rests": {name: _rest_as_json(pace) for name, pace in report.rests.items()},
        "failures": [_failure_as_json(failure) for failure in report.failures],
        "needs_person": needs_as_json(report.needs),
        "interrupted": report.interrupted,
        "balanced": report.balanced,
        "exit_code": report.exit_code,
    }


def _rest_as_json(pace: Pace) -> dict[str, Any]:
    hint = REST_HINTS.get(pace.rest)
    return {"why": pace.rest, "cause": pace.cause, "wait_seconds": round(pace.wait, 1), "hint": hint}


def _failure_as_json(failure: Failure) -> dict[str, Any]:
    error = failure.error
    kind = type(error).__name__
    return {"stream": failure.stream, "kind": kind, "error": error.message, "hint": error.hint or None}


# ---- for people


def _lasted(seconds: float) -> str:
    return f"{seconds:.1f}s" if seconds < 10 else format_duration(seconds)


def report_as_lines(report: RoundReport, program: str) -> list[str]:
    """Return the two sums, then what went wrong with its cure, then what comes next."""
    return [
        *sums(report.totals),
        f"{'requests':<9}{number(report.totals['requests']):>9} in {_lasted(report.seconds)}",
        *troubles(report, program),
        *_next(report, program),
    ]


def sums(totals: Mapping[str, int]) -> list[str]:
    """Return such as `read 1,240 = 310 new + 900 unchanged + 30 filtered`, and the same for what was queued."""
    read = [(part, totals[part]) for part in PARTS if totals[part]]
    queued = [(part, totals[part]) for part in QUEUED_PARTS if totals[part] or part in {"sent", "pending"}]
    return [*_sum("read", totals["read"], read), *_sum("queued", totals["queued"], queued)]


def _sum(name: str, total: int, parts: Iterable[tuple[str, int]]) -> list[str]:
    """Return a sum in lines of at most 76 columns, the terms aligned."""
    head = f"{name:<9}{number(total):>9}"
    terms = [f"{number(n)} {part.replace('_', ' ')}" for part, n in parts]
    if not terms:
        return [head]
    lines, line = [], f"{head} = {terms[0]}"
    for term in terms[1:]:
        if len(line) + len(term) > 73:
            lines.append(line)
            line = " " * len(head)
        line += f" + {term}"
    return [*lines, line]


def troubles(report: RoundReport, program: str) -> list[str]:
    """Return what went wrong, each with its cure; empty where all went well."""
    lines: list[str] = []
    for failure in report.failures:
        lines += _trouble(
            f"{failure.stream} could not be read: {failure.error.message}", typed(failure.error.hint, program)
        )
    for name, pace in report.rests.items():
        when = f"it may be tried again in {format_duration(max(pace.wait, 1.0))}"
        lines += _trouble(f"workspace {name} rests: {printable(pace.cause)}; {when}", REST_HINTS.get(pace.rest, ""))
    if sending := report.states["sending"]:
        what = f"{count(sending, 'lead')} may still be on the wire of another process, which settles them by its answer"
        lines += _trouble(what, "what stays unanswered is settled by the next `once` or `run`")
    # failures and rests of this round are printed above, with its own causes
    needs = needs_as_lines(report.needs, program, reasons=False, without=("stream", "workspace"))
    if needs:
        lines += ["", "needs a person", *(f"  {line}" for line in needs)]
    if not report.balanced:
        what = "these figures do not agree with the ledger: something else settled records, or this is a defect"
        lines += _trouble(what, f"see what the ledger holds: {program} status")
    return lines


def _trouble(what: str, cure: str) -> list[str]:
    return ["", what, *([f"  {cure}"] if cure else [])]


def _next(report: RoundReport, program: str) -> list[str]:
    pending = report.totals["pending"]
    if report.interrupted:
        left = f"{count(pending, 'lead')} still pending; the next `once` or `run` goes on from here"
        return ["", f"interrupted: {left}"]
    if not report.limited:
        return []
    sent = count(report.totals["sent"], "lead")
    ways = joined([f"`{program} once`", f"`{program} run`"], "or")
    return [
        "",
        f"{sent} sent, as asked. Look at them in ClosingDealz,",
        f"then send the other {number(pending)}: {ways}",
    ]
