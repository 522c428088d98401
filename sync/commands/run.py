"""`closingdealz-sync run`: the daemon."""

from __future__ import annotations

from pathlib import Path

import click

from sync.commands.click_options import config_option


@click.command()
@config_option
def run(config: Path | None) -> None:
    """Poll and deliver until SIGTERM or SIGINT; SIGHUP reads the configuration anew.

    The log goes to stdout, one JSON object a line (pretty on a terminal). Another process with the same ledger ends
    this one with exit code 75.
    """
    from sync.config.load import find_config
    from sync.service import daemon

    daemon.run(find_config(config))
