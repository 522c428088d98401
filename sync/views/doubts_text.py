"""Batches in doubt as text: a list that stays readable at any length, and one batch in full."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sync.views.doubts import Doubt, LeadInDoubt
from sync.views.phrases import ago, count, moment, number, printable, wrapped
from sync.views.rich_tables import table

SEVERAL = 4
"""From this many batches on, the list groups them and gives each batch one line."""
LONGEST = 60
"""Characters shown of a name or an address."""


@dataclass(frozen=True, slots=True)
class BatchGroup:
    """Batches of one workspace with the same outcome. Times in ms since 1970 UTC."""

    workspace: str
    outcome: str
    batches: int
    leads: int
    oldest: int
    newest: int


def groups_of(doubts: Sequence[Doubt]) -> list[BatchGroup]:
    """Group the batches by workspace and outcome, the largest group first."""
    alike: dict[tuple[str, str], list[Doubt]] = defaultdict(list)
    for each in doubts:
        alike[each.workspace, outcome_of(each)].append(each)
    groups = [
        BatchGroup(*place, len(them), sum(each.open for each in them), them[0].claimed_at, them[-1].claimed_at)
        for place, them in alike.items()
    ]
    return sorted(groups, key=lambda group: -group.batches)


def outcome_of(doubt: Doubt) -> str:
    """Describe on one line how the batch ended."""
    if doubt.cut_off:
        return "cut off on the wire: settled by its receipt, or in doubt, once `run` or `once` starts"
    if doubt.state == "sending":
        return "on the wire now"
    # the cause names the status itself where it is the cause
    status = f" (HTTP {doubt.status})" if doubt.status is not None and str(doubt.status) not in doubt.cause else ""
    return printable(doubt.cause) + status


def plain_list(doubts: Sequence[Doubt], shown: Sequence[Doubt], program: str, now: int) -> Iterator[str]:
    """Yield the list for pipes: all facts of a few batches; of many, the groups and one line per batch. `now` in ms."""
    if len(doubts) < SEVERAL:
        for each in shown:
            yield from facts(each, now)
    else:
        for group in groups_of(doubts):
            sent = f"sent {moment(group.oldest)} to {moment(group.newest)}"
            what = f"{count(group.batches, 'batch', 'batches')}, {count(group.leads, 'lead')}"
            yield f"{what} to {group.workspace}, {sent}: {group.outcome}"
        for each in shown:
            sent = f"sent {moment(each.claimed_at)} ({ago(each.claimed_at, now)})"
            yield f"{each.batch}  {_leads(each)} to {each.workspace}, {sent}: {outcome_of(each)}"
    yield from footer(doubts, shown, program)


def footer(doubts: Sequence[Doubt], shown: Sequence[Doubt], program: str) -> Iterator[str]:
    """Yield how many batches there are, and the next command."""
    if not doubts:
        yield "nothing is in doubt"
        return
    left = len(doubts) - len(shown)
    more = f"; {number(left)} more with --limit 0" if left else ""
    leads = count(sum(each.open for each in doubts), "lead")
    yield f"{count(len(doubts), 'batch', 'batches')}, {leads}{more}; next: {program} doubt show BATCH"


def print_list(doubts: Sequence[Doubt], shown: Sequence[Doubt], program: str, now: int, console: Console) -> None:
    """Print the list for a terminal of at least 80 columns; arguments as for `plain_list`."""
    lines = plain_list(doubts, shown, program, now)
    if len(doubts) >= SEVERAL:
        console.print(_groups_table(doubts, now))
        console.print(_batches_table(shown, now))
        lines = footer(doubts, shown, program)
    for line in wrapped(lines, console.width):
        console.print(Text(line), soft_wrap=True)


def _groups_table(doubts: Sequence[Doubt], now: int) -> Table:
    groups = table("batches", "leads", "workspace", "outcome", "sent")
    for group in groups_of(doubts):
        oldest, newest = ago(group.oldest, now), ago(group.newest, now)
        sent = oldest if oldest == newest else f"{oldest}\nto {newest}"
        groups.add_row(number(group.batches), number(group.leads), group.workspace, group.outcome, sent)
    return groups


def _batches_table(shown: Sequence[Doubt], now: int) -> Table:
    """Return the batches with one line each; the full outcome is in the table of groups above."""
    batches = table("batch", "sent", "leads", "of", "outcome", leading=0)
    # one line a batch, or a long list is no list: the last column takes what is left, cut off
    outcome = batches.columns[-1]
    outcome.no_wrap, outcome.overflow, outcome.ratio, batches.expand = True, "ellipsis", 1, True
    for each in shown:
        leads = f"{each.open:,} of {each.leads:,}" if each.open < each.leads else number(each.leads)
        batches.add_row(each.batch, ago(each.claimed_at, now), leads, ", ".join(each.streams), outcome_of(each))
    return batches


def _leads(doubt: Doubt) -> str:
    """Return such as `3 leads of erp.companies` or `1 of 3 leads of erp.companies, erp.people`."""
    part = f"{doubt.open:,} of " if doubt.state == "in_doubt" and doubt.open < doubt.leads else ""
    of = f" of {', '.join(doubt.streams)}" if doubt.streams else ""
    return f"{part}{count(doubt.leads, 'lead')}{of}"


def facts(doubt: Doubt, now: int) -> Iterator[str]:
    """Yield what is known of a batch, one fact per line; `now` in ms."""
    yield f"{doubt.batch} ({doubt.says})"
    yield f"  sent      {moment(doubt.claimed_at)} ({ago(doubt.claimed_at, now)}) to workspace {doubt.workspace}"
    streams = ", ".join(f"{n} of {name}" for name, n in doubt.streams.items())
    open_ = f"; {doubt.open:,} still in doubt" if doubt.state == "in_doubt" and doubt.open < doubt.leads else ""
    yield f"  leads     {count(doubt.leads, 'lead')}" + (f": {streams}" if streams else "") + open_
    yield f"  outcome   {outcome_of(doubt)}"
    if doubt.account:
        yield f"  wire      {printable(doubt.account, 1000)}"
    if doubt.message:
        yield f'  server    "{printable(doubt.message)}"'
    if doubt.label:
        yield f"  label     {doubt.label}"
    for word in doubt.words:
        yield f"  settled   {printable(word, 1000)}"


def record_lines(leads: Sequence[LeadInDoubt], unread: int = 0) -> Iterator[str]:
    """Yield each lead with what to look for, in columns. `unread` leads have no record in the ledger since a
    rebuild."""
    yield "  records"
    if unread:
        of = f"    of {count(unread, 'lead')} only the receipts know"
        yield f"{of}: `run` or `once` lists them when it has read them again"
    names = max((len(printable(each.record, LONGEST)) for each in leads), default=0)
    states = max((len(_state(each)) for each in leads), default=0)
    for each in leads:
        line = f"    {each.position + 1:>3}  {printable(each.record, LONGEST):<{names}}  {_state(each):<{states}}"
        look_for = ", ".join(printable(text, LONGEST) for text in (each.name, *each.emails) if text)
        yield f"{line}  {look_for}".rstrip()


def _state(lead: LeadInDoubt) -> str:
    state = lead.state.replace("_", " ")
    return f"{lead.word}, now {state}" if lead.word else state


def how_to_settle(doubt: Doubt, leads: Sequence[LeadInDoubt], program: str) -> Iterator[str]:
    """Yield what to look for and the command for each finding; nothing for a batch that is not in doubt."""
    if doubt.cut_off:
        yield ""
        yield "No process works on it. `run` or `once` finds out what is known of it when it starts; then settle it."
    if doubt.state != "in_doubt":
        return
    yield ""
    # only a label that names the batch finds its leads; a fixed one is on all leads
    if doubt.label and doubt.batch in doubt.label:
        yield f"In ClosingDealz filter for the label {doubt.label}."
    else:
        yield "Look in ClosingDealz for these records."
        yield 'With label = "sync-{batch}" in [workspaces.' + doubt.workspace + "] the next ones can be filtered for."
    command = f"{program} doubt resolve {doubt.batch}"
    yield f"They are there:      {command} --landed"
    yield f"They are not there:  {command} --absent"
    if doubt.leads > 1 and leads:
        record = next((each.record for each in leads if each.word is None), leads[0].record)
        yield f"Some of them:        {command} --landed --record '{printable(record)}' …"
