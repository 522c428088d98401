"""A connector says how far a lane is read; nobody else looks into its cursor."""

from __future__ import annotations

import pytest

from connectors.interface import LaneProgress, TellsProgress
from connectors.registry import CONNECTORS, connector_type
from sync.shared.words import Json

AT, LATER = "2026-01-02T03:04:05.000000Z", "2026-01-02T04:00:00.000000Z"
COMPLETE = LaneProgress(is_complete=True)

CURSORS: list[tuple[str, Json, LaneProgress]] = [
    ("sql", {"of": "m", "through": AT, "window": None}, LaneProgress(through=AT)),
    ("sql", {"of": "m", "through": AT, "window": {"low": None, "high": LATER}}, LaneProgress(through=AT, until=LATER)),
    ("sql", {"of": "n", "through": 7, "window": {"low": 7, "high": None}}, LaneProgress(through="7")),
    ("sql", {"of": "m", "high": AT, "after": [AT, "1"]}, LaneProgress(older_than=AT)),
    ("sql", {"of": None, "after": "12"}, LaneProgress()),
    ("sql", {"of": "m", "done": True}, COMPLETE),
    ("salesforce", {"of": "m", "through": AT, "window": {"high": LATER}}, LaneProgress(through=AT, until=LATER)),
    ("salesforce", {"of": "m", "window": {"low": None, "high": LATER}}, LaneProgress(until=LATER)),
    ("salesforce", {"of": "m", "done": True}, COMPLETE),
    ("hubspot", {"through": AT, "fast": {}, "settled": {}, "bin": {}}, LaneProgress(through=AT)),
    ("hubspot", {"after": "12"}, LaneProgress()),
    ("hubspot", {"list": "4", "count": 12, "members": ""}, LaneProgress(records=12)),
    ("hubspot", {"done": True}, COMPLETE),
]


@pytest.mark.parametrize(("name", "cursor", "progress"), CURSORS)
def test_a_connector_says_how_far_a_lane_is_read(name: str, cursor: Json, progress: LaneProgress) -> None:
    kind = connector_type(name)
    assert isinstance(kind, TellsProgress)
    assert kind.progress(cursor) == progress


@pytest.mark.parametrize("name", CONNECTORS)
@pytest.mark.parametrize("cursor", [None, {}, "text", 3])
def test_of_any_other_cursor_nothing_is_known(name: str, cursor: Json) -> None:
    kind = connector_type(name)
    assert isinstance(kind, TellsProgress)
    assert kind.progress(cursor) == LaneProgress()
