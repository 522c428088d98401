"""Names of streams and workspaces on the command line, checked against the configuration."""

from __future__ import annotations

from collections.abc import Sequence

import click

from sync.config.schema import Config
from sync.views.phrases import did_you_mean, joined
from sync.views.scope import configured_streams


def choose_streams(config: Config, names: Sequence[str]) -> list[str]:
    """Return the streams named; a source's name stands for all of its streams, no name for all streams.

    Raises click.UsageError with the nearest name.
    """
    known = [*configured_streams(config)]
    return match_streams(names, known, f" in {config.path}") or known


def match_streams(names: Sequence[str], known: Sequence[str], place: str = "") -> list[str]:
    """Return the known streams that are named, each once; a source's name stands for all of its streams.

    Raises click.UsageError with the nearest name; `place` says where it was looked for.
    """
    chosen: dict[str, None] = {}
    for name in names:
        found = [each for each in known if name in (each, each.split(".", 1)[0])]
        if not found:
            raise click.UsageError(f"There is no stream {name!r}{place}.{did_you_mean(name, known)}")
        chosen.update(dict.fromkeys(found))
    return list(chosen)


def choose_scope(config: Config, workspaces: Sequence[str], streams: Sequence[str]) -> tuple[list[str], list[str]]:
    """Check the workspaces and streams named; an empty list stays empty. Raises click.UsageError."""
    named = [choose_workspace(config, name) for name in workspaces]
    return named, choose_streams(config, streams) if streams else []


def choose_workspace(config: Config, name: str | None) -> str:
    """Return the workspace named, or the only one. Raises click.UsageError."""
    known = list(config.workspaces)
    if name is None and len(known) == 1:
        return known[0]
    if name is None:
        raise click.UsageError(f"There are several workspaces: name one with --workspace ({joined(known, 'or')}).")
    if name not in known:
        raise click.UsageError(f"There is no workspace {name!r} in {config.path}.{did_you_mean(name, known)}")
    return name
