"""The parts of a source's API that end: in the log once a day, and as a figure, whatever the configuration that is in
force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from connectors.registry import CONNECTORS
from state.ledger import Ledger
from sync.config.load import load_config
from sync.config.schema import Config
from sync.engine.compiled_config import CompiledConfig
from sync.engine.engine import Engine
from sync.events import Level
from sync.log import heard_by
from sync.service.maintenance import SupportEnds
from sync.service.metrics import GaugeReadings, Watched

CONFIG = """
[ledger]
path = "ledger.db"
[workspaces.main]
api_key = "key"
[sources.old]
connector = "ageing"
ends_in = [90, 170, 300]
[sources.old.streams.things]
start = "all"
on_change = "hold"
[sources.old.streams.things.lead]
kind = "company"
name = "name"
"""
DAY = 86_400.0


@dataclass
class Daemon:
    """As far as this figure asks."""

    engine: Engine


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setitem(CONNECTORS, "ageing", "tests.ageing_connector")
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    path.chmod(0o600)
    return load_config(path)


def said(ends: SupportEnds, config: Config, at: float) -> list[int]:
    """The days that are left by what the log says at that time."""
    found: list[int] = []

    def hear(event: str, level: Level, fields: Mapping[str, Any]) -> None:
        assert (event, level, fields["source"]) == ("source_api_ends", "warning", "old")
        found.append(fields["days"])

    with heard_by(hear):
        ends.say(config, at)
    return found


def test_it_is_said_once_a_day(config: Config) -> None:
    ends, now = SupportEnds(), datetime.now(UTC).replace(hour=1).timestamp()
    assert said(ends, config, now) == [90, 170]
    assert said(ends, config, now + 3600) == []
    assert said(ends, config, now + DAY) == [89, 169]
    assert said(ends, config, now + 130 * DAY) == [-40, 40, 170]


def test_every_end_is_a_figure(config: Config) -> None:
    with Ledger(config.ledger_path, own=True) as ledger:
        daemon = Daemon(Engine(CompiledConfig.of(config), ledger))
        (family,) = GaugeReadings(cast("Watched", daemon))._ends()  # the part that is asked for
    assert family.name == "closingdealz_sync_source_api_ends_timestamp_seconds"
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    assert [(each.labels["source"], each.value) for each in family.samples] == [
        ("old", today + days * DAY) for days in (90, 170, 300)
    ]
