"""`closingdealz-sync drift`: records that changed after their lead was created. Works beside the daemon."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sync.commands.beside import opened
from sync.commands.click_options import config_option, json_option, limit_option, yes_option
from sync.commands.queue_group import add_show
from sync.commands.selectors import Meant, selection_of, selectors
from sync.commands.settling import SettlingOrder, settle, show_list

if TYPE_CHECKING:  # --help does without them
    from state.queues import WaitingRecord
    from sync.views.settled import SettlingRefusal


@click.group()
@config_option
def drift(config: Path | None) -> None:
    """Look at records that changed after their lead was created; acknowledge or resend them.

    The API cannot change a lead. Change it in ClosingDealz by hand and acknowledge it, or create another one.
    """
    del config  # the subcommands find it


@drift.command("list")
@selectors("drift")
@limit_option
@click.option("--csv", "as_csv", is_flag=True, help="A work list: one row a changed field, all records.")
@click.option("--raw", is_flag=True, help="With --csv, for programs: no apostrophe before what may be a formula.")
@json_option
@config_option
def list_(meant: Meant, *, limit: int | None, as_csv: bool, raw: bool, as_json: bool, config: Path | None) -> None:
    """List them: what each lead has, what its record says.

    What it prints is personal data, for your own eyes.
    """
    if as_csv and as_json:
        raise click.UsageError("Say either --csv or --json.")
    if raw and not as_csv:
        raise click.UsageError("--raw needs --csv.")
    if as_csv:
        _print_csv(meant, limit, config, raw=raw)
        return
    show_list("drift", meant, limit=limit, as_json=as_json, config=config)


def _print_csv(meant: Meant, limit: int | None, config: Path | None, *, raw: bool) -> None:
    from sync.views.queue_listing import items_of
    from sync.views.worklist import write_csv

    with opened(config) as (loaded, ledger):
        items = items_of(ledger, loaded, "drift", selection_of(meant, loaded, ledger))
    text = io.StringIO(newline="")
    write_csv(items[: limit or None], text, raw=raw)
    click.echo(text.getvalue(), nl=False)


add_show(drift)


@drift.command()
@selectors("drift", settles=True)
@yes_option
@json_option
@config_option
def ack(meant: Meant, *, yes: bool, as_json: bool, config: Path | None) -> int:
    """Say that you changed the leads by hand.

    They stand for what the records say now, and are drift no more. Leave out what has changed since you looked: --until
    TIME, as `drift list` prints it.

    Exit code: 0 done, 65 a record was refused.
    """
    order = SettlingOrder(
        "drift",
        "ack",
        asks="Are their leads as the records say now?",
        creates=False,
        carry_out=lambda queues, chosen: queues.acknowledge({each.key: each.source_fp for each in chosen}),
    )
    return settle(order, meant, yes=yes, as_json=as_json, config=config)


@drift.command()
@selectors("drift", settles=True)
@yes_option
@json_option
@config_option
def resend(meant: Meant, *, yes: bool, as_json: bool, config: Path | None) -> int:
    """Create one more lead of each.

    Whatever `on_change` says, and with the stream's resend_label if it has one.

    Exit code: 0 done, 65 a record was refused.
    """
    order = SettlingOrder(
        "drift",
        "resend",
        asks="Create one more lead of each?",
        creates=True,
        carry_out=lambda queues, chosen: queues.resend([each.key for each in chosen]),
        bars=_cannot_be_sent,
    )
    return settle(order, meant, yes=yes, as_json=as_json, config=config)


def _cannot_be_sent(waiting: WaitingRecord) -> SettlingRefusal | None:
    from sync.views.settled import not_fit

    return not_fit(waiting)
