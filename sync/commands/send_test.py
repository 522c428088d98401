"""`closingdealz-sync send-test`: sends one recognisable lead, or a good and a bad one as a probe."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sync.commands.click_options import config_option, json_option
from sync.commands.loading import load
from sync.commands.output import print_json, print_lines

if TYPE_CHECKING:  # --help does without them
    from state.rows import NoRoom
    from sync.config.schema import Config
    from sync.views.single_lead import SentTestLead, SingleLead


@click.command("send-test")
@click.option("--workspace", metavar="NAME", help="The workspace; required if there are several.")
@click.option(
    "--probe-rejection", is_flag=True, help="Send a good and a bad lead instead, to see what a rejected batch creates."
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask first.")
@json_option
@config_option
def send_test(workspace: str | None, probe_rejection: bool, yes: bool, as_json: bool, config: Path | None) -> int:
    """Send one test lead to ClosingDealz and report what happened. The lead cannot be taken back.

    It respects the rate limit, even beside a running daemon, and changes nothing else in the ledger, except that a
    success ends the workspace's rest.

    With --probe-rejection one request carries a good lead and one that breaks the server's rules. Look in ClosingDealz
    then: if the good one is there, a rejected batch is created in part, and on_rejected must be "hold".

    Exit code: 0 created (with --probe-rejection: rejected), 65 rejected (created) or unknown, 75 try again later,
    77 credentials, plan or address.
    """
    from sync.commands.choose import choose_workspace
    from sync.delivery.client import LeadsClient

    loaded = load(config)
    name = choose_workspace(loaded, workspace)
    where = f"workspaces.{name}.api_key"
    # before the question: a key that cannot be sent makes the answer pointless
    LeadsClient.check_key(loaded.workspaces[name].api_key.read(key=where, base=loaded.path.parent), where)
    one = _probe if probe_rejection else _single
    return one(loaded, name, yes=yes, as_json=as_json)


def _single(config: Config, workspace: str, *, yes: bool, as_json: bool) -> int:
    from sync.shared.clock import SystemClock
    from sync.views.single_lead import make_lead, sent_as_json

    options = config.workspaces[workspace]
    lead = make_lead(options.wire, SystemClock().wall())
    if not yes:
        _confirm(f'This creates the lead "{lead.name}"\nin workspace {workspace} at {options.base_url}.')
    sent = _send(config, workspace, lead)
    _print(sent_as_json(sent, lead, workspace, options) if as_json else _lines(sent, lead))
    return sent.exit_code


def _probe(config: Config, workspace: str, *, yes: bool, as_json: bool) -> int:
    from sync.shared.clock import SystemClock
    from sync.views.rejection_probe import exit_code, make_probe, probe_as_json, probe_as_lines, what_it_does

    options = config.workspaces[workspace]
    probe = make_probe(options.wire, SystemClock().wall())
    if not yes:
        _confirm(what_it_does(probe, workspace, options))
    sent = _send(config, workspace, probe.good, probe.bad)
    _print(probe_as_json(sent, probe, workspace, options) if as_json else probe_as_lines(sent, probe, workspace))
    return exit_code(sent)


def _print(report: dict[str, Any] | list[str]) -> None:
    if isinstance(report, dict):
        print_json(report)
        return
    print_lines(report)


def _confirm(what: str) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError(f"{what} It cannot be taken back: add --yes to confirm.")
    click.echo(f"{what}\nIt cannot be taken back.", err=True)
    # Enter alone is a no: nothing irreversible happens by accident.
    click.confirm("Send it?", abort=True, err=True)


def _send(config: Config, workspace: str, *leads: SingleLead) -> SentTestLead:
    """Send the leads in one request. If there are several, a rejection is reported as such, whatever `on_rejected`
    is."""
    from sync.delivery.backoff import end_rest
    from sync.engine.ledger_opening import open_ledger, own_ledger
    from sync.shared.errors import LedgerBusy
    from sync.views.overview import rule_with
    from sync.views.single_lead import send, take_slot

    options = config.workspaces[workspace]
    api_key = options.api_key.read(key=f"workspaces.{workspace}.api_key", base=config.path.parent)
    if not config.ledger_path.exists():
        own_ledger(config).close()  # the slot must be remembered: the limit is the key's, not ours
    with open_ledger(config) as ledger:
        rule = rule_with(config, workspace, api_key, ledger)
        timeout = options.timeout.total_seconds()
        slot = take_slot(ledger, rule, timeout, wait=time.sleep, waits=_Waiting())
        reporting = options.model_copy(update={"on_rejected": "bisect"}) if len(leads) > 1 else options
        sent = send(ledger, reporting, api_key, *leads, rule=rule, slot=slot)
        if sent.outcome.verdict == "created":
            # the lead is created either way; the next request of the daemon ends the rest
            with suppress(LedgerBusy):
                end_rest(ledger, workspace, options, rule)
        return sent


class _Waiting:
    """Prints once why nothing happens yet."""

    def __init__(self) -> None:
        self._said = False

    def __call__(self, no_room: NoRoom) -> None:
        from sync.shared.durations import format_duration

        if not self._said:
            self._said = True
            wait = format_duration(max(no_room.seconds, 1.0))
            click.echo(f"the rate limit is used up; waiting up to {wait} for room", err=True)


def _lines(sent: SentTestLead, lead: SingleLead) -> list[str]:
    from sync.views.single_lead import LABEL, hint_of, outcome_as_lines

    verdict = sent.outcome.verdict
    colour = "green" if verdict == "created" else "red"
    lines = [click.style(_WORDS[verdict], fg=colour, bold=True), *outcome_as_lines(sent)]
    wire = "perhaps the names in [workspaces.NAME.wire] differ from the server's"
    if hint := wire if verdict == "rejected" else hint_of(sent.outcome):
        lines.append(f"  {hint}")
    if verdict not in {"created", "in_doubt"}:
        return lines
    width = max(len(path) for path, _ in lead.fields)
    lines += ["", f'Look in ClosingDealz for "{lead.name}"', f"(label {LABEL}). It was sent as:"]
    lines += [f"  {path:<{width}}  {value}" for path, value in lead.fields]
    return [*lines, "If a value did not arrive, the server expects another name for it: see [workspaces.NAME.wire]."]


_WORDS = {
    "created": "created",
    "refused": "refused: nothing was created; try again later",
    "rejected": "rejected: the server does not accept this lead; nothing should have been created",
    "paused": "refused: nothing was created, and it needs a person",
    "in_doubt": "in doubt: it is unknown whether it was created",
}
