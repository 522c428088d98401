"""Live progress of a round on a terminal; log lines appear above it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sync.config.schema import Workspace
from sync.engine.engine import Engine
from sync.shared.durations import format_duration
from sync.views.phrases import count, number

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
