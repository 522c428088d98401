"""`closingdealz-sync run`: the daemon."""

from __future__ import annotations

from pathlib import Path

import click

from sync.commands.click_options import config_option


@click.command()
@config_option
def run(config: Path | None) -> None:
    """Poll and deliver until SIGTERM or SIGINT; SIGHUP reloads the configuration.

    The log goes to stdout, one JSON object a line (pretty on a terminal). It exits with 75 if another process has the
    ledger.
    """
    from sync.config.load import find_config
    from sync.service import daemon

    daemon.run(find_config(config))
