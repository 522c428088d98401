"""`closingdealz-sync doubt`: lists and resolves batches whose outcome is unknown. Works beside the daemon."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sync.commands.asking import ask
from sync.commands.click_options import config_option, json_option, limit_option, shown_of, yes_option
from sync.commands.loading import load, opened
from sync.commands.output import print_json, print_lines
from sync.commands.selectors import split_record

if TYPE_CHECKING:  # --help does without them
    from state.ledger import Ledger
    from state.receipts.history import Resolution
    from state.rows import Conclusion
    from sync.views.doubts import Doubt, LeadInDoubt


@click.group()
@config_option
def doubt(config: Path | None) -> None:
    """List, show and settle batches whose outcome is unknown.

    Their leads may have been created or not; they are never sent again on a guess. Look in ClosingDealz, then record
    what you found with `doubt resolve`.
    """
    del config  # the subcommands find it


@doubt.command("list")
@limit_option
@json_option
@config_option
def list_(limit: int | None, as_json: bool, config: Path | None) -> None:
    """List the batches in doubt, oldest first."""
    from sync.views.doubts import doubt_as_json
    from sync.views.phrases import program

    found, now = _found(config)
    shown = found[: shown_of(limit, as_json=as_json)]
    if as_json:
        print_json({"batches": [doubt_as_json(each) for each in shown]})
        return
    from sync.views.doubts import plain_list, print_list

    if sys.stdout.isatty() and found:
        from rich.console import Console

        print_list(found, shown, program(config), now, Console())
        return
    print_lines(plain_list(found, shown, program(config), now))


def _found(config: Path | None) -> tuple[list[Doubt], int]:
    """Return the batches in doubt and the time in ms; empty before there is a ledger."""
    from sync.engine.ledger_opening import open_ledger, refuse_lost, refuse_moved
    from sync.shared.clock import SystemClock
    from sync.views.doubts import doubts_of

    loaded = load(config)
    # without a ledger nothing is in doubt, but a lost one must not look like that
    refuse_lost(loaded)
    refuse_moved(loaded)
    if not loaded.ledger_path.exists():
        return [], int(SystemClock().wall() * 1000)
    with open_ledger(loaded) as ledger:
        return doubts_of(ledger), int(ledger.clock.wall() * 1000)


@doubt.command()
@click.argument("batch")
@json_option
@config_option
def show(batch: str, as_json: bool, config: Path | None) -> None:
    """Show what happened to BATCH, which leads it holds, and how to find out whether they arrived.

    The names and addresses that it prints are personal data, for your eyes only.
    """
    from sync.views.doubts import doubt_as_json, facts, how_to_settle, leads_of, record_lines
    from sync.views.phrases import program

    with opened(config) as (loaded, ledger):
        found = _find(ledger, batch)
        leads, now = leads_of(ledger, loaded, found), int(ledger.clock.wall() * 1000)
    if as_json:
        print_json(doubt_as_json(found, leads))
        return
    for line in [
        *facts(found, now),
        *record_lines(leads, found.leads - len(leads)),
        *how_to_settle(found, leads, program(config)),
    ]:
        click.echo(line)


@doubt.command()
@click.argument("batch")
@click.option("--landed", is_flag=True, help="The leads are in ClosingDealz.")
@click.option("--absent", is_flag=True, help="They are not there: send them again.")
@click.option(
    "--record", "records", multiple=True, metavar="STREAM:ID|#N", help="Only this lead of the batch; repeatable."
)
@click.option("--by", metavar="NAME", help="Name recorded with the decision (default: your login).")
@click.option("--note", metavar="TEXT", default="", help="Why; kept with the batch.")
@yes_option
@json_option
@config_option
def resolve(
    batch: str,
    *,
    landed: bool,
    absent: bool,
    records: tuple[str, ...],
    by: str | None,
    note: str,
    yes: bool,
    as_json: bool,
    config: Path | None,
) -> int:
    """Settle BATCH: its leads are in ClosingDealz (--landed), or they are not and will be sent again (--absent).

    It applies to all leads of the batch that are not settled yet, or to those that --record names. It is final, so it
    asks first.

    Exit code: 0 settled, 65 it cannot be settled that way.
    """
    from sync.views.doubts import leads_of, note_of, why_not, why_not_leads

    if landed == absent:
        raise click.UsageError("Choose either --landed or --absent.")
    word: Resolution = "landed" if landed else "absent"
    with opened(config) as (loaded, ledger):
        found = _find(ledger, batch)
        leads = leads_of(ledger, loaded, found)
        chosen = _choose(leads, records, batch) if records else None
        # in a batch settled lead by lead, each lead has a resolution of its own to compare with
        refusal = why_not(found, word) if chosen is None or found.state != "settled" else ""
        if refusals := [f"batch {batch} {refusal}"] if refusal else why_not_leads(chosen or (), word):
            click.echo("\n".join(refusals), err=True)
            return 65
        now = ledger.clock.wall()
        if found.state == "in_doubt" and not yes:
            _confirm(found, leads, chosen, word, now)
        # None, not all positions: leads that only the receipts know have no position here
        positions = None if chosen is None else [each.position for each in chosen]
        said = note_of(word, by or _login(), note, at=now, leads=chosen)
        conclusion = ledger.verdicts.resolve(batch, landed=landed, note=said, positions=positions)
        ledger.tell_receipts()
        after = _find(ledger, batch)
    _say(after, word, conclusion, as_json=as_json)
    return 0


def _find(ledger: Ledger, batch: str) -> Doubt:
    from sync.views.doubts import doubt_of, doubts_of
    from sync.views.phrases import did_you_mean, printable

    found = doubt_of(ledger, batch)
    if found is None:
        known = [each.batch for each in doubts_of(ledger)]
        raise click.UsageError(f"There is no batch {printable(batch)!r}.{did_you_mean(batch, known)}")
    return found


def _choose(leads: Sequence[LeadInDoubt], records: Sequence[str], batch: str) -> list[LeadInDoubt]:
    """Return the leads named, each once. Raises click.UsageError where the batch does not hold one."""
    from sync.shared.opaque import number_of
    from sync.views.phrases import printable

    there: dict[object, LeadInDoubt] = {f"#{each.number}": each for each in leads}
    there |= {(each.stream, each.id): each for each in leads}
    asked = {record if number_of(record) else split_record(record): record for record in records}
    unknown = [printable(record) for each, record in asked.items() if each not in there]
    if unknown:
        raise click.UsageError(f"Batch {batch} holds no lead of {', '.join(unknown)}.")
    return list({lead.number: lead for lead in (there[each] for each in asked)}.values())


def _login() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without an entry; before Python 3.13 it is a KeyError
        return "an unnamed user"


def _confirm(
    found: Doubt, leads: Sequence[LeadInDoubt], chosen: Sequence[LeadInDoubt] | None, word: Resolution, now: float
) -> None:
    """Ask before resolving; not where nothing would change. `leads` are those of the batch that the ledger knows."""
    from sync.views.doubts import is_young
    from sync.views.phrases import count, joined

    concerned = [lead for lead in (leads if chosen is None else chosen) if lead.word is None]
    n = found.open if chosen is None else len(concerned)
    if not n:
        return
    streams = Counter(lead.stream for lead in concerned)
    parts = [f"{each:,} of {name}" for name, each in streams.items()]
    if unread := n - len(concerned):
        parts.append(f"{unread:,} that only the receipts know")
    what = f"This settles {count(n, 'lead')} of batch {found.batch} for good as {word}: {joined(parts)}."
    if word == "landed":
        ask(f"{what} None of them is ever sent again.", "Are they in ClosingDealz?")
        return
    what += " They are sent again."
    if is_young(found, now):
        what += f" The batch went out less than 10 minutes ago: {count(n, 'lead')} may still appear, and would be"
        what += " there twice."
    ask(what, "Send them again?")


def _say(after: Doubt, word: Resolution, conclusion: Conclusion, *, as_json: bool) -> None:
    if as_json:
        moved = dict(conclusion.moved)
        shown = {"batch": after.batch, "word": word, "state": after.state, "open": after.open, "moved": moved}
        print_json(shown)
        return
    click.echo(_settled(after, word, {str(state): n for state, n in conclusion.moved.items()}))


def _settled(after: Doubt, word: Resolution, moved: dict[str, int]) -> str:
    from sync.views.phrases import count

    if not moved:
        what = "that was" if after.state == "in_doubt" else f"batch {after.batch} was"
        return f"{what} settled as {word} already; nothing changed"
    states = ", ".join(f"{n} {state.replace('_', ' ')}" for state, n in moved.items())
    if after.state != "in_doubt":
        how = "lead by lead" if after.state == "settled" else f"as {after.state}"
        return f"batch {after.batch} is settled {how}; its records are now: {states}"
    these = count(sum(moved.values()), "lead")
    return f"{these} of batch {after.batch} settled as {word}, now: {states}; {after.open:,} still in doubt"
