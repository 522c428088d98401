"""The command line `closingdealz-sync`: finds the subcommand, runs it, and turns what it raises into text and an exit
code.

Imports nothing heavy: a subcommand's module is imported only when that subcommand is asked for.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
import time
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn, cast

import click

from sync import __version__
from sync.commands.click_options import config_option, given_config
from sync.foreign_files import EXIT_INSTALLATION, foreign_file
from sync.shared.errors import ConfigError, Problem, SyncError

PROGRAM = "closingdealz-sync"
DEBUG_VARIABLE = "CLOSINGDEALZ_SYNC_DEBUG"

_OBJECTS_BETWEEN_COLLECTIONS = 20_000

EXIT_USAGE = 64
EXIT_BUG = 70
EXIT_IO = 74
EXIT_INTERRUPTED = 130
EXIT_READER_LEFT = 1  # as click has it

COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("sync.commands.init:init", "Write a configuration file to start from."),
    "check": (
        "sync.commands.check:check",
        "Check file, secrets, sources and the connection to ClosingDealz.",
    ),
    "preview": ("sync.commands.preview:preview", "Show the leads that would be sent, without sending any."),
    "discover": ("sync.commands.discover:discover", "Show what a source has: its objects, or the fields of one."),
    "once": ("sync.commands.once:once", "Poll every source once, deliver, and stop."),
    "run": ("sync.commands.run:run", "Poll and deliver until stopped: the daemon."),
    "poke": ("sync.commands.poke:poke", "Let the running daemon poll now."),
    "status": ("sync.commands.status:status", "Show what is read, waiting, delivered or needs a person."),
    "doubt": ("sync.commands.doubt:doubt", "Settle batches whose outcome is unknown."),
    "quarantine": (
        "sync.commands.queue_commands:quarantine",
        "Look at records that cannot be sent; retry or drop them.",
    ),
    "held": ("sync.commands.queue_commands:held", "Look at leads that wait for an approval; approve or discard them."),
    "drift": (
        "sync.commands.queue_commands:drift",
        "Look at records that changed after their lead was created; settle them.",
    ),
    "orphaned": (
        "sync.commands.queue_commands:orphaned",
        "Look at leads whose record was filtered out or deleted later.",
    ),
    "reread": ("sync.commands.reread:reread", "Read again the records that `where` left out."),
    "sandbox": ("sync.trial.sandbox.command:sandbox", "Serve a ClosingDealz API on this machine to try things with."),
    "demo": ("sync.trial.demo.command:demo", "Show a whole run with a sample database and the sandbox."),
    "send-test": ("sync.commands.send_test:send_test", "Send one recognisable lead to see how it arrives."),
    "ledger": ("sync.commands.ledger:ledger", "Maintain the ledger: what was read and sent."),
    "selftest": (
        "sync.trial.selftest.command:selftest",
        "Kill the program repeatedly and check that it keeps its promise.",
    ),
    "paths": ("sync.commands.paths:paths", "Allow the service to write to folders of [ledger] outside its own."),
    "completion": ("sync.commands.completion:completion", "Print a script that completes commands in a shell."),
    "docs": ("sync.commands.docs:docs", "Show a page of the documentation, or list the pages."),
    "manual": ("sync.commands.manual:manual", "Print the man page."),
}
"""Each subcommand: its `module:object`, and its line in the help."""


class Program(click.Group):
    """A group whose subcommands are imported when asked for, and whose failures follow the program's exit codes.

    A subcommand that returns a whole number ends the program with it; any other result is success.
    """

    config: Path | None = None
    """The file that -c names in the command line at work, for the commands in hints."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        finally:
            self.config = given_config(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        return cast("click.Command", getattr(import_module(module), name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] == "help":  # as many programs have it
            args = [*args[1:], "--help"]
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"No such command {args[0]!r}.{_meant(args[0])}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        # Not by click's group, which would import every command's module for its help text.
        names = [CompletionItem(name, help=text) for name, (_, text) in COMMANDS.items() if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run the command line and exit the process with one of the program's exit codes."""
        del standalone_mode  # there is no other way to run it
        words = list(sys.argv[1:] if args is None else args)
        self.config = None
        try:
            _refuse_clock()
            # A page of records is thousands of objects at once, and none of them garbage: at Python's 700 the collector
            # would look through each page dozens of times.
            gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
            result = super().main(words, prog_name or PROGRAM, complete_var, standalone_mode=False, **extra)
            # Here a full disk or a reader that left still becomes an exit code; at the interpreter's end it would not.
            sys.stdout.flush()
        except Exception as error:  # noqa: BLE001  # the boundary of the program: everything becomes an exit code
            debug = "--debug" in words or bool(os.environ.get(DEBUG_VARIABLE))
            sys.exit(_report(error, debug=debug, config=self.config))
        sys.exit(result if isinstance(result, int) else 0)


def _refuse_clock() -> None:
    """Raise ConfigError where the wall clock is past what Python can hold; before any import that asks for the time."""
    try:
        time.time()
    except OverflowError as error:
        what = "the clock shows a time after the year 2262, which this program cannot represent"
        raise ConfigError([Problem("this machine", what, "set it: `timedatectl` shows its present setting")]) from error


def _meant(word: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, COMMANDS, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def _report(error: Exception, *, debug: bool, config: Path | None) -> int:
    """Print on stderr what went wrong, and return its exit code. Its hints name the file that -c names, if any."""
    match error:
        case click.ClickException():
            error.show()
            return EXIT_USAGE if isinstance(error, click.UsageError) else EXIT_IO
        case click.Abort():
            return EXIT_INTERRUPTED
        case OSError(errno=errno.EPIPE):
            return _quiet()
        case OSError(errno=errno.ENOSPC | errno.EDQUOT | errno.EIO | errno.EROFS):
            _say(f"cannot be written: {error.strerror} (the output, the log, or a file)")
            return _quiet(EXIT_IO)
        case SyncError():
            if debug:
                traceback.print_exception(error)
            from sync.views.phrases import program, typed

            _say(typed(str(error), program(config)))
            return error.exit_code
    return _bug(error, debug=debug)


def _say(what: str) -> None:
    click.secho("error: ", fg="red", bold=True, nl=False, err=True)
    click.echo(what, err=True)


def _bug(error: Exception, *, debug: bool) -> int:
    """Report an unforeseen exception. Its text may hold personal data, so only --debug prints it."""
    if said := foreign_file():
        click.echo(said, err=True)
        return EXIT_INSTALLATION
    if debug:
        traceback.print_exception(error)
        return EXIT_BUG
    kind = type(error)
    _say(f"this is a defect of the program ({kind.__module__}.{kind.__qualname__})")
    click.echo(
        "  hint: run it again with --debug and report what it prints; read it first, because it may contain data",
        err=True,
    )
    return EXIT_BUG


def _quiet(code: int = EXIT_READER_LEFT) -> int:
    """Discard further output after the reader left: the interpreter would report it once more when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    return code


@click.group(PROGRAM, cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name=PROGRAM)
@click.option("--debug", is_flag=True, help="Show a traceback when the program fails.")
@config_option
def main(config: Path | None, debug: bool) -> None:
    """Feed ClosingDealz workspaces from databases and CRMs.

    Start with `init`, then `check`, `preview` and `once`; then keep `run` running.
    """
