"""An overview as JSON: the shape that scripts rely on."""

from __future__ import annotations

from typing import Any

from state.incidents import Incident
from sync.views.needs import needs_as_json
from sync.views.overview import RATE_MINUTES, Overview, StreamView, WorkspaceView
from sync.views.phrases import iso


def overview_as_json(overview: Overview) -> dict[str, Any]:
    """Return the overview as JSON. `room`, `last_poll`, `failing` and `config.in_force_since` may be null."""
    told = overview.in_force
    return {
        "ledger": {"path": str(overview.ledger), "exists": overview.exists},
        "daemon": {"running": overview.process is not None, "pid": overview.process or None},
        "config": {
            "path": str(overview.config),
            "in_force": told and told.config,
            "in_force_since": iso(told.since) if told else None,
            "stopped_at": iso(told.stopped) if told else None,
            "file_differs": overview.file_differs,
            "refused": overview.refused
            and {"at": iso(overview.refused.since), "cause": overview.refused.cause, "hint": overview.refused.hint},
        },
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
        "oldest_pending": iso(workspace.oldest),
        "sent_lately": {"leads": workspace.lately, "minutes": RATE_MINUTES},
        "seconds_left": None if workspace.left is None else round(workspace.left, 1),
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
        "created": stream.created,
        "drift": stream.drift,
        "up_to_date": stream.is_up_to_date,
        "failing": stream.failing and _incident_as_json(stream.failing),
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


def _incident_as_json(incident: Incident) -> dict[str, Any]:
    """Return an incident as JSON; `polls` stops counting at three."""
    return {
        "since": iso(incident.since),
        "polls": incident.times,
        "cause": incident.cause,
        "hint": incident.hint or None,
    }
