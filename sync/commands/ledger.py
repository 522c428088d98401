"""`closingdealz-sync ledger`: verify, back up, rebuild, create, rename a stream."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sync.commands.asking import ask, ask_on_terminal
from sync.commands.click_options import config_option, json_option, yes_option
from sync.commands.ledger_import import import_
from sync.commands.loading import load, opened
from sync.commands.output import print_json, print_lines
from sync.shared.errors import LedgerBusy, LedgerError

if TYPE_CHECKING:  # --help does without them
    from state.ledger import Ledger
    from state.streams import DeclaredStream
    from sync.config.schema import Config

_EXIT_DAMAGED = 74


@click.group()
@config_option
def ledger(config: Path | None) -> None:
    """Verify, back up, rebuild or create the ledger, rename a stream, import what exists."""
    del config  # the subcommands find it


ledger.add_command(import_)


@ledger.command("rename-stream")
@click.argument("old")
@click.argument("new")
@yes_option
@config_option
def rename_stream(old: str, new: str, *, yes: bool, config: Path | None) -> None:
    """Let what the ledger knows as OLD be the stream NEW of the configuration, as it is declared there now.

    For a stream that was renamed, or whose database, table or workspace was moved while its records kept their
    ids. Nothing is sent again, so it asks first. The daemon must not be running.
    """
    from state.matching.foreign import Foreign
    from sync.engine.ledger_opening import open_ledger
    from sync.views.phrases import count, program

    loaded = load(config)
    declared = _declared(loaded, new)
    # opened as its owner below, which would found a new one
    _must_exist(loaded)
    with open_ledger(loaded, own=True) as kept:
        row = kept.streams.all().get(old)
        counts = kept.records.counts()
        records = sum(n for (stream, _), n in counts.items() if row and stream == row.id)
        if row is not None and not yes:
            what = f"{count(records, 'record')} of {old} will count as records of {new}: what was sent is not sent"
            # The next poll judges the new stream's records by the old one's history: a wrong name keeps leads back, or
            # sends changes of others under `on_change = "resend"`.
            ask(f"{what} again, so they must be the same records with the same ids.", "Are they?")
        kept.streams.rename(old, declared)
        moved = row is not None and row.workspace != declared.workspace
        imported = Foreign(kept.file).count(row.workspace) if row is not None and moved else 0
    name = f"{old} is now {new}" if old != new else f"{new} is now what the configuration declares"
    click.echo(f"{name}: {count(records, 'record')} with everything known about them; this sends nothing again")
    if row is not None and imported:
        click.echo(
            f"what was imported for workspace {row.workspace} ({count(imported, 'value')}) does not count for"
            f" {declared.workspace}. If it is the same one under a new name, import it again before the next start:"
            f" {program(config)} ledger import --csv FILE --workspace {declared.workspace}"
        )


@ledger.command()
@config_option
def create(config: Path | None) -> None:
    """Make a new ledger although the configuration has had one before.

    The new one knows nothing of what was sent: under `start = "all"` the next start sends everything, again. Not needed
    for a first start: `once` and `run` make the first ledger themselves.
    """
    from sync.engine.ledger_opening import create_ledger

    loaded = load(config)
    if loaded.ledger_path.exists():
        raise click.UsageError(f"There is a ledger already: {loaded.ledger_path}")
    # Only on request: a start that finds its ledger missing refuses, because a new one sends everything again.
    create_ledger(loaded).close()
    click.echo(f"made {loaded.ledger_path}: it knows nothing of what was sent before")


@ledger.command()
@json_option
@config_option
def verify(as_json: bool, config: Path | None) -> int:
    """Read the whole ledger and its receipts and report whether they are sound and agree. Works beside the daemon.

    Exit code: 0 sound, 74 damaged.
    """
    from sync.views.soundness import look

    with opened(config) as (_, kept):
        found = look(kept)
        if not found.faults:
            _settle(kept)
    if as_json:
        document = {"sound": not found.faults, "faults": found.faults, "cure": found.cure or None, "rows": found.rows}
        print_json(document)
        return _EXIT_DAMAGED if found.faults else 0
    width = max(map(len, found.rows), default=0)
    for table, n in found.rows.items():
        click.echo(f"{table:<{width}}{n:>12,}")
    for fault in found.faults:
        click.secho(f"fault: {fault}", fg="red")
    if found.faults:
        click.echo(found.cure)
        return _EXIT_DAMAGED
    click.echo("the ledger is sound, and its receipts agree with it")
    return 0


def _settle(kept: Ledger) -> None:
    """Clear the incidents that `status` shows of receipts and key file, now that all is sound."""
    with suppress(LedgerBusy, LedgerError):  # on a disk that is read-only it stays
        kept.incidents.over("receipts")
        kept.incidents.over("ledger")


@ledger.command()
@click.option("--accept-loss", is_flag=True, help="Continue without the damaged receipts, which are then lost.")
@yes_option
@json_option
@config_option
def rebuild(*, accept_loss: bool, yes: bool, as_json: bool, config: Path | None) -> None:
    """Make a ledger from its receipts, or bring an older one up to date with them.

    For a ledger that was lost, damaged, or restored from a backup. Nothing is sent, and nothing that was sent will be
    sent again. An existing ledger is kept as a copy. --accept-loss cannot be undone once something is sent, so it
    asks first. The daemon must not be running.
    """
    from state.rebuilding.rebuild import rebuild as rebuild_ledger
    from sync.shared.clock import SystemClock
    from sync.views.phrases import program
    from sync.views.soundness import rebuilt_as_json, rebuilt_as_lines

    loaded = load(config)
    if not yes and accept_loss:
        ask("Damaged receipts are given up: what only they record may be sent again.", "Go on?")
    elif not yes and loaded.ledger_path.exists():
        what = f"The ledger {loaded.ledger_path} is kept as a copy; the new one agrees with its receipts."
        ask_on_terminal(what, "Go on?")
    done = rebuild_ledger(
        loaded.ledger_path,
        clock=SystemClock(),
        receipts_copy=loaded.receipts_copy_path,
        accept_loss=accept_loss,
    )
    if as_json:
        print_json(rebuilt_as_json(done))
        return
    print_lines(rebuilt_as_lines(done, program(config)))


@ledger.command()
@click.argument("path", type=click.Path(path_type=Path), required=False)
@config_option
def backup(path: Path | None, config: Path | None) -> None:
    """Copy the ledger and its key file to PATH (a folder or a new file), while the daemon runs.

    Without PATH the copy is put beside the ledger, named after the time. An existing file is never overwritten.
    """
    from state.backups import back_up, backup_path

    with opened(config) as (_, kept):
        target = backup_path(kept, path)
        try:
            back_up(kept, target)
        except FileExistsError as error:
            raise click.UsageError(f"{error.filename} exists already and was left as it is.") from None
        except OSError as error:
            raise click.FileError(str(error.filename or target), error.strerror or "cannot be written") from error
    click.echo(f"copied to {target}, with its key in {target}.key; both are needed to restore it")


def _must_exist(config: Config) -> None:
    """Raise LedgerError where there is no ledger: opening it as its owner would create one."""
    from sync.engine.ledger_opening import open_ledger

    if not config.ledger_path.exists():
        open_ledger(config).close()


def _declared(config: Config, name: str) -> DeclaredStream:
    """Return the stream as the configuration declares it; needs no API key. Raises click.UsageError."""
    from sync.config.mappings import compile_all
    from sync.engine.compiled_config import declare
    from sync.engine.stream_specs import stream_specs
    from sync.views.phrases import did_you_mean
    from sync.views.scope import configured_streams

    known = configured_streams(config)
    if name not in known:
        raise click.UsageError(f"There is no stream {name!r} in {config.path}.{did_you_mean(name, known)}")
    mappings = compile_all(config)
    return declare(config, name, stream_specs(config, mappings)[name], mappings[name])
