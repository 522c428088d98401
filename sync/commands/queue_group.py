"""Factory of the queue commands: what `list` and `show` have in common."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sync.commands.click_options import config_option, json_option, limit_option
from sync.commands.selectors import Meant, selectors
from sync.commands.settling import show_list, show_record

if TYPE_CHECKING:  # --help does without it
    from state.queues import Queue


def add_list(group: click.Group, queue: Queue, says: str) -> None:
    """Add the command that lists the queue; `says` is its help."""

    @group.command("list", help=says)
    @selectors(queue)
    @limit_option
    @json_option
    @config_option
    def list_(meant: Meant, *, limit: int | None, as_json: bool, config: Path | None) -> None:
        show_list(queue, meant, limit=limit, as_json=as_json, config=config)


def add_show(group: click.Group) -> None:
    """Add the command that shows one record, in whatever queue it is."""

    @group.command()
    @click.argument("record", metavar="STREAM:ID|#N")
    @json_option
    @config_option
    def show(record: str, *, as_json: bool, config: Path | None) -> None:
        """Show all that is known of one record: STREAM:ID, or '#4711' as the log names it.

        What it prints is personal data, for your own eyes.
        """
        show_record(record, as_json=as_json, config=config)
