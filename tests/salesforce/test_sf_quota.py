"""The day's API requests: read from every answer, shared with others, and never used up by us."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connectors.salesforce.connector import SalesforceConnector
from connectors.salesforce.quota import LOOK_AGAIN, Usage, parse_usage
from sync.shared.errors import SourceUnavailable
from sync.shared.words import Json, Page
from tests.salesforce.sf_faults import error
from tests.salesforce.sf_server import StandIn
from tests.salesforce.sf_world import account, connect, fields, poll, records_of, settle_down, stream


@pytest.mark.parametrize(
    ("header", "usage"),
    [
        ("api-usage=891/15000", Usage(891, 15_000)),
        ("api-usage=18/5000; per-app-api-usage=17/250(appName=some app)", Usage(18, 5000)),
        ("api-bursts=1/750; api-usage=73994/305000", Usage(73_994, 305_000)),
        ("per-app-api-usage=17/250(appName=x)", None),
        ("api-usage=5/0", None),
        ("", None),
        ("rubbish", None),
    ],
)
def test_the_header_is_read_in_all_its_forms(header: str, usage: Usage | None) -> None:
    assert parse_usage(header) == usage


def test_errors_tell_the_usage_too(stand_in: StandIn) -> None:
    shared = account(stand_in)
    stand_in.used = 5000
    stand_in.faults.append(error(500, "UNKNOWN_EXCEPTION"))
    with pytest.raises(SourceUnavailable):
        poll(SalesforceConnector(shared), stream(), {})
    assert shared.quota.usage == Usage(5001, 15_000)


def test_a_source_pauses_at_its_share_and_looks_again_now_and_then(stand_in: StandIn) -> None:
    clock = [0.0]
    connector, lanes = connect(stand_in, lambda: clock[0], quota=0.8), dict[str, Json]()
    stand_in.used = 12_100
    with pytest.raises(SourceUnavailable, match=r"12,101 of 15,000 API requests .* are used \(81%\); quota is 80%"):
        poll(connector, stream(), lanes)
    assert sum(stand_in.calls().values()) == 1
    for _ in range(5):
        clock[0] += LOOK_AGAIN / 6
        with pytest.raises(SourceUnavailable, match="reading pauses"):
            poll(connector, stream(), lanes)
    assert sum(stand_in.calls().values()) == 1
    clock[0] += LOOK_AGAIN / 3
    with pytest.raises(SourceUnavailable, match="reading pauses"):
        poll(connector, stream(), lanes)
    assert sum(stand_in.calls().values()) == 2
    stand_in.used = 300  # the rolling day has moved on
    clock[0] += LOOK_AGAIN + 4000
    poll(connector, stream(), lanes)


def test_before_that_only_changes_are_read_and_less_often(stand_in: StandIn) -> None:
    old = stand_in.org.put("Account", 1, Name="Firm")
    settle_down(stand_in)
    clock = [0.0]
    connector, lanes = connect(stand_in, lambda: clock[0], quota=0.8), dict[str, Json]()
    stand_in.used = 11_000
    with pytest.raises(SourceUnavailable, match="only changes are read"):
        poll(connector, stream(), lanes)
    assert set(lanes) == {"child:contacts", "live"}
    with pytest.raises(SourceUnavailable, match="only changes are read"):
        list(connector.sweep(stream(), None))
    with pytest.raises(SourceUnavailable, match="polls are slowed down"):
        poll(connector, stream(), lanes)
    new = stand_in.org.put("Account", 2, Name="Firm")
    settle_down(stand_in)
    clock[0] += 3600
    pages: list[Page] = []
    with pytest.raises(SourceUnavailable, match="only changes are read"):
        pages.extend(moved(connector, lanes))
    assert set(records_of(pages)) == {new}
    stand_in.used = 100  # which the next poll's first answer tells
    clock[0] += 3600
    assert old in records_of(poll(connector, stream(), lanes))


def moved(connector: SalesforceConnector, lanes: dict[str, Json]) -> Iterator[Page]:
    """One poll's pages, as far as it comes; `lanes` move with them."""
    for page in connector.read(stream(), lanes):
        lanes[page.lane] = page.cursor
        yield page


def test_all_streams_of_a_source_hold_back_together(stand_in: StandIn) -> None:
    shared = account(stand_in, quota=0.5)
    stand_in.used = 9000
    for _ in range(3):
        with pytest.raises(SourceUnavailable, match="reading pauses"):
            poll(SalesforceConnector(shared), stream(), {})
    assert sum(stand_in.calls().values()) == 1


def test_answers_that_do_not_tell_change_nothing(stand_in: StandIn) -> None:
    stand_in.says_usage = False
    shared = account(stand_in)
    poll(SalesforceConnector(shared), stream(), {})
    assert shared.quota.usage is None


def test_leads_that_the_user_may_not_see_are_not_asked_for_at_each_poll(stand_in: StandIn) -> None:
    """A contact may have been a lead before; here nobody sees leads."""
    del stand_in.org.fields["Lead"]
    clock = [0.0]
    connector, lanes = connect(stand_in, lambda: clock[0]), dict[str, Json]()
    described = []
    for number in range(14):
        stand_in.forget()
        stand_in.org.put("Contact", number, LastName="Doe")
        settle_down(stand_in)
        poll(connector, stream(fields("LastName"), "Contact"), lanes)
        described.append([asked.path.split("/")[5] for asked in stand_in.asked if "describe" in asked.path])
        clock[0] += 300
    assert described == [["Contact", "Lead"], *[[]] * 12, ["Lead"]]


def test_a_poll_with_nothing_new_costs_one_request_for_each_object(stand_in: StandIn) -> None:
    for number in range(3):
        id_ = stand_in.org.put("Account", number, Name="Firm")
        stand_in.org.put("Contact", number, AccountId=id_, Email="a@x.example")
    settle_down(stand_in)
    connector, lanes = connect(stand_in), dict[str, Json]()
    poll(connector, stream(), lanes)
    settle_down(stand_in)
    poll(connector, stream(), lanes)
    settle_down(stand_in)
    stand_in.forget()
    assert not records_of(poll(connector, stream(), lanes))
    assert stand_in.calls() == {"Account": 1, "Contact": 1}
    assert len(stand_in.asked) == 2
    assert not stand_in.logins
