"""Shows a round: while it runs, and its result as figures that add up, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from state.ledger import Ledger
from sync.config.ages import near_ends
from sync.config.schema import Workspace
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

if TYPE_CHECKING:  # a round without a terminal does without them
    from rich.console import Console, RenderableType


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


# ---- while it runs: a panel on a terminal; log lines appear above it


REFRESH_SECONDS = 0.5
WIDTH = 72


@dataclass(frozen=True, slots=True)
class RoundProgress:
    """The progress of a round. `left` is the time in seconds that the pending leads need at the allowed rate."""

    totals: Mapping[str, int]
    seconds: float
    in_flight: int
    left: float
    rests: Mapping[str, str]


def seconds_left(pending: Mapping[str, int], workspaces: Mapping[str, Workspace]) -> float:
    """Return the seconds that the slowest workspace needs for its pending leads, in full batches at its limit."""
    return max((pending[name] / each.leads_per_second for name, each in workspaces.items()), default=0.0)


def panel(moment: RoundProgress, width: int = WIDTH) -> RenderableType:
    """Return a few lines with the same figures as the summary."""
    from rich.panel import Panel
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    totals = moment.totals
    done = totals["queued"] - totals["pending"]
    body = Table.grid(padding=(0, 2))
    body.add_column(style="dim")
    body.add_column()
    body.add_row("read", f"{number(totals['read'])}, {number(totals['new'])} of them new")
    body.add_row("sent", f"{number(totals['sent'])} of {number(totals['queued'])} in {_requests(moment)}")
    body.add_row("", ProgressBar(total=max(totals["queued"], 1), completed=done, width=44))
    pending = f"{number(totals['pending'])}{_left(moment)}"
    body.add_row("pending", pending)
    if totals["in_doubt"]:
        body.add_row("in doubt", Text(number(totals["in_doubt"]), "bold red"))
    for name, why in moment.rests.items():
        body.add_row("rests", Text(f"{name} ({why})", "yellow"))
    elapsed = format_duration(float(int(moment.seconds)))
    title = "closingdealz-sync once"
    return Panel(body, title=title, title_align="left", subtitle=elapsed, subtitle_align="right", width=width)


def _requests(moment: RoundProgress) -> str:
    flying = f", {moment.in_flight} on the way" if moment.in_flight else ""
    return count(moment.totals["requests"], "request") + flying


def _left(moment: RoundProgress) -> str:
    if not moment.totals["pending"]:
        return ""
    return f", at least {format_duration(max(moment.left, 1.0))} at the allowed rate"


class Progress:
    """A panel that follows an engine. It is removed when the round is over, so that the summary stands alone.

    Pass `show` to `Round.run` as its tick. While the panel is open, what is written to sys.stderr appears above it.
    """

    def __init__(self, console: Console, engine: Engine) -> None:
        from rich.live import Live

        self._engine = engine
        self._clock = engine.ledger.clock
        self._began = self._clock.boot()
        self._shown = 0.0
        self._live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False)

    def __enter__(self) -> Progress:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, engine: Engine) -> None:
        """Redraw the panel, at most twice a second."""
        now = self._clock.boot()
        if now - self._shown >= REFRESH_SECONDS:
            self._shown = now
            # narrower than the terminal: the ^C that it echoes must not begin a line of its own
            width = min(WIDTH, self._live.console.width - 4)
            self._live.update(panel(self._moment(engine, now), width), refresh=True)

    def _moment(self, engine: Engine, now: float) -> RoundProgress:
        workspaces = engine.plan.config.workspaces
        pending = {name: engine.ledger.outbox.pending(name) for name in workspaces}
        return RoundProgress(
            totals=engine.tally.snapshot(),
            seconds=now - self._began,
            in_flight=engine.in_flight,
            left=seconds_left(pending, workspaces),
            rests={name: worker.pace.rest for name, worker in engine.workers.items() if worker.pace.rest},
        )
