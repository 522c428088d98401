"""What of a source's API ends is said long before, offline, by every command that says what needs a person."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from connectors.registry import CONNECTORS
from tests.commands.command_world import World

SOURCE = """
[sources.old]
connector = "ageing"
ends_in = {days}
[sources.old.streams.things]
start = "all"
on_change = "hold"
[sources.old.streams.things.lead]
kind = "company"
name = "name"
"""


@pytest.fixture(autouse=True)
def _ageing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONNECTORS, "ageing", "tests.ageing_connector")


def ageing(world: World, *days: int) -> None:
    world.write_config()
    world.config.write_text(world.config.read_text() + SOURCE.format(days=list(days)))


def day(days: int) -> str:
    return (datetime.now(UTC).date() + timedelta(days=days)).isoformat()


def test_status_shows_what_ends_within_180_days_and_what_has_ended(world: World) -> None:
    ageing(world, 181, 180, 1, 0, -3)
    found = world.json("status")["needs_person"]["ageing"]
    assert [(each["source"], each["days"], each["date"]) for each in found] == [
        ("old", days, day(days)) for days in (-3, 0, 1, 180)
    ]
    assert found[0] == {
        "source": "old",
        "what": 'the paths of api = "-3"',
        "date": day(-3),
        "days": -3,
        "cure": 'set api = "new"',
    }
    shown = world.run("status")
    assert shown.exit_code == 0
    assert f'source old: the paths of api = "-3" ended on {day(-3)}' in shown.stdout
    assert f'source old: the paths of api = "1": ends on {day(1)}, tomorrow' in shown.stdout
    assert f'source old: the paths of api = "180": ends on {day(180)}, in 180 days' in shown.stdout
    assert shown.stdout.count('set api = "new"') == 4


def test_nothing_is_said_of_what_is_far_away(world: World) -> None:
    ageing(world, 400)
    assert world.json("status")["needs_person"]["ageing"] == []
    assert "api" not in world.run("status").stdout


def test_it_is_shown_beside_a_ledger_too(world: World) -> None:
    world.companies([1])
    world.run("once")
    ageing(world, 10)
    assert [each["days"] for each in world.json("status")["needs_person"]["ageing"]] == [10]


def test_check_warns_without_a_network(world: World) -> None:
    ageing(world, 10, -1)
    found = world.json("check", "--file")
    ends = [each for each in found["findings"] if each["where"] == "sources.old"]
    assert [each["level"] for each in ends] == ["warning", "warning"]
    assert ends[0]["text"] == f'the paths of api = "-1" ended on {day(-1)}'
    assert (ends[0]["hint"], found["exit_code"]) == ('set api = "new"', 0)
