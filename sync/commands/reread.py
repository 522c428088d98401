"""`closingdealz-sync reread`: reads filtered records again. Works beside the daemon."""

from __future__ import annotations

from pathlib import Path

import click

from sync.commands.click_options import config_option, json_option
from sync.commands.loading import opened
from sync.commands.output import print_json


@click.command()
@click.argument("streams", nargs=-1, required=True, metavar="STREAM...")
@click.option("--accept", is_flag=True, help="Read nothing: `where` is meant to skip all records so far.")
@json_option
@config_option
def reread(streams: tuple[str, ...], *, accept: bool, as_json: bool, config: Path | None) -> None:
    """Read again the records of STREAM that `where` left out.

    Use it after editing `where`: records that pass now are found without waiting for them to change. The leads that the
    stream's next poll makes of them are held for your approval, however few they are; the stream's `start` still
    applies. A source's name stands for all its streams.

    A stream whose first scan found no record that passes needs a person: fix its `where`, or use --accept.
    """
    from sync.commands.choose import choose_streams
    from sync.polling import progress
    from sync.polling.sweep import ask_reread
    from sync.views.phrases import count, program

    with opened(config) as (loaded, ledger):
        known = ledger.streams.all()
        chosen = [name for name in choose_streams(loaded, streams) if name in known]
        if accept:
            accepted = {name: progress.accept(ledger, known[name].id) for name in chosen}
        else:
            asked = {name: ask_reread(ledger, known[name].id) for name in chosen}
    if as_json:
        print_json(accepted if accept else asked)
        return
    if accept:
        for name, changed in accepted.items():
            click.echo(f"{name}: accepted" if changed else f"{name}: there was nothing to accept")
        return
    for name, records in asked.items():
        if records:
            click.echo(f"{count(records, 'record')} of {name} will be read again at its next poll")
        else:
            click.echo(f"no record of {name} was left out by `where`")
    if any(asked.values()):
        click.echo(f"  leads made from them will wait for your approval: {program(config)} held list")
