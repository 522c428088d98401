"""A daemon of many streams that finds nothing says so once an hour, not at each poll."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from sync import log
from tests.service.service_world import StoppedClock, engine_of


def test_idle_polls_are_told_once_an_hour_and_heard_each_time(
    tmp_path: Path, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, heard = io.StringIO(), []
    log.configure("info", "json", out)
    with (
        engine_of(tmp_path, clock, monkeypatch) as (engine, _, _),
        log.heard_by(lambda event, _level, _fields: heard.append(event)),
    ):
        for _ in range(14):  # ten minutes apart
            engine.streams["erp.companies"].turn()
            clock.advance(600)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    polls = [line["read"] for line in lines if line["event"] == "poll" and line["kind"] == "poll"]
    assert polls == [1, 0, 0], "what was found, and two of thirteen that found nothing"
    assert heard.count("poll") >= 14
    log.configure()


def test_a_line_names_a_few_of_many() -> None:
    assert log.few(["b", "a"]) == ["a", "b"]
    assert log.few(f"s{n:03}" for n in range(400))[-2:] == ["s019", "and 380 more"]
