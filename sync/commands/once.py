"""`closingdealz-sync once`: polls every source once, delivers what is due, and prints the figures."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TextIO, cast

import click

from sync.commands.click_options import config_option, json_option
from sync.commands.loading import load
from sync.commands.output import print_json, print_lines

if TYPE_CHECKING:  # --help does without them
    from sync.config.schema import Config
    from sync.engine.engine import Engine
    from sync.engine.round import Round, Summary
    from sync.views.round_report import RoundReport


@click.command()
@click.option("--max", "most", type=click.IntRange(min=1), metavar="N", help="Send at most N leads, then stop.")
@click.option("-q", "--quiet", is_flag=True, help="Print only what needs attention.")
@json_option
@click.argument("streams", nargs=-1, metavar="[STREAM]…")
@config_option
def once(most: int | None, quiet: bool, as_json: bool, streams: tuple[str, ...], config: Path | None) -> int:
    """Poll every source once, or only each STREAM (SOURCE.STREAM or SOURCE), deliver what is due, and stop.

    The log goes to stderr, the summary to stdout. Ctrl-C ends the round cleanly: requests under way are finished.

    Exit code: 0 done, 65 something needs a person, 75 try again later (or interrupted, or another process has
    the ledger), 77 credentials or the plan.
    """
    from sync.commands.choose import choose_streams
    from sync.service.maintenance import say_warnings
    from sync.views.phrases import program

    loaded = load(config)
    chosen = choose_streams(loaded, streams)
    _configure_log(loaded, quiet=quiet)
    say_warnings(loaded)
    report = _round(loaded, chosen, most, shows=sys.stderr.isatty() and not quiet)
    _print(report, program(config), as_json=as_json, quiet=quiet)
    return report.exit_code


def _configure_log(config: Config, *, quiet: bool) -> None:
    """Configure the log; on a terminal the panel shows progress, so only warnings are logged."""
    from sync import log

    level = config.log.level
    if level in ("debug", "info") and (quiet or sys.stderr.isatty()):
        level = "warning"
    log.configure(level, config.log.format, cast("TextIO", _Stderr()))


class _Stderr:
    """Whatever sys.stderr is when a line is written: the panel replaces it while it is shown."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def isatty(self) -> bool:
        return sys.stderr.isatty()


def _round(config: Config, streams: list[str], most: int | None, *, shows: bool) -> RoundReport:
    from sync.engine.ledger_opening import own_ledger
    from sync.engine.round import Round
    from sync.service import notices
    from sync.shared.errors import ConfigError, LedgerUntrusted
    from sync.views.round_report import report_of

    with own_ledger(config) as ledger:
        try:
            round_ = Round(config, ledger, most=most)
        # kept in the ledger, so that `status` shows why no round could begin
        except (ConfigError, LedgerUntrusted) as error:
            notices.could_not_begin(config, ledger, error)
            raise
        summary = _run(round_, streams, shows=shows)
        return report_of(summary, round_.engine, ledger, most=most)


def _run(round_: Round, streams: list[str], *, shows: bool) -> Summary:
    with _interruptible(round_) as look:
        if not shows:
            return round_.run(streams, tick=look)

        from rich.console import Console

        from sync.views.round_report import Progress

        with Progress(Console(stderr=True), round_.engine) as progress:

            def tick(engine: Engine) -> None:
                look(engine)
                progress.show(engine)

            return round_.run(streams, tick=tick)


@contextmanager
def _interruptible(round_: Round) -> Iterator[Callable[[Engine], None]]:
    """Let SIGINT and SIGTERM end the round in order; a second signal does not wait for requests in flight.

    The handlers only count: the round is interrupted at its next tick, when its own thread holds no lock.
    """
    received: list[int] = []

    def handler(signum: int, _frame: FrameType | None) -> None:
        received.append(signum)

    def look(engine: Engine) -> None:
        if len(received) > 1:
            raise click.Abort
        if received and not engine.is_stopping:
            # not click.echo: it would write past the panel that stands in for sys.stderr
            print("stopping: requests under way are finished first", file=sys.stderr)
            round_.interrupt()

    # Put back at the end: whoever calls this as a library has handlers of their own.
    before = {each: signal.signal(each, handler) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield look
    finally:
        for each, old in before.items():
            signal.signal(each, old)


def _print(report: RoundReport, program: str, *, as_json: bool, quiet: bool) -> None:
    from sync.views.phrases import wrapped
    from sync.views.round_report import report_as_json, report_as_lines, troubles

    if as_json:
        print_json(report_as_json(report))
        return
    lines = troubles(report, program)[1:] if quiet else report_as_lines(report, program)
    print_lines(wrapped(lines, shutil.get_terminal_size().columns) if sys.stdout.isatty() else lines)
