"""An edited mapping judges unsent records anew, from what was kept of them only where that is surely enough."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from connectors.interface import StreamSpec
from state.ledger import Ledger
from sync.config.load import load_config
from sync.engine.compiled_config import CompiledConfig
from sync.engine.engine import Engine
from sync.shared.errors import ConfigError
from sync.shared.words import Json, Page
from sync.trial.configuration import database_table, stream_tables, workspace_tables


@pytest.fixture
def config(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "erp.db")) as source:
        source.execute("CREATE TABLE firms (id INTEGER PRIMARY KEY, name TEXT, place JSON, at TEXT)")
        place = '{"city": "Ulm", "branch": "Steel"}'
        source.execute("INSERT INTO firms VALUES (1, 'Acme', ?, '2026-01-01 00:00:00')", (place,))
        source.commit()
    path = tmp_path / "config.toml"
    stream = {"table": "firms", "key": "id", "modified": "at", "on_change": "resend"}
    lead = {"kind": "company", "name": "name", "addresses": "[place.city]"}
    path.write_text(
        workspace_tables("http://127.0.0.1:9")
        + database_table("erp", tmp_path / "erp.db", {})
        + stream_tables("erp.firms", stream, lead),
        encoding="utf-8",
    )
    path.chmod(0o600)
    return path


WAITING = "SELECT lead FROM records JOIN payloads ON payloads.id = payload WHERE state = 'pending'"


def turn(config: Path) -> list[dict[str, object]]:
    """One poll by the file as it stands; the leads that wait now."""
    loaded = load_config(config)
    with Ledger(loaded.ledger_path, own=True) as ledger:
        engine = Engine(CompiledConfig.of(loaded), ledger)
        engine.streams["erp.firms"].turn()
        engine.close()
        with ledger.file.read() as connection:
            rows = connection.execute(WAITING).fetchall()
    return [orjson.loads(row["lead"]) for row in rows]


def test_a_member_that_the_old_mapping_did_not_read_is_read_again(config: Path) -> None:
    assert "industry" not in turn(config)[0]
    text = config.read_text(encoding="utf-8").replace('name = "name"', 'name = "name"\nindustry = "place.branch"')
    config.write_text(text, encoding="utf-8")
    assert [lead["industry"] for lead in turn(config)] == ["Steel"]


def test_a_turn_of_an_engine_that_stopped_writes_nothing(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_config(config)
    with Ledger(loaded.ledger_path, own=True) as ledger:
        engine = Engine(CompiledConfig.of(loaded), ledger)
        stream = engine.streams["erp.firms"]
        connect = stream._connect

        class Stopping:
            """Stops the engine while a page is on its way from the source."""

            def __init__(self) -> None:
                self.real = connect()

            def __getattr__(self, name: str) -> object:
                return getattr(self.real, name)

            def read(self, stream: StreamSpec, lanes: Mapping[str, Json]) -> Iterator[Page]:
                for page in self.real.read(stream, lanes):
                    if page.records:
                        engine.stop()
                    yield page

        monkeypatch.setattr(stream, "_connect", Stopping)
        stream.turn()
        assert ledger.records.counts() == {}
        assert ledger.streams.last_polls()[1]["outcome"] == "stopped"


@pytest.mark.parametrize(
    ("old", "new"), [('modified = "at"\n', ""), ('modified = "at"', 'modified = "at"\nmodified_as = "sequence"')]
)
def test_a_start_date_needs_times(config: Path, old: str, new: str) -> None:
    text = config.read_text(encoding="utf-8").replace('start = "all"', 'start = "2026-01-01"').replace(old, new)
    config.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="a date needs a modified column that holds times"):
        load_config(config)
