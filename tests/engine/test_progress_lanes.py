"""The engine's own lanes of the cursor: ledgers of every version are read on, and only what changed is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from state.ledger import Ledger
from state.rows import LaneMove
from state.streams import DeclaredStream
from sync.polling.progress import (
    Baseline,
    FirstScanProgress,
    StreamProgress,
    SweepProgress,
    connector_lanes,
    progress_of,
    save_progress,
)
from sync.shared.words import Json

LANES: list[tuple[str, Json, StreamProgress]] = [
    ("@account", {"is": "org 1"}, StreamProgress(account="org 1")),
    ("@alike", {"noted": True}, StreamProgress(has_spellings=True)),
    ("@baseline", {"before": "2026-01-01", "over": False}, StreamProgress(baseline=Baseline("2026-01-01"))),
    ("@contacts", {"done": True}, StreamProgress(has_contacts=True)),
    ("@first", {"over": False}, StreamProgress(first_scan=FirstScanProgress())),
    ("@first", {"over": True}, StreamProgress(first_scan=FirstScanProgress(over=True))),
    ("@first", {"over": True, "poll": 3}, StreamProgress(first_scan=FirstScanProgress(over=True, poll=3))),
    (
        "@first",
        {"over": True, "poll": 3, "left_out": 2},
        StreamProgress(first_scan=FirstScanProgress(over=True, poll=3, left_out=2)),
    ),
    ("@reread", {"after": 0}, StreamProgress(reread_after=0)),
    ("@sweep", {"after": "x", "ended": None}, StreamProgress(sweep=SweepProgress("x"))),
    (
        "@sweep",
        {"after": None, "ended": 9.5, "swept": True},
        StreamProgress(sweep=SweepProgress(None, 9.5, swept=True)),
    ),
]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.db", own=True) as opened:
        declared = DeclaredStream("erp.companies", {"connector": "sql"}, "main", "hold", "v1", ())
        opened.streams.register([declared])
        yield opened


@pytest.mark.parametrize(("lane", "cursor", "progress"), LANES)
def test_a_ledgers_lane_is_read_and_written_as_it_always_was(
    ledger: Ledger, lane: str, cursor: Json, progress: StreamProgress
) -> None:
    ledger.streams.move(1, LaneMove(lane, cursor))
    assert progress_of(ledger, 1) == progress
    save_progress(ledger, 1, progress, StreamProgress())
    assert ledger.streams.lanes(1) == {}
    save_progress(ledger, 1, StreamProgress(), progress)
    assert ledger.streams.lanes(1) == {lane: cursor}


def test_a_lane_that_another_process_moved_meanwhile_is_left_alone(ledger: Ledger) -> None:
    before = progress_of(ledger, 1)
    ledger.streams.move(1, LaneMove("@reread", {"after": 0}))
    save_progress(ledger, 1, before, replace(before, sweep=SweepProgress("x")))
    assert progress_of(ledger, 1) == StreamProgress(reread_after=0, sweep=SweepProgress("x"))


def test_a_connector_does_not_see_the_engines_lanes() -> None:
    assert connector_lanes({"live": {"through": 1}, "@sweep": {"after": None}}) == {"live": {"through": 1}}
