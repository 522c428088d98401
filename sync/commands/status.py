"""`closingdealz-sync status`: what needs a person, what is read, waiting and delivered."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sync.commands.click_options import all_option, config_option, json_option, scope_options
from sync.commands.output import print_json, print_lines
from sync.shared.errors import ConfigError, SyncError

if TYPE_CHECKING:  # --help does without them
    from sync.config.schema import Config
    from sync.views.overview import Overview

EXIT_NEEDS = 65
NARROW = 60
"""On a terminal with fewer columns, tables would break every word."""


@click.command()
@scope_options
@all_option
@click.option("--exit-code", is_flag=True, help="Exit with 65 if something needs a person.")
@json_option
@config_option
def status(
    *,
    workspaces: Sequence[str],
    streams: Sequence[str],
    whole: bool,
    exit_code: bool,
    as_json: bool,
    config: Path | None,
) -> int:
    """Show what needs a person, and what is read, waiting or delivered. Works beside the daemon and changes nothing.

    With more than 20 streams and workspaces, only those with something to report are listed (--all lists all).

    Exit code: 0; with --exit-code 65 if something needs a person; 78 if the file cannot be used: it
    then shows what is in the ledger.
    """
    from sync.commands.choose import choose_scope
    from sync.config.load import find_config, load_config

    path = find_config(config)
    try:
        loaded = load_config(path)
    except ConfigError as error:
        if (overview := _without_config(path, error)) is not None:
            show(overview, config, whole=whole, as_json=as_json)
        raise
    overview = gather(loaded, *choose_scope(loaded, workspaces, streams))
    show(overview, config, whole=whole, as_json=as_json)
    return EXIT_NEEDS if exit_code and overview.needs else 0


def show(overview: Overview, config: Path | None, *, whole: bool, as_json: bool) -> None:
    """Print it as JSON, as tables on a terminal that is wide enough, or as lines."""
    from sync.views.phrases import program

    if as_json:
        from sync.views.json_form import json_of

        print_json(json_of(overview))
        return
    from sync.views.overview_text import plain_lines, print_tables

    if sys.stdout.isatty():
        from rich.console import Console

        if (console := Console()).width >= NARROW:
            print_tables(overview, program(config), console, whole=whole)
            return
    print_lines(plain_lines(overview, program(config), whole=whole))


def gather(config: Config, workspaces: Collection[str] = (), streams: Collection[str] = ()) -> Overview:
    """Return the overview, even before there is a ledger. Raises LedgerError, LedgerUntrusted."""
    from sync.engine.ledger_opening import open_ledger, refuse_lost, refuse_moved
    from sync.shared.clock import SystemClock
    from sync.views.overview import overview_of, without_ledger

    refuse_lost(config)
    refuse_moved(config)
    if not config.ledger_path.exists():
        at = int(SystemClock().wall() * 1000)
        return without_ledger(config, at, workspaces=workspaces, streams=streams)
    with open_ledger(config) as ledger:
        return overview_of(config, ledger, workspaces=workspaces, streams=streams)


def _without_config(path: Path, error: ConfigError) -> Overview | None:
    """Return the overview of the ledger alone; None where the ledger cannot be found or read either."""
    from state.ledger import Ledger
    from sync.config.load import ledger_named_by
    from sync.views.overview import without_config

    found = ledger_named_by(path)
    if not found.exists():
        return None
    try:
        with Ledger(found) as ledger:
            return without_config(path.absolute(), ledger, error)
    except SyncError:
        return None
