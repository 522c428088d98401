"""The workspaces and streams that a report covers: all, or those named."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from state.ledger import Ledger
from sync.config.schema import Config, Source


@dataclass(frozen=True, slots=True)
class Scope:
    """The extent of a report. `streams` maps each stream to its workspace; `configured` are those that the file has,
    the others only the ledger knows. `is_whole`: nothing was left out."""

    streams: Mapping[str, str]
    workspaces: tuple[str, ...]
    configured: frozenset[str]
    is_whole: bool = True
    sources: frozenset[str] = field(default_factory=frozenset)
    schedules: Mapping[str, Source] = field(default_factory=dict)
    """The source of each configured stream: it has the poll interval."""


def configured_streams(config: Config) -> dict[str, str]:
    """Return the workspace of each stream, by `source.stream`."""
    return {
        f"{source_name}.{name}": config.workspace_of(stream)
        for source_name, source in config.sources.items()
        for name, stream in source.streams.items()
    }


def scope_of(
    config: Config | None,
    ledger: Ledger | None,
    workspaces: Collection[str] = (),
    streams: Collection[str] = (),
) -> Scope:
    """Return the scope of these workspaces and streams, or of everything where neither is named.

    Without a configuration the ledger's streams are all there is.
    """
    rows = ledger.streams.all() if ledger else {}
    known = {name: row.workspace for name, row in rows.items()}
    # the file wins: a stream may have moved to another workspace since it was polled
    own = configured_streams(config) if config else known
    everywhere = tuple(config.workspaces) if config else tuple(dict.fromkeys(known.values()))
    chosen = {
        name: workspace
        for name, workspace in {**own, **{name: known[name] for name in known if name not in own}}.items()
        if _is_meant(name, workspace, workspaces, streams)
    }
    is_whole = not workspaces and not streams
    # streams asked for bring their workspaces along
    named = everywhere if is_whole else tuple(dict.fromkeys([*workspaces, *chosen.values()]))
    return Scope(
        streams=chosen,
        workspaces=named,
        configured=frozenset(own) & frozenset(chosen),
        is_whole=is_whole,
        sources=frozenset(name.split(".", 1)[0] for name in chosen),
        schedules={name: config.sources[name.split(".", 1)[0]] for name in own if name in chosen} if config else {},
    )


def _is_meant(name: str, workspace: str, workspaces: Collection[str], streams: Collection[str]) -> bool:
    """Return whether a stream matches the given streams and workspaces; an empty collection matches all."""
    if streams and name not in streams:
        return False
    return not workspaces or workspace in workspaces
