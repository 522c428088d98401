"""`closingdealz-sync poke`: lets the running daemon poll now."""

from __future__ import annotations

from pathlib import Path

import click

from sync.commands.click_options import config_option, json_option
from sync.commands.loading import load
from sync.commands.output import print_json

EXIT_NOT_IN_FORCE = 65


@click.command()
@click.argument("streams", nargs=-1, metavar="[STREAM]...")
@json_option
@config_option
def poke(streams: tuple[str, ...], *, as_json: bool, config: Path | None) -> int | None:
    """Let the running daemon poll STREAM now, or all streams.

    A source's name stands for all its streams. For scripts and triggers that know of a change: the stream is polled at
    once, and once more when what changes just now is past `settle`. A source that failed keeps resting. Without a
    running daemon: exit code 75.
    """
    from sync.commands.choose import choose_streams
    from sync.service import poking
    from sync.views.phrases import program

    loaded = load(config)
    polls = poking.poke(loaded.ledger_path, choose_streams(loaded, streams))
    if as_json:
        print_json(dict(polls))
    else:
        for name, seconds in polls.items():
            if seconds is None:
                click.echo(f"{name}: the running daemon has no such stream; does it need a reload?")
            elif seconds:
                click.echo(f"{name}: its source failed and rests for {seconds:.0f} s ({program(config)} status)")
            else:
                click.echo(f"{name}: polled now")
    return EXIT_NOT_IN_FORCE if None in polls.values() else None
