"""The command `sandbox`: serves the stand-in for the ClosingDealz API at a terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sync.shared.durations import format_duration
from sync.shared.errors import SyncError
from sync.trial.sandbox.faults import KNOWN, parse_rate
from sync.trial.sandbox.settings import PLANS, SandboxOptions, parse_latency, parse_seconds, parse_stall

# The values in config.example.toml: with these the example works unedited, and the greeting says so.
EXAMPLE_URL = "http://127.0.0.1:8765"
EXAMPLE_KEY = "sandbox-key"


class _Parsed(click.ParamType[Any]):
    """A click type from a parser that raises ValueError."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


_DURATION = _Parsed("duration", parse_seconds)

_EPILOG = f"""\b
Failures:
{KNOWN}

\b
Examples:
  closingdealz-sync sandbox
  closingdealz-sync sandbox --limit 10 --per 5s --latency 5ms-150ms
  closingdealz-sync sandbox --fault 429=0.05 --fault timeout-after=0.01 --seed 7
  closingdealz-sync sandbox --script 'ok,timeout-after,429*3,ok*'
  closingdealz-sync sandbox --fault refuse:example.org
"""


@click.command(epilog=_EPILOG)
@click.option("--host", default="127.0.0.1", show_default=True, help="A loopback address; no other is allowed.")
@click.option("--port", default=8765, show_default=True, type=click.IntRange(0, 65535), help="0 picks a free one.")
@click.option(
    "--store",
    default="closingdealz-sandbox.db",
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The SQLite file that keeps what arrives; an existing one is continued.",
)
@click.option(
    "--key", "keys", multiple=True, default=("sandbox-key",), show_default=True, help="An API key; repeatable."
)
@click.option("--plan", default="basic", show_default=True, type=click.Choice(PLANS), help="The workspace's plan.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="Requests per window and key.")
@click.option("--per", default="60s", show_default=True, type=_DURATION, help="The limit's window.")
@click.option(
    "--segments", type=click.IntRange(1), help="Use ASP.NET's window with this many segments instead of the exact one."
)
@click.option("--heartbeat", default="100ms", show_default=True, type=_DURATION, help="How often segments may turn.")
@click.option(
    "--latency", default="0s", type=_Parsed("range", parse_latency), help="Delay each way, such as 5ms-150ms."
)
@click.option("--stall", default="0s=0", type=_Parsed("stall", parse_stall), help="A rare longer delay: 3s=0.01.")
@click.option("--fault", "faults", multiple=True, type=_Parsed("name=rate", parse_rate), help="A failure; repeatable.")
@click.option("--script", default="", help="Failures one by one, before the rates: 'ok,timeout-after,429*3,ok*'.")
@click.option("--hang", default="5m", show_default=True, type=_DURATION, help="How long a time-out fault lasts.")
@click.option("--seed", type=int, help="Makes random failures repeatable.")
@click.option("--child", is_flag=True, hidden=True, help="Print the URL only, end with standard input.")
def sandbox(store: Path, faults: tuple[tuple[str, float], ...], *, child: bool, **given: Any) -> None:
    """Serve a stand-in for the ClosingDealz API on this machine.

    It takes leads as the real API does, with its limit, its rules and its answers, keeps them in a file and shows them
    at /_sandbox/leads. It fails on purpose when you ask it to. Nothing leaves this machine.
    """
    try:
        options = SandboxOptions(store=store.absolute(), faults=dict(faults), **given)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    # Imported here: the main program shows its help without loading a web server.
    from sync.trial.sandbox.server import serve

    if child:
        serve(options, ready=click.echo, stop_at_eof=True)
        return
    serve(options, ready=lambda url: _greet(url, options))
    _sum_up(store.absolute(), options.per)


def _greet(url: str, options: SandboxOptions) -> None:
    window = f"{options.limit} requests in {format_duration(options.per)} for each key"
    click.echo(f"The ClosingDealz sandbox is ready at {url}")
    click.echo(f"  API key   {', '.join(options.keys)}")
    click.echo(f"  limit     {window}{f', {options.segments} segments' if options.segments else ''}")
    click.echo(f"  kept in   {options.store}")
    click.echo(f"  look at   {url}/_sandbox/leads")
    if url == EXAMPLE_URL and EXAMPLE_KEY in options.keys:
        click.echo("config.example.toml works with it as it is.")
    else:
        click.echo(f'To use it with config.example.toml: base_url = "{url}", api_key = "{options.keys[0]}"')
    click.echo("Ctrl-C ends it.")


def _sum_up(store: Path, per: float) -> None:
    from sync.trial.sandbox import reports

    figures = reports.stats(store, per)
    click.echo(
        f"\nThe sandbox has ended. Since its file was made: {figures['requests']:,} requests,"
        f" {figures['created_leads']:,} leads created ({figures['duplicates']:,} of them duplicates),"
        f" {figures['too_many_requests']:,} answers 429. All is kept in {store}."
    )


def main() -> None:
    """Run the command as `python -m sync.trial.sandbox`."""
    try:
        sandbox(prog_name="python -m sync.trial.sandbox")
    except SyncError as error:
        click.echo(str(error), err=True)
        raise SystemExit(error.exit_code) from error
