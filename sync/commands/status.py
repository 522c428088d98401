"""`closingdealz-sync status`: what is read, waiting, delivered, and what needs a person."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sync.commands.options import config_option, json_option

if TYPE_CHECKING:  # --help does without them
    from sync.config.schema import Config
    from sync.reports.overview import Overview


@click.command()
@json_option
@config_option
def status(as_json: bool, config: Path | None) -> None:
    """Show what is read, waiting, delivered or needs a person. Works beside the daemon and changes nothing."""
    from sync.config.load import find_config, load_config
    from sync.reports.overview_text import overview_as_json, plain_lines, print_tables
    from sync.reports.phrases import program

    overview = gather(load_config(find_config(config)))
    if as_json:
        click.echo(json.dumps(overview_as_json(overview), indent=2, ensure_ascii=False))
    elif sys.stdout.isatty():
        from rich.console import Console

        print_tables(overview, program(config), Console())
    else:
        for line in plain_lines(overview, program(config)):
            click.echo(line)


def gather(config: Config) -> Overview:
    """The overview, also where there is no ledger yet. Raises LedgerError, LedgerUntrusted."""
    from sync.clock import SystemClock
    from sync.ledgers import open_ledger, refuse_lost
    from sync.reports.overview import overview_of, without_ledger

    refuse_lost(config)
    if not config.ledger_path.exists():
        return without_ledger(config, int(SystemClock().wall() * 1000))
    with open_ledger(config) as ledger:
        return overview_of(config, ledger)
