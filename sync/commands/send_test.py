"""`closingdealz-sync send-test`: one recognisable lead, to see how it arrives."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sync.commands.options import config_option, json_option

if TYPE_CHECKING:  # --help does without them
    from state.rows import NoRoom
    from sync.config.schema import Config
    from sync.reports.single_lead import Sent, SingleLead


@click.command("send-test")
@click.option("--workspace", metavar="NAME", help="Which workspace, where there are several.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask first.")
@json_option
@config_option
def send_test(workspace: str | None, yes: bool, as_json: bool, config: Path | None) -> int:
    """Send one test lead to ClosingDealz and say what came of it. No program can take the lead back.

    It keeps to the rate limit, also beside a running daemon, and touches nothing else in the ledger.

    Exit code: 0 created, 65 rejected or nobody can know, 75 not now, 77 credentials, plan or address.
    """
    from sync.clock import SystemClock
    from sync.commands.choose import choose_workspace
    from sync.config.load import find_config, load_config
    from sync.delivery.client import LeadsClient
    from sync.reports.single_lead import make_lead, sent_as_json

    loaded = load_config(find_config(config))
    name = choose_workspace(loaded, workspace)
    options = loaded.workspaces[name]
    where = f"workspaces.{name}.api_key"
    LeadsClient.check_key(options.api_key.read(key=where, base=loaded.path.parent), where)
    lead = make_lead(options.wire, SystemClock().wall())
    if not yes:
        _confirm(f'This creates the lead "{lead.name}"\nin workspace {name} at {options.base_url}.')
    sent = _send(loaded, name, lead)
    if as_json:
        click.echo(json.dumps(sent_as_json(sent, lead, name, options), indent=2, ensure_ascii=False))
    else:
        for line in _lines(sent, lead):
            click.echo(line)
    return sent.exit_code


def _confirm(what: str) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError(f"{what} No program can take it back: add --yes to say that you mean it.")
    click.echo(f"{what}\nNo program can take it back.", err=True)
    click.confirm("Send it?", abort=True, err=True)


def _send(config: Config, workspace: str, lead: SingleLead) -> Sent:
    from sync.ledgers import open_ledger
    from sync.reports.overview import rule_with
    from sync.reports.single_lead import send, take_slot

    options = config.workspaces[workspace]
    api_key = options.api_key.read(key=f"workspaces.{workspace}.api_key", base=config.path.parent)
    if not config.ledger_path.exists():
        open_ledger(config, own=True).close()  # the slot must be remembered: the limit is the key's, not ours
    with open_ledger(config) as ledger:
        rule = rule_with(config, workspace, api_key, ledger)
        timeout = options.timeout.total_seconds()
        slot = take_slot(ledger, rule, timeout, wait=time.sleep, waits=_Waiting())
        return send(ledger, options, api_key, lead, rule=rule, slot=slot)


class _Waiting:
    """Says once why nothing happens yet."""

    def __init__(self) -> None:
        self._said = False

    def __call__(self, no_room: NoRoom) -> None:
        from sync.durations import format_duration

        if not self._said:
            self._said = True
            wait = format_duration(max(no_room.seconds, 1.0))
            click.echo(f"the rate limit is used up; waiting for room, {wait} at the most", err=True)


def _lines(sent: Sent, lead: SingleLead) -> list[str]:
    from sync.reports.phrases import printable
    from sync.reports.single_lead import LABEL

    outcome = sent.outcome
    colour = "green" if outcome.verdict == "created" else "red"
    cause = printable(outcome.cause)
    status = "no answer" if outcome.status is None else f"HTTP {outcome.status}"
    lines = [
        click.style(_WORDS[outcome.verdict], fg=colour, bold=True),
        f"  {status} after {sent.seconds * 1000:,.0f} ms" + (f": {cause}" if outcome.verdict != "created" else ""),
    ]
    if outcome.message:
        lines.append(f'  the server says: "{printable(outcome.message)}"')
    hint = _hint(sent)
    if hint:
        lines.append(f"  {hint}")
    if outcome.verdict not in {"created", "in_doubt"}:
        return lines
    width = max(len(path) for path, _ in lead.fields)
    lines += ["", f'Look in ClosingDealz for "{lead.name}"', f"(label {LABEL}). It was sent as:"]
    lines += [f"  {path:<{width}}  {value}" for path, value in lead.fields]
    return [*lines, "A value that did not arrive has another name there: see [workspaces.NAME.wire]."]


_WORDS = {
    "created": "created",
    "refused": "refused: nothing was created; try again later",
    "rejected": "rejected: the server will not have this lead; nothing should have been created",
    "paused": "refused: nothing was created, and it needs a person",
    "in_doubt": "in doubt: nobody can know whether it was created",
}


def _hint(sent: Sent) -> str:
    from sync.delivery.pace import REST_HINTS

    if sent.outcome.verdict == "rejected":
        return "perhaps the names in [workspaces.NAME.wire] are not the server's"
    return REST_HINTS.get(sent.outcome.pause or "", "")
