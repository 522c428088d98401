"""An overview as JSON, as plain lines, and as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from sync.durations import format_duration
from sync.reports.needs import needs_as_json, needs_as_lines
from sync.reports.overview import LastPoll, Overview, StreamView, WorkspaceView
from sync.reports.phrases import ago, count, iso, number, printable, wrapped
from sync.reports.tables import table


def overview_as_json(overview: Overview) -> dict[str, Any]:
    """The shape that scripts rely on: `states` has all names, `room` and `last_poll` may be null."""
    return {
        "ledger": {"path": str(overview.ledger), "exists": overview.exists},
        "daemon": {"running": overview.process is not None, "pid": overview.process or None},
        "at": iso(overview.at),
        "states": overview.states,
        "workspaces": {each.name: _workspace_as_json(each) for each in overview.workspaces},
        "streams": {each.name: _stream_as_json(each) for each in overview.streams},
        "needs_person": needs_as_json(overview.needs),
    }


def _workspace_as_json(workspace: WorkspaceView) -> dict[str, Any]:
    room, pace = workspace.room, workspace.pace
    return {
        "base_url": workspace.base_url,
        "pending": workspace.pending,
        "room": room
        and {
            "used": room.used,
            "limit": room.requests,
            "allowed": room.allowed,
            "in_flight": room.in_flight,
            "margin": room.margin,
            "free_in": round(room.free_in, 3),
        },
        "room_unknown": workspace.room_unknown or None,
        "rest": pace
        and {
            "why": pace.rest,
            "cause": pace.cause,
            "next_try": iso(pace.next_try),
            "next_batch": pace.next_batch,
            "hint": pace.hint or None,
        },
        "batches": workspace.totals,
    }


def _stream_as_json(stream: StreamView) -> dict[str, Any]:
    poll = stream.last_poll
    return {
        "workspace": stream.workspace,
        "configured": stream.configured,
        "states": stream.states,
        "drift": stream.drift,
        "last_poll": poll
        and {
            "outcome": poll.outcome,
            "error": poll.error,
            "started_at": iso(poll.started_at),
            "ended_at": iso(poll.ended_at),
            "counts": poll.counts,
        },
        "lanes": stream.lanes,
    }


# ---- words that both texts share


def _process(overview: Overview) -> str:
    if not overview.exists:
        return "no ledger yet; `once` or `run` makes it at its first start"
    if overview.process is None:
        return "no process polls or delivers now"
    return "a process polls and delivers now" + (f" (process {overview.process})" if overview.process else "")


def _poll(poll: LastPoll | None, now: int) -> str:
    if poll is None:
        return "never polled"
    error = f": {printable(poll.error)}" if poll.error else ""
    return f"{poll.outcome} {ago(poll.ended_at, now)}, read {number(poll.counts.get('read', 0))}{error}"


def _records(stream: StreamView) -> str:
    parts = [f"{number(n)} {state.replace('_', ' ')}" for state, n in stream.states.items() if n]
    drift = [f"({number(stream.drift)} drifted)"] if stream.drift else []
    return " ".join([", ".join(parts) or "none", *drift])


def _room(workspace: WorkspaceView) -> str:
    room = workspace.room
    if room is None:
        return f"room unknown: {workspace.room_unknown}"
    free = f", next free in {format_duration(max(room.free_in, 1.0))}" if room.free_in else ""
    lowered = "" if room.allowed == room.requests else f" (lowered from {room.requests}: somebody else uses this key)"
    return f"{room.used} of {room.allowed} requests used in {format_duration(workspace.per)}{free}{lowered}"


def _sent(workspace: WorkspaceView) -> str:
    sent = [workspace.totals[state] for state in ("created", "landed", "settled") if state in workspace.totals]
    leads = sum(each.get("landed", each["leads"]) for each in sent)
    batches = sum(each["batches"] for each in sent)
    return f"{count(leads, 'lead')} sent in {count(batches, 'batch', 'batches')}"


def _rest(workspace: WorkspaceView, now: int) -> Iterator[str]:
    pace = workspace.pace
    if pace is None:
        return
    soon = pace.next_try > now
    when = f"next try in {format_duration((pace.next_try - now) / 1000)}" if soon else "due to be tried again"
    yield f"rests ({pace.rest}): {pace.cause}; {when}"
    if pace.hint:
        yield pace.hint


# ---- plain lines


def plain_lines(overview: Overview, program: str) -> list[str]:
    """One fact a line, for pipes and files."""
    lines = [f"ledger {overview.ledger}", f"daemon {_process(overview)}"]
    for stream in overview.streams:
        lines.append(f"stream {stream.name} -> {stream.workspace}: {_poll(stream.last_poll, overview.at)}")
        lines.append(f"  records: {_records(stream)}")
        lines += [f"  {lane.lstrip('@')}: {text}" for lane, text in stream.lanes.items()]
        lines += [] if stream.configured else ["  no longer in the configuration"]
    for workspace in overview.workspaces:
        said = f"{number(workspace.pending)} pending, {_sent(workspace)}, {_room(workspace)}"
        lines.append(f"workspace {workspace.name}: {said}")
        lines += [f"  {line}" for line in _rest(workspace, overview.at)]
    needs = needs_as_lines(overview.needs, program, reasons=True)
    if needs:
        return [*lines, "needs a person:", *(f"  {line}" for line in needs)]
    return [*lines, "nothing needs a person"] if overview.exists else lines


# ---- tables


def print_tables(overview: Overview, program: str, console: Console) -> None:
    """For a terminal, from 80 columns on."""
    head = Text.assemble(("ledger  ", "dim"), str(overview.ledger), "\n", ("daemon  ", "dim"), _process(overview))
    console.print(head, soft_wrap=True)
    console.print(_streams_table(overview))
    console.print(_workspaces_table(overview))
    for workspace in overview.workspaces:
        rest = [*_rest(workspace, overview.at)]
        _print_remarks(f"workspace {workspace.name}", rest, console)
    _print_needs(overview, program, console)


def _print_needs(overview: Overview, program: str, console: Console) -> None:
    needs = needs_as_lines(overview.needs, program, reasons=True)
    _print_remarks("needs a person", needs, console)
    if overview.exists and not needs:
        console.print(Text("\nnothing needs a person", "green"))


def _print_remarks(head: str, lines: list[str], console: Console) -> None:
    if not lines:
        return
    console.print(Text(f"\n{head}", "bold yellow"))
    for line in wrapped([f"  {line}" for line in lines], console.width):
        console.print(Text(line), soft_wrap=True)


def _streams_table(overview: Overview) -> Table:
    streams = table("stream", "last poll", "records", "read how far")
    for stream in overview.streams:
        name = Text.assemble(stream.name, (f"\n-> {stream.workspace}", "dim"))
        if not stream.configured:
            name.append("\nnot configured", "yellow")
        poll = stream.last_poll
        failed = poll is not None and poll.outcome not in {"complete", "stopped", "full"}
        polled = Text(_poll(poll, overview.at).replace(", ", "\n", 1), "red" if failed else "")
        streams.add_row(name, polled, _records_cell(stream), _lanes_cell(stream))
    return streams


def _records_cell(stream: StreamView) -> RenderableType:
    lines = [
        Text(f"{number(n)} {state.replace('_', ' ')}", _STATE_STYLES.get(state, ""))
        for state, n in stream.states.items()
        if n
    ]
    if stream.drift:
        lines.append(Text(f"{number(stream.drift)} drifted", "yellow"))
    return Group(*lines) if lines else Text("none", "dim")


def _lanes_cell(stream: StreamView) -> RenderableType:
    lanes = stream.lanes.items()
    return Group(*(Text.assemble((f"{lane.lstrip('@')} ", "dim"), text) for lane, text in lanes))


_STATE_STYLES = {"delivered": "green", "in_doubt": "bold red", "quarantined": "yellow", "held": "yellow"}


def _workspaces_table(overview: Overview) -> Table:
    workspaces = table("workspace", "pending", "sent", "rate limit")
    for workspace in overview.workspaces:
        name = Text.assemble(workspace.name, (f"\n{workspace.base_url}", "dim"))
        workspaces.add_row(
            name,
            number(workspace.pending),
            _sent(workspace).replace(" sent in ", " sent\nin "),
            _room(workspace).replace(" used", "\nused"),
        )
    return workspaces
