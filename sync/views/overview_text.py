"""An overview as plain lines, and as tables for a terminal: what needs a person first, then the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from sync.shared.durations import format_duration
from sync.views.lane_progress import LANES_AT_REST
from sync.views.needs import needs_as_lines
from sync.views.overview import RATE_MINUTES, LastPoll, Overview, StreamView, WorkspaceView
from sync.views.phrases import FUTURE, ago, count, moment, number, printable, wrapped
from sync.views.rich_tables import table
from sync.views.troubles import polls

MANY = 20
"""With more streams and workspaces than this, those without anything to report are left out."""


def head_lines(overview: Overview) -> Iterator[tuple[str, str]]:
    """Yield the first lines as name and text: ledger, daemon, configuration, and the records of all streams; before all
    that, a file that cannot be used."""
    if overview.config.unusable:
        yield (
            "file",
            f"{overview.config.path} {overview.config.unusable}; what follows is from the ledger beside it",
        )
    yield "ledger", str(overview.ledger.path)
    yield "daemon", _process(overview)
    if overview.config.in_force is not None:
        yield "config", _configuration(overview)
    if clock := _clock(overview):
        yield "clock", clock
    yield "records", _sum(overview)


def _clock(overview: Overview) -> str:
    """Return what is strange about the clock: times in the ledger that are still to come; empty if there are none."""
    polls = (stream.last_poll.ended_at for stream in overview.streams.values() if stream.last_poll is not None)
    newest = max(filter(None, (overview.config.in_force_since, *polls)), default=0)
    if (when := ago(newest, overview.at)).endswith(FUTURE):
        return (
            f"the ledger has times {when}: the clock has since been set back, or is wrong now (`timedatectl` shows it)"
        )
    return ""


def _process(overview: Overview) -> str:
    if not overview.ledger.exists:
        return "no ledger yet; `once` or `run` makes it at its first start"
    if not overview.daemon.running:
        return "not running"
    return f"running (pid {overview.daemon.pid})" if overview.daemon.pid else "running"


def _configuration(overview: Overview) -> str:
    config, now = overview.config, overview.at
    since = config.in_force_since or now
    if not overview.daemon.running:
        return f"{config.in_force}, last in force {ago(config.stopped_at or since, now)}"
    said = f"{config.in_force}, in force since {moment(since)} ({ago(since, now)})"
    if config.refused is not None:
        when = moment(config.refused.at)
        changed = "the file has changed since, and " if config.file_differs else ""
        return f"{said}; {changed}its reload has been refused since {when}: {config.refused.cause}"
    return f"{said}; the file has changed since: reload it" if config.file_differs else said


def _sum(overview: Overview) -> str:
    states = ", ".join(f"{number(n)} {state.replace('_', ' ')}" for state, n in overview.states.items() if n)
    places = f"{count(len(overview.streams), 'stream')}, {count(len(overview.workspaces), 'workspace')}"
    return f"{states or 'none'} ({places}{'' if overview.is_whole else ' asked for'})"


def last_word(overview: Overview) -> tuple[str, str]:
    """Return the text for an overview without needs, and its colour: green only where nothing is wrong."""
    wrong = []
    if unread := len(overview.unread):
        wrong.append(f"{count(unread, 'stream')} could not be read the last time")
    if resting := sum(each.pace is not None and each.pending > 0 for each in overview.workspaces.values()):
        wrong.append(f"{count(resting, 'workspace')} cannot send now")
    if wrong:
        return f"nothing needs a person yet, but {' and '.join(wrong)}", "yellow"
    return "nothing needs a person", "green"


def _poll(stream: StreamView, now: int, *, brief: bool = False) -> str:
    """Describe the last poll; `brief` leaves out the cause of a failure."""
    poll, failing = stream.last_poll, stream.failing
    if failing is not None:
        since = f"not read for {polls(failing.polls)}, the first {ago(failing.since, now)}"
        return since if brief else f"{since}: {printable(failing.cause)}"
    if poll is None:
        return "never polled"
    return f"{_ended(poll)} {ago(poll.ended_at, now)}, read {number(poll.counts.get('read', 0))}{_error(poll)}"


def _ended(poll: LastPoll) -> str:
    return {"full": "ended by max_pending", "failed": "broke off"}.get(poll.outcome, poll.outcome)


def _error(poll: LastPoll) -> str:
    return f": {printable(poll.error)}" if poll.error else ""


def _lanes(stream: StreamView, *, whole: bool) -> Iterator[tuple[str, str]]:
    """Yield each lane and how far it is read; without `whole` only those that tell an operator something. A stream that
    was read to its end counts as up to date, however old its newest change is."""
    for lane, text in stream.lanes.items():
        if lane == "live" and stream.is_up_to_date:
            yield lane, f"up to date; newest change seen {stream.seen}" if stream.seen else "up to date"
        elif whole or text not in LANES_AT_REST or lane == "@reread":
            yield lane.lstrip("@"), text


def _records(stream: StreamView) -> str:
    return ", ".join(_counts(stream)) or "none"


def _counts(stream: StreamView) -> Iterator[str]:
    for state, n in stream.states.items():
        if n:
            yield f"{number(n)} {state.replace('_', ' ')}"
    if stream.drift:
        yield f"{number(stream.drift)} drifted"
    if stream.created != stream.states["delivered"]:
        yield f"{number(stream.created)} of all have a lead in ClosingDealz"


def _room(workspace: WorkspaceView) -> str:
    room = workspace.room
    if room is None:
        return f"room unknown: {workspace.room_unknown}"
    free = f", next free in {format_duration(max(room.free_in, 1.0))}" if room.free_in else ""
    lowered = "" if room.allowed == room.limit else f" (lowered from {room.limit}: another client uses this key)"
    return f"{room.used} of {room.allowed} requests used in {format_duration(workspace.per)}{free}{lowered}"


def _sent(workspace: WorkspaceView) -> str:
    sent = [workspace.totals[state] for state in ("created", "landed", "settled") if state in workspace.totals]
    # of a batch settled lead by lead only those that landed were sent
    leads = sum(each.get("landed", each["leads"]) for each in sent)
    batches = sum(each["batches"] for each in sent)
    return f"{count(leads, 'lead')} sent in {count(batches, 'batch', 'batches')}"


def _waiting(workspace: WorkspaceView, now: int) -> str:
    """Say how many leads are pending, for how long, at which rate they are sent, and how long the rest takes."""
    said = f"{number(workspace.pending)} pending"
    if workspace.oldest is not None:
        said += f", the oldest for {ago(workspace.oldest, now).removesuffix(' ago')}"
    if workspace.pending and workspace.left is not None:
        said += f", at least {format_duration(max(float(round(workspace.left)), 1.0))} at the allowed rate"
    if workspace.lately:
        said += f", {number(workspace.lately)} sent in the last {RATE_MINUTES} minutes"
    return said


def _rest(overview: Overview, workspace: WorkspaceView) -> Iterator[str]:
    """Yield why the workspace rests and until when; the cure only if it is not listed among the needs already."""
    pace = workspace.pace
    if pace is None:
        return
    left = (pace.next_try - overview.at) / 1000
    when = f"next try in {format_duration(max(float(round(left)), 1.0))}" if left > 0 else "due to be tried again"
    # a rest ends with the next request that succeeds, and without leads there is none
    if not workspace.pending:
        when = "no lead is waiting: the next one shows whether it is fixed"
    yield f"rests ({pace.rest}): {pace.cause}; {when}"
    # the cure is printed once: not here if the workspace is listed among the needs
    if pace.hint and not any(each.subject == workspace.name for each in overview.needs.of("workspace")):
        yield pace.hint


def _worth_a_line(overview: Overview, *, whole: bool) -> tuple[Sequence[StreamView], Sequence[WorkspaceView]]:
    """Return what is listed: everything if it is little or `whole`, else what has something to report."""
    streams, workspaces = [*overview.streams.values()], [*overview.workspaces.values()]
    if whole or len(streams) + len(workspaces) <= MANY:
        return streams, workspaces
    subjects = {need.subject for need in overview.needs.items}
    # the other states are final until a record changes
    waiting = ("pending", "sending", "in_doubt", "held", "quarantined")
    return (
        [each for each in streams if each.failing or each.name in subjects or any(each.states[s] for s in waiting)],
        [each for each in workspaces if each.pace or each.name in subjects or each.pending],
    )


def _left_out(overview: Overview, streams: Sequence[StreamView], workspaces: Sequence[WorkspaceView]) -> str:
    left = (
        (len(overview.streams) - len(streams), "stream"),
        (len(overview.workspaces) - len(workspaces), "workspace"),
    )
    said = " and ".join(count(n, word) for n, word in left if n)
    return f"{said} with nothing to report are not listed: --all, --workspace or --stream shows them" if said else ""


# ---- plain lines


def plain_lines(overview: Overview, program: str, *, whole: bool = False) -> list[str]:
    """Return the overview for pipes and files, one fact per line; `whole` leaves nothing out."""
    lines = [f"{name} {text}" for name, text in head_lines(overview)]
    most = None if whole else MANY
    needs = needs_as_lines(overview.needs, program, reasons=True, now=overview.at, most=most)
    if needs:
        lines += ["needs a person:", *(f"  {line}" for line in needs)]
    streams, workspaces = _worth_a_line(overview, whole=whole)
    for stream in streams:
        lines.append(f"stream {stream.name} -> {stream.workspace}: {_poll(stream, overview.at)}")
        lines.append(f"  records: {_records(stream)}")
        lines += [f"  {lane}: {text}" for lane, text in _lanes(stream, whole=whole)]
        lines += [] if stream.configured else ["  no longer in the configuration"]
    for workspace in workspaces:
        said = f"{_waiting(workspace, overview.at)}, {_sent(workspace)}, {_room(workspace)}"
        lines.append(f"workspace {workspace.name}: {said}")
        lines += [f"  {line}" for line in _rest(overview, workspace)]
    if left_out := _left_out(overview, streams, workspaces):
        lines.append(left_out)
    return [*lines, last_word(overview)[0]] if overview.ledger.exists and not needs else lines


# ---- tables


def print_tables(overview: Overview, program: str, console: Console, *, whole: bool = False) -> None:
    """Print the overview as tables for a terminal of at least 60 columns; `whole` leaves nothing out."""
    for name, text in head_lines(overview):
        # a path is never broken: it is there to be copied
        shown = [text] if name == "ledger" else wrapped([text], max(console.width - 8, 20))
        for n, line in enumerate(shown):
            console.print(Text.assemble((f"{'' if n else name:<8}", "dim"), line), soft_wrap=True)
    _print_needs(overview, program, console, most=None if whole else MANY)
    streams, workspaces = _worth_a_line(overview, whole=whole)
    if streams:
        console.print(_streams_table(overview, streams, whole=whole))
    if workspaces:
        console.print(_workspaces_table(overview, workspaces))
    for workspace in workspaces:
        rest = [*_rest(overview, workspace)]
        _print_remarks(f"workspace {workspace.name}", rest, console)
    if left_out := _left_out(overview, streams, workspaces):
        console.print(Text(f"\n{left_out}", "dim"))


def _print_needs(overview: Overview, program: str, console: Console, *, most: int | None) -> None:
    needs = needs_as_lines(overview.needs, program, reasons=True, now=overview.at, most=most)
    _print_remarks("needs a person", needs, console)
    if overview.ledger.exists and not needs:
        console.print(Text(f"\n{last_word(overview)[0]}", last_word(overview)[1]))


def _print_remarks(head: str, lines: list[str], console: Console) -> None:
    if not lines:
        return
    console.print(Text(f"\n{head}", "bold yellow"))
    for line in wrapped([f"  {line}" for line in lines], console.width):
        console.print(Text(line), soft_wrap=True)


def _streams_table(overview: Overview, shown: Sequence[StreamView], *, whole: bool) -> Table:
    streams = table("stream", "last poll", "records", "read how far")
    in_needs = {need.subject for need in overview.needs.of("stream")}
    for stream in shown:
        name = Text.assemble(stream.name, (f"\n-> {stream.workspace}", "dim"))
        if not stream.configured:
            name.append("\nnot configured", "yellow")
        poll = stream.last_poll
        failed = stream.failing or (poll is not None and poll.outcome not in {"complete", "stopped", "full"})
        polled = Text(
            _poll(stream, overview.at, brief=stream.name in in_needs).replace(", ", "\n", 1), "red" if failed else ""
        )
        streams.add_row(name, polled, _records_cell(stream), _lanes_cell(stream, whole=whole))
    return streams


def _records_cell(stream: StreamView) -> RenderableType:
    lines = [Text(said, _STYLES.get(said.split(" ", 1)[1].replace(" ", "_"), "")) for said in _counts(stream)]
    return Group(*lines) if lines else Text("none", "dim")


def _lanes_cell(stream: StreamView, *, whole: bool) -> RenderableType:
    return Group(*(Text.assemble((f"{lane} ", "dim"), text) for lane, text in _lanes(stream, whole=whole)))


_STYLES = {
    "delivered": "green",
    "in_doubt": "bold red",
    "quarantined": "yellow",
    "held": "yellow",
    "drifted": "yellow",
}


def _workspaces_table(overview: Overview, shown: Sequence[WorkspaceView]) -> Table:
    workspaces = table("workspace", "pending", "sent", "rate limit")
    for workspace in shown:
        name = Text.assemble(workspace.name, (f"\n{workspace.base_url}", "dim"))
        workspaces.add_row(
            name,
            _waiting(workspace, overview.at).replace(" pending", "", 1).replace(", ", "\n"),
            _sent(workspace).replace(" sent in ", " sent\nin "),
            _room(workspace).replace(" used", "\nused"),
        )
    return workspaces
