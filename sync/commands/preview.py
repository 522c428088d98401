"""`closingdealz-sync preview`: the leads that records would become. Prints personal data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sync.commands.click_options import config_option, json_option
from sync.commands.loading import load
from sync.commands.output import print_json, print_lines

if TYPE_CHECKING:  # --help does without them
    from sync.config.schema import Config


@click.command()
@click.option("-n", "most", type=click.IntRange(1, 1000), default=5, show_default=True, help="How many leads.")
@click.option("--id", "ids", multiple=True, metavar="ID|#N", help="Only these records; repeatable.")
@json_option
@click.argument("stream", required=False)
@config_option
def preview(most: int, ids: tuple[str, ...], as_json: bool, stream: str | None, config: Path | None) -> None:
    """Show the leads that records of STREAM (SOURCE.STREAM; all without one) would become. Sends and writes nothing.

    The output is personal data, for your eyes only; none of it goes to the log.
    """
    from sync.commands.choose import choose_streams
    from sync.views.json_form import json_of
    from sync.views.lead_preview import Choice, preview_streams
    from sync.views.lead_preview_text import preview_as_lines

    loaded = load(config)
    names = choose_streams(loaded, [stream] if stream else [])
    if ids and len(names) > 1:
        raise click.UsageError("--id needs the STREAM that the record belongs to.")
    previews = preview_streams(loaded, names, Choice(_by_id(ids, names[0], loaded), most))
    if as_json:
        print_json({"streams": [json_of(each) for each in previews]})
        return
    for each in previews:
        print_lines(preview_as_lines(each, most, by_id=bool(ids)))
    click.echo("nothing was sent")


def _by_id(ids: Sequence[str], stream: str, config: Config) -> Sequence[str]:
    """Return the ids, with the ledger's numbers (#N) resolved. Raises click.UsageError, LedgerError."""
    from sync.shared.opaque import number_of

    if not any(number_of(id_) for id_ in ids):
        return ids
    from sync.commands.selectors import Selectors, find_named
    from sync.engine.ledger_opening import open_ledger

    with open_ledger(config) as ledger:
        numbers = tuple(id_ for id_ in ids if number_of(id_))
        found = {f"#{each.key}": each.id for each in find_named(Selectors((stream,), numbers), config, ledger)}
    return [found.get(id_, id_) for id_ in ids]
