"""HubSpot's limits are kept, by a clock that the test moves: what the stand-in would answer with 429 never comes."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.hubspot.connector import HubspotConnectorType
from connectors.interface import Connector
from sync.shared.errors import SourceUnavailable
from sync.shared.words import Wanted
from tests.hubspot.hubspot_answers import BURST, DAILY, SECONDLY, Answer, limited
from tests.hubspot.hubspot_portal import START, Portal
from tests.hubspot.hubspot_server import Asked, Standin
from tests.hubspot.hubspot_world import source, spec

COMPANIES = spec(Wanted(frozenset({("name",)})), page_size=100)
MINUTE, HOUR = 60, 3600


@pytest.fixture
def kind(portal: Portal) -> HubspotConnectorType:
    for n in range(1, 1501):
        portal.put("companies", n, portal.now - 86_400_000, name="Firm")
    return HubspotConnectorType(portal.clock)


def poll(connector: Connector) -> int:
    return sum(len(page.records) for page in connector.read(COMPANIES, {}))


def most_within(calls: list[Asked], seconds: float) -> int:
    """The most calls in any such span."""
    at = [call.at for call in calls]
    return max((sum(start <= each < start + seconds for each in at) for start in at), default=0)


def test_searches_and_calls_keep_to_their_share(kind: HubspotConnectorType, standin: Standin) -> None:
    """Two searches a second of the account's five; half of the calls in ten seconds."""
    connector = kind.open("hub", source(standin))
    for _ in range(4):
        poll(connector)
    for _ in range(9):
        connector.size(COMPANIES)
    searches = [call for call in standin.calls if call.name == "search"]
    others = [call for call in standin.calls if call.name != "search"]
    assert most_within(searches, 1.0) == 2
    assert most_within(others, 10.0) == 50
    assert len(others) > 60


def test_the_streams_of_a_source_share_one_pace(kind: HubspotConnectorType, standin: Standin) -> None:
    one, other = (kind.open("hub", source(standin)) for _ in range(2))
    pages = [one.read(COMPANIES, {}), other.read(COMPANIES, {})]
    while pages:
        pages = [each for each in pages if next(each, None) is not None]
        one.size(COMPANIES)
        other.size(COMPANIES)
    assert most_within([call for call in standin.calls if call.name == "search"], 1.0) == 2
    assert most_within([call for call in standin.calls if call.name != "search"], 10.0) <= 50


def test_a_bigger_plan_is_used_by_its_headers(
    kind: HubspotConnectorType, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.hubspot.hubspot_server.BURST_LIMIT", 190)
    connector = kind.open("hub", source(standin))
    for _ in range(10):
        poll(connector)
    assert most_within([call for call in standin.calls if call.name != "search"], 10.0) in (95, 96)


def test_a_burst_that_others_used_up_is_waited_out(kind: HubspotConnectorType, standin: Standin) -> None:
    def busy(asked: Asked) -> Answer | None:
        if asked.name != "account":
            return None
        answer = standin.answers.account()
        answer.headers["X-HubSpot-RateLimit-Max"] = "100"
        answer.headers["X-HubSpot-RateLimit-Remaining"] = "9"
        answer.headers["X-HubSpot-RateLimit-Interval-Milliseconds"] = "10000"
        return answer

    standin.faults.append(busy)
    poll(kind.open("hub", source(standin)))
    first, second = standin.calls[:2]
    assert (first.name, second.at - first.at >= 10) == ("account", True)


@pytest.mark.parametrize(
    ("answer", "least", "most"),
    [
        (SECONDLY, 1, 1.8),
        (BURST, 10, 13),
        (limited("SECONDLY", "You have reached your secondly limit."), 1, 1.8),
        (Answer(429, SECONDLY.body, {"Retry-After": "7"}), 7, 9),
    ],
)
def test_a_429_is_waited_out_by_its_policy(
    answer: Answer, least: float, most: float, kind: HubspotConnectorType, standin: Standin
) -> None:
    standin.fail(answer, name="search")
    connector = kind.open("hub", source(standin))
    assert poll(connector) == 1500
    searches = [call.at for call in standin.calls if call.name == "search"]
    assert least <= searches[1] - searches[0] <= most


def test_the_day_that_is_used_up_ends_at_the_accounts_midnight(kind: HubspotConnectorType, standin: Standin) -> None:
    """Noon in UTC is eight in New York: midnight there is sixteen hours away. Once an hour one call looks."""
    standin.faults.append(lambda asked: DAILY if asked.at < START + 16 * HOUR else None)
    standin.fail(standin.answers.account(), name="account")
    standin.faults.reverse()
    connector = kind.open("hub", source(standin))
    told: set[str] = set()
    while standin.portal.clock.time < START + 17 * HOUR:
        try:
            poll(connector)
            break
        except SourceUnavailable as error:
            told.add(error.message.partition(";")[0])
        standin.portal.clock.time += 5 * MINUTE
    assert told == {"HubSpot says that the calls of the day are used up"}
    assert standin.portal.clock.time >= START + 16 * HOUR - 5
    assert len([call for call in standin.calls if call.at < START + 16 * HOUR]) <= 19


def test_the_reserve_for_others_is_not_touched(kind: HubspotConnectorType, standin: Standin) -> None:
    standin.daily = (250_000, 25_010)
    connector = kind.open("hub", source(standin))
    with pytest.raises(SourceUnavailable) as caught:
        poll(connector)
    assert caught.value.message == (
        "only 24,999 of the 250,000 calls of the day are left, and those are reserved for others"
    )
    before = len(standin.calls)
    for _ in range(5):
        standin.portal.clock.time += 5 * MINUTE
        with pytest.raises(SourceUnavailable):
            poll(connector)
    assert len(standin.calls) == before
    standin.daily = (250_000, 250_000)
    standin.portal.clock.time += HOUR
    assert poll(connector) == 1500


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (Answer(477, {"message": "moving"}, {"Retry-After": "7200"}), 3600),
        (Answer(503, {"message": "later"}, {"Retry-After": "600"}), 600),
        (Answer(429, SECONDLY.body, {"Retry-After": "90000"}), 3600),
    ],
)
def test_a_long_wait_ends_the_poll_and_nobody_calls_meanwhile(
    answer: Answer, seconds: float, kind: HubspotConnectorType, standin: Standin
) -> None:
    standin.fail(answer, name="list")
    with pytest.raises(SourceUnavailable):
        poll(kind.open("hub", source(standin)))
    before = len(standin.calls)
    standin.portal.clock.time += seconds - 5
    with pytest.raises(SourceUnavailable):
        poll(kind.open("hub", source(standin)))  # as the engine does after each failure
    assert len(standin.calls) == before
    standin.portal.clock.time += 10
    assert poll(kind.open("hub", source(standin))) == 1500


def test_answers_without_any_header_are_paced_as_the_smallest_plan(
    kind: HubspotConnectorType, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(self: Any, asked: Asked) -> dict[str, str]:
        return {}

    monkeypatch.setattr(Standin, "_headers", silent)
    connector = kind.open("hub", source(standin))
    for _ in range(4):
        poll(connector)
    assert most_within([call for call in standin.calls if call.name != "search"], 10.0) == 50
