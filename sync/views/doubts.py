"""Batches in doubt (outcome unknown), their leads, and which of them can be resolved how: as values,
as JSON and as text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, cast

import orjson
from pydantic import Field
from rich.console import Console
from rich.table import Table
from rich.text import Text

from state.ledger import Ledger
from state.receipts.history import Resolution
from sync.config.schema import Config, Wire
from sync.mapping.field_changes import name_of
from sync.mapping.wire_fields import texts
from sync.views.json_form import HIDDEN, Moment, TextOrNull, json_of
from sync.views.needs import cut_off_batches
from sync.views.phrases import ago, count, moment, number, printable, wrapped
from sync.views.queue_listing import wire_of
from sync.views.rich_tables import table

YOUNG_SECONDS = 600
"""The server may still be processing a younger batch; leads of an older one hardly appear any more."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A batch of the ledger. Times in ms since 1970 UTC.

    `open` counts its leads that are not resolved. `account` is the trace of the request, `message` the server's error
    text, `words` the notes of earlier resolutions. `label` is the label that its leads have in ClosingDealz, if any.
    `cut_off`: the process that sent it is gone and no other has taken over yet.
    """

    batch: str
    workspace: str
    state: str
    cut_off: bool
    leads: int
    open: int
    streams: Mapping[str, int]
    claimed_at: Annotated[Moment, Field(serialization_alias="sent_at")]
    ended_at: Annotated[Moment | None, Field(serialization_alias="in_doubt_since")]
    status: int | None
    cause: str
    account: TextOrNull
    message: TextOrNull
    words: tuple[str, ...]
    label: str | None

    @property
    def says(self) -> str:
        """Return its state in words."""
        return "cut off" if self.cut_off else self.state.replace("_", " ")


@dataclass(frozen=True, slots=True)
class LeadInDoubt:
    """One lead of a batch: its position, its record, how it was resolved, and what to look for in ClosingDealz."""

    position: Annotated[int, HIDDEN]
    stream: str
    id: str
    number: int
    state: str
    word: Resolution | None
    name: TextOrNull
    emails: tuple[str, ...]

    @property
    def record(self) -> str:
        """Return the name by which commands take its record: `STREAM:ID`."""
        return f"{self.stream}:{self.id}"


def doubts_of(ledger: Ledger) -> list[Doubt]:
    """Return the batches in doubt and those cut off on the wire, oldest first."""
    # what was cut off is listed too: the next start settles it by its receipt or doubts it
    rows = [*ledger.verdicts.in_doubt(), *cut_off_batches(ledger)]
    streams = ledger.verdicts.streams_of([str(row["name"]) for row in rows])
    doubts = [_doubt(ledger, row, streams[str(row["name"])]) for row in rows]
    return sorted(doubts, key=lambda each: each.claimed_at)


def doubt_of(ledger: Ledger, batch: str) -> Doubt | None:
    """Return the batch of that name, whatever its state; None where the ledger has no such batch."""
    row = ledger.verdicts.batch(batch)
    return _doubt(ledger, row, ledger.verdicts.streams_of([batch])[batch]) if row else None


def leads_of(ledger: Ledger, config: Config, doubt: Doubt) -> list[LeadInDoubt]:
    """Return the leads of the batch; names and addresses only while the payload is kept."""
    wire = wire_of(config, doubt.workspace)
    rows = cast("list[dict[str, Any]]", ledger.verdicts.deliveries_of(doubt.batch))
    return [_lead(row, wire, doubt.state) for row in rows]


def _lead(row: Mapping[str, Any], wire: Wire, batch_state: str) -> LeadInDoubt:
    # the payload expires (`keep_payloads`); the record and its place stay
    document = orjson.loads(row["payload"]) if row["payload"] else {}
    # a resolution of the whole batch is kept with the batch, not with each lead
    whole = cast(Resolution, batch_state) if batch_state in {"landed", "absent"} else None
    return LeadInDoubt(
        position=row["position"],
        stream=row["stream"],
        id=row["id"],
        number=row["key"],
        state=row["state"],
        word=row["word"] or whole,
        name=name_of(document, wire),
        emails=tuple(texts(document, wire, "emails")),
    )


def _doubt(ledger: Ledger, found: Mapping[str, object], streams: Mapping[str, int]) -> Doubt:
    row = cast("Mapping[str, Any]", found)
    return Doubt(
        batch=row["name"],
        workspace=row["workspace"],
        state=row["state"],
        leads=row["leads"],
        open=row["open"],
        claimed_at=row["claimed_at"],
        ended_at=row["ended_at"],
        status=row["status"],
        cause=row["cause"] or "",
        account=row["account"] or "",
        message=row["message"] or "",
        words=tuple((row["words"] or "").splitlines()),
        label=row["label"],
        streams=streams,
        cut_off=row["state"] == "sending" and any(each["name"] == row["name"] for each in ledger.cut_off()),
    )


def is_young(doubt: Doubt, now: float) -> bool:
    """Return whether the server may still be processing the batch; `now` in seconds since 1970 UTC."""
    return now - (doubt.ended_at or doubt.claimed_at) / 1000 < YOUNG_SECONDS


def why_not(doubt: Doubt, word: Resolution) -> str:
    """Return why the batch cannot be resolved as `word`; empty where it can be, or already is."""
    # the same resolution twice is harmless, so that a script can be repeated
    if doubt.state in {"in_doubt", word}:
        return ""
    # its receipt may hold the verdict, which must not be contradicted by a guess
    if doubt.cut_off:
        return "was cut off on the wire: start `run` or `once`, which finds out what is known about it; then settle it"
    if doubt.state == "sending":
        return "is on the wire: wait for its answer"
    # a resolution decides whether leads are sent again, which nothing can take back
    if doubt.state == "settled":
        return "was settled lead by lead already, and that does not change"
    if doubt.state in {"landed", "absent"}:
        return f"was settled as {doubt.state} already, and that does not change"
    return f"is not in doubt: the server's answer was clear ({doubt.state})"


def why_not_leads(leads: Sequence[LeadInDoubt], word: Resolution) -> list[str]:
    """Return a text for each lead that was already resolved the other way."""
    return [
        f"{each.record} was settled as {each.word} already, and that does not change"
        for each in leads
        if each.word not in {None, word}
    ]


def note_of(word: Resolution, by: str, note: str, *, at: float, leads: Collection[LeadInDoubt] | None = None) -> str:
    """Return the note that the ledger keeps of a resolution; `at` in seconds, `leads` None for the whole batch."""
    part = "" if leads is None else f" for {count(len(leads), 'lead')}"
    return f"{moment(int(at * 1000))} {word}{part} by {by}" + (f": {note}" if note else "")


def doubt_as_json(doubt: Doubt, leads: Sequence[LeadInDoubt] | None = None) -> dict[str, Any]:
    """Return the batch as JSON; `records` is there only if `leads` are given."""
    shown = json_of(doubt)
    return shown if leads is None else {**shown, "records": [json_of(each) for each in leads]}


# ---- as text


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
    """Yield what is known about a batch, one fact per line; `now` in ms."""
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
        yield "No process is working on it. When `run` or `once` starts, it finds out what is known; then settle it."
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
