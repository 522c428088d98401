"""`closingdealz-sync doubt`: what nobody but a person can settle, and settling it. Works beside the daemon."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from sync.commands.options import config_option, json_option

if TYPE_CHECKING:  # --help does without them
    from state.ledger import Ledger
    from sync.config.schema import Config
    from sync.reports.doubts import Doubt, Lead


@click.group()
@config_option
def doubt(config: Path | None) -> None:
    """List, show and settle batches whose outcome nobody knows.

    Their leads may have been created or not; they are never sent again on a guess. Look in ClosingDealz, then say what
    you found with `doubt resolve`.
    """
    del config  # the subcommands find it


@doubt.command("list")
@json_option
@config_option
def list_(as_json: bool, config: Path | None) -> None:
    """List the batches in doubt, oldest first."""
    from sync.reports.doubts import doubt_as_json, doubts_of

    with _opened(config) as (loaded, ledger):
        found = doubts_of(ledger, loaded)
    if as_json:
        click.echo(json.dumps({"batches": [doubt_as_json(each) for each in found]}, indent=2, ensure_ascii=False))
        return
    for each in found:
        for line in _summary(each):
            click.echo(line)
    click.echo(_after_list(found, config))


@doubt.command()
@click.argument("batch")
@json_option
@config_option
def show(batch: str, as_json: bool, config: Path | None) -> None:
    """Show what happened to BATCH, which records it holds, and how to find out whether they arrived."""
    from sync.reports.doubts import doubt_as_json, leads_of

    with _opened(config) as (loaded, ledger):
        found = _find(ledger, loaded, batch)
        leads = leads_of(ledger, batch)
    if as_json:
        click.echo(json.dumps(doubt_as_json(found, leads), indent=2, ensure_ascii=False))
        return
    for line in [*_summary(found), *_records(leads), *_how_to_settle(found, config)]:
        click.echo(line)


@doubt.command()
@click.argument("batch")
@click.option("--landed", is_flag=True, help="The leads are in ClosingDealz.")
@click.option("--absent", is_flag=True, help="They are not there: send them again.")
@click.option("--by", metavar="NAME", help="Who says so (your login name without it).")
@click.option("--note", metavar="TEXT", default="", help="Why; kept with the batch.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask first.")
@config_option
def resolve(
    batch: str, *, landed: bool, absent: bool, by: str | None, note: str, yes: bool, config: Path | None
) -> int:
    """Settle BATCH: its leads are in ClosingDealz (--landed), or they are not and will be sent again (--absent).

    It counts for the whole batch, and it is final.
    """
    from sync.reports.doubts import is_young, note_of, why_not

    if landed == absent:
        raise click.UsageError("Say either --landed or --absent.")
    word: Literal["landed", "absent"] = "landed" if landed else "absent"
    with _opened(config) as (loaded, ledger):
        found = _find(ledger, loaded, batch)
        refusal = why_not(found, word)
        if refusal:
            click.echo(f"batch {batch} {refusal}", err=True)
            return 65
        if absent and found.state == "in_doubt" and not yes and is_young(found, ledger.clock.wall()):
            _confirm(found)
        moved = ledger.verdicts.resolve(batch, landed=landed, note=note_of(word, by or _login(), note)).moved
        ledger.tell_receipts()
    click.echo(_settled(found, word, {str(state): n for state, n in moved.items()}))
    return 0


@contextmanager
def _opened(explicit: Path | None) -> Iterator[tuple[Config, Ledger]]:
    from sync.config.load import find_config, load_config
    from sync.ledgers import open_ledger

    config = load_config(find_config(explicit))
    with open_ledger(config) as ledger:
        yield config, ledger


def _find(ledger: Ledger, config: Config, batch: str) -> Doubt:
    from sync.reports.doubts import doubt_of, doubts_of
    from sync.reports.phrases import did_you_mean, printable

    found = doubt_of(ledger, config, batch)
    if found is None:
        known = [each.batch for each in doubts_of(ledger, config)]
        raise click.UsageError(f"There is no batch {printable(batch)!r}.{did_you_mean(batch, known)}")
    return found


def _login() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without an entry; before Python 3.13 it is a KeyError
        return "an unnamed user"


def _confirm(found: Doubt) -> None:
    what = f"The batch went out less than 10 minutes ago: {found.leads} leads may still appear."
    if not sys.stdin.isatty():
        raise click.UsageError(f"{what} Look once more later, or add --yes.")
    click.echo(f"{what} If they do, they will be there twice.", err=True)
    click.confirm("Send them again?", abort=True, err=True)


def _summary(found: Doubt) -> Iterator[str]:
    from sync.reports.phrases import count, moment, printable

    yield click.style(found.batch, bold=True) + f" ({found.state.replace('_', ' ')})"
    yield f"  sent      {moment(found.claimed_at)} to workspace {found.workspace}"
    streams = ", ".join(f"{n} of {name}" for name, n in found.streams.items())
    yield f"  leads     {count(found.leads, 'lead')}: {streams}"
    status = f" (HTTP {found.status})" if found.status is not None and str(found.status) not in found.cause else ""
    yield f"  outcome   {printable(found.cause)}{status}"
    if found.message:
        settled = found.state in {"landed", "absent"}
        said = printable(found.message)
        yield f"  settled   {said}" if settled else f'  server    "{said}"'
    if found.label:
        yield f"  label     {found.label}"


def _records(leads: list[Lead]) -> Iterator[str]:
    from sync.reports.phrases import printable

    yield "  records"
    for each in leads:
        yield f"    {each.position + 1:>3}  {each.stream} {printable(each.id)}  {each.state.replace('_', ' ')}"


def _how_to_settle(found: Doubt, config: Path | None) -> Iterator[str]:
    from sync.reports.phrases import program

    if found.state != "in_doubt":
        return
    yield ""
    if found.label and found.batch in found.label:
        yield f"In ClosingDealz filter for the label {found.label}."
    else:
        yield "Look in ClosingDealz for these records."
        yield 'With label = "sync-{batch}" in [workspaces.' + found.workspace + "] the next ones can be filtered for."
    command = f"{program(config)} doubt resolve {found.batch}"
    yield f"They are there:      {command} --landed"
    yield f"They are not there:  {command} --absent"


def _after_list(found: list[Doubt], config: Path | None) -> str:
    from sync.reports.phrases import count, program

    if not found:
        return "nothing is in doubt"
    total = f"{count(len(found), 'batch', 'batches')}, {count(sum(each.leads for each in found), 'lead')}"
    return f"{total}; next: {program(config)} doubt show BATCH"


def _settled(found: Doubt, word: str, moved: dict[str, int]) -> str:
    if not moved:
        return f"batch {found.batch} was settled as {word} already; nothing changed"
    states = ", ".join(f"{n} {state.replace('_', ' ')}" for state, n in moved.items())
    return f"batch {found.batch} is settled as {word}; its records are now: {states}"
