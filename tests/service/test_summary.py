"""The line of `systemctl status`: what is wrong first, in names and counts alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync import log
from sync.log import emit
from sync.service.health import Stall, Witness, summary_of
from tests.service.service_world import StoppedClock, engine_of


def test_what_is_wrong_comes_first(tmp_path: Path, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch) -> None:
    witness = Witness(clock.boot)
    with log.heard_by(witness), engine_of(tmp_path, clock, monkeypatch) as (engine, _, _):
        well = "waiting; 0 pending, 0 sent since the start"
        assert summary_of(engine, witness, (), 0) == well
        engine.streams["erp.companies"].turn()
        assert summary_of(engine, witness, (), 0) == well.replace("0 pending", "1 pending")
        error = {"error": "host db.example.com", "failures": 1, "retry_in": 1}
        emit("poll_failed", stream="erp.companies", kind="SourceUnavailable", **error)
        config = engine.plan.config.path
        sound = config.read_text()
        config.write_text("nonsense")
        emit("config_refused", config="c", problems=["p"])
        found = summary_of(engine, witness, [Stall("the scheduler", 0.0, 0.0)], 2)
        assert found.startswith(
            "the scheduler is dead; the new configuration is refused, the old one in force; 2 batches in doubt;"
            " cannot read erp.companies; waiting; 1 pending"
        )
        assert "db.example.com" not in found
        config.write_text(sound)
        assert "is refused" not in summary_of(engine, witness, (), 0)
        emit("config_reloaded", config="c", streams=[], workspaces=[])
        engine.streams["erp.companies"].turn()
        assert summary_of(engine, witness, (), 1).startswith("1 batch in doubt; waiting")
