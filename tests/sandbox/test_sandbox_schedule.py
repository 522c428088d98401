"""Which failure strikes which request."""

from __future__ import annotations

import pytest

from sync.trial.sandbox.faults import OK, FaultSchedule, parse_fault, parse_rate, parse_script


def names(schedule: FaultSchedule, count: int) -> list[str]:
    return [schedule.next().fault.name for _ in range(count)]


@pytest.mark.parametrize(
    ("text", "kind", "created", "status", "seconds"),
    [
        ("429", "status", False, 429, None),
        ("503:30", "status", False, 503, 30),
        ("500-after", "status", True, 500, None),
        ("502-after:5", "status", True, 502, 5),
        ("timeout-before", "timeout", False, 200, None),
        ("timeout-after:1m30s", "timeout", True, 200, 90),
        ("reset-before", "reset", False, 200, None),
        ("reset-after", "reset", True, 200, None),
        ("half", "half", True, 200, None),
        ("malformed", "malformed", True, 200, None),
        ("not-succeeded", "not-succeeded", False, 200, None),
        ("not-succeeded-after", "not-succeeded", True, 200, None),
        ("partly", "partly", True, 200, None),
        ("ok", "ok", True, 200, None),
    ],
)
def test_names_of_failures(text: str, kind: str, created: bool, status: int | None, seconds: float | None) -> None:
    fault = parse_fault(text)
    assert (fault.kind, fault.created, fault.status, fault.seconds) == (kind, created, status, seconds)


@pytest.mark.parametrize(
    "text", ["", "200", "600", "99", "timeout", "timeout-before:5", "refuse:", "reset", "429:soon"]
)
def test_unknown_names_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_fault(text)


def test_rates() -> None:
    assert parse_rate("429=0.05") == ("429", 0.05)
    assert parse_rate("503:30=1") == ("503:30", 1.0)
    assert parse_rate("refuse:a=b") == ("refuse:a=b", 1.0)
    assert parse_rate("refuse:a=0.5") == ("refuse:a", 0.5)


@pytest.mark.parametrize("text", ["429", "429=", "429=2", "429=-1", "429=often", "429=nan"])
def test_a_rate_is_needed_and_lies_between_0_and_1(text: str) -> None:
    with pytest.raises(ValueError, match="rate"):
        parse_rate(text)


@pytest.mark.parametrize("script", ["ok, timeout-after,429*3,ok*", ["ok", "timeout-after", "429*3", "ok*"]])
def test_a_script_goes_step_by_step(script: str | list[str]) -> None:
    schedule = FaultSchedule(script=script)
    assert names(schedule, 8) == ["ok", "timeout-after", "429", "429", "429", "ok", "ok", "ok"]


def test_a_script_as_json_may_hold_commas() -> None:
    assert parse_script('["refuse:a,b", "ok*"]')[0].fault.text == "a,b"
    with pytest.raises(ValueError, match="JSON"):
        parse_script("[ok")


def test_for_ever_comes_last() -> None:
    with pytest.raises(ValueError, match="last"):
        parse_script("ok*,429")


def test_rates_take_over_when_the_script_is_used_up() -> None:
    assert names(FaultSchedule({"500": 1.0}, "ok*2"), 4) == ["ok", "ok", "500", "500"]


def test_one_seed_gives_one_sequence() -> None:
    rates = {"429": 0.3, "reset-after": 0.3}
    first, again = (names(FaultSchedule(rates, seed=7), 200) for _ in range(2))
    assert first == again
    assert first != names(FaultSchedule(rates, seed=8), 200)


def test_rates_come_out_as_asked() -> None:
    drawn = names(FaultSchedule({"429": 0.2, "500": 0.1}, seed=1), 20_000)
    assert 0.18 < drawn.count("429") / 20_000 < 0.22
    assert 0.09 < drawn.count("500") / 20_000 < 0.11
    assert drawn.count("ok") == 20_000 - drawn.count("429") - drawn.count("500")


def test_rates_over_one_in_sum_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 1"):
        FaultSchedule({"429": 0.6, "500": 0.6})


def test_texts_to_refuse_stand_beside_all_else() -> None:
    schedule = FaultSchedule({"refuse:poison": 1.0, "500": 1.0}, ["ok", "refuse:once"])
    strikes = [schedule.next() for _ in range(3)]
    assert [strike.refused for strike in strikes] == [("poison",), ("poison", "once"), ("poison",)]
    assert [strike.fault.name for strike in strikes] == ["ok", "ok", "500"]
    assert FaultSchedule().next().fault is OK
