"""Options shared by several commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

LISTED = 20
"""The records that a listing shows without --limit; as JSON it has all of them."""


def config_option(function: FunctionT) -> FunctionT:
    """Add -c/--config; the command gets `config: Path | None`. It may stand before the subcommand too."""
    return click.option(
        "-c",
        "--config",
        type=click.Path(path_type=Path, readable=False),  # one that cannot be read is named with its cure, and 78
        callback=_own_or_outer,
        metavar="FILE",
        help="The configuration file; else $CLOSINGDEALZ_SYNC_CONFIG, ./config.toml, "
        "$CONFIGURATION_DIRECTORY/config.toml or /etc/closingdealz-sync/config.toml.",
    )(function)


def json_option(function: FunctionT) -> FunctionT:
    """Add --json; the command gets `as_json: bool`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")(function)


def scope_options(function: FunctionT) -> FunctionT:
    """Add --workspace and --stream, both repeatable; the command gets `workspaces` and `streams`."""
    stream = click.option(
        "--stream", "streams", multiple=True, metavar="NAME", help="Only this stream, or all of a source; repeatable."
    )
    workspace = click.option(
        "--workspace", "workspaces", multiple=True, metavar="NAME", help="Only this workspace; repeatable."
    )
    return workspace(stream(function))


def all_option(function: FunctionT) -> FunctionT:
    """Add --all; the command gets `whole: bool`."""
    return click.option("--all", "whole", is_flag=True, help="List everything, however long.")(function)


def yes_option(function: FunctionT) -> FunctionT:
    """Add -y/--yes; the command gets `yes: bool`."""
    return click.option("-y", "--yes", is_flag=True, help="Do not ask first.")(function)


def limit_option(function: FunctionT) -> FunctionT:
    """Add --limit; the command gets `limit: int | None`, where 0 stands for no limit."""
    said = "Show N records (default: 20, or all with --json); 0 shows all."
    return click.option("--limit", type=click.IntRange(min=0), metavar="N", help=said)(function)


def shown_of(limit: int | None, *, as_json: bool) -> int | None:
    """Return how many records to show for this --limit; None shows all."""
    return LISTED if limit is None and not as_json else limit or None


def _own_or_outer(context: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
    """Return the option of the innermost command that has one."""
    outer = context.parent
    while value is None and outer is not None:
        value = outer.params.get(str(parameter.name))
        outer = outer.parent
    context.meta[_GIVEN] = value
    return value


_GIVEN = "closingdealz-sync -c"


def given_config(context: click.Context) -> Path | None:
    """Return the file that -c names in the command line of this context, whichever command has it."""
    found: Path | None = context.meta.get(_GIVEN)
    return found
