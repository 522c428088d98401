"""The command line over the stand-in HubSpot."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from sync.cli import COMMANDS
from tests.hubspot.hubspot_server import Standin


def write_config(folder: Path, standin: Standin, text: str) -> Path:
    text = text.replace("https://api.hubapi.com", standin.url).replace(
        '# base_url = "http://127', 'base_url = "http://127'
    )
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


def command(name: str, *words: str) -> Any:
    module, _, attribute = COMMANDS[name][0].partition(":")
    return CliRunner().invoke(getattr(import_module(module), attribute), list(words))
