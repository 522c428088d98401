"""Reading: what Salesforce does to queries, and what it costs."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sync.shared.errors import SourceUnavailable
from tests.salesforce.sf_faults import Asked, Fault, error
from tests.salesforce.sf_server import StandIn
from tests.salesforce.sf_world import Reading, connect, fields, firms, on, poll, settle_down, stream


def test_answers_may_hold_fewer_rows_than_asked_for(stand_in: StandIn) -> None:
    ids = firms(stand_in, 30)
    for size in (1, 7, 29, 30, 31):
        stand_in.batch_size = size
        assert set(Reading(stand_in).records()) == set(ids)


def test_a_lost_locator_costs_nothing_that_was_read(stand_in: StandIn) -> None:
    ids = firms(stand_in, 20)
    stand_in.batch_size = 3
    stand_in.faults = [error(400, "INVALID_QUERY_LOCATOR") for _ in range(4)]
    stand_in.faults = [Fault(fault.status, fault.body, on=on("/query/0r8")) for fault in stand_in.faults]
    found = [record.id for page in Reading(stand_in).pages() for record in page.records]
    assert sorted(found) == sorted(ids)
    assert not stand_in.faults
    assert len([soql for soql in stand_in.queries if "Id > " in soql and "FROM Account" in soql]) == 4


@pytest.mark.parametrize("code", ["QUERY_TIMEOUT", "OPERATION_TOO_LARGE"])
def test_a_query_that_takes_too_long_is_asked_in_parts(stand_in: StandIn, code: str) -> None:
    ids = firms(stand_in, 8)
    reading = Reading(stand_in)
    stand_in.faults = [Fault(400, [{"errorCode": code, "message": ""}], on=on("FROM Account WHERE SystemModstamp"))] * 6
    assert set(reading.records()) == set(ids)
    for number, id_ in enumerate(ids):
        stand_in.org.advance(timedelta(minutes=7))
        stand_in.org.touch("Account", id_, Name=f"New {number}")
    stand_in.faults = [Fault(400, [{"errorCode": code, "message": ""}], on=on("FROM Account WHERE SystemModstamp"))] * 6
    assert {record.data["Name"] for record in reading.records().values()} == {f"New {number}" for number in range(8)}
    assert not stand_in.faults


def test_how_far_a_slow_query_was_halved_is_remembered(stand_in: StandIn) -> None:
    firms(stand_in, 8)
    reading = Reading(stand_in)
    settle_down(stand_in)
    slow = Fault(400, [{"errorCode": "QUERY_TIMEOUT", "message": ""}], on=on("FROM Account WHERE System"), times=999)
    for _ in range(3):
        stand_in.faults = [slow]
        pages = reading.connector.read(reading.spec, reading.lanes)
        for page, _ in zip(pages, range(7), strict=False):
            reading.lanes[page.lane] = page.cursor
    assert stand_in.faults
    low, high = (reading.lanes["backfill"]["window"][key] for key in ("low", "high"))
    assert (low, high < "2003") == (None, True)
    stand_in.faults = [slow]
    with pytest.raises(SourceUnavailable, match="took too long"):
        poll(reading.connector, reading.spec, reading.lanes)
    stand_in.faults = []
    assert len(reading.records()) == 8


def test_children_of_many_that_take_too_long_are_asked_of_fewer(stand_in: StandIn) -> None:
    ids = firms(stand_in, 16)
    for number, id_ in enumerate(ids):
        stand_in.org.put("Contact", number, AccountId=id_, Email=f"{number}@x.example")

    def of_many(asked: Asked) -> bool:
        return "AccountId IN" in (asked.soql or "") and (asked.soql or "").count("001dM") > 4

    stand_in.faults = [Fault(400, [{"errorCode": "QUERY_TIMEOUT", "message": ""}], on=of_many, times=999)]
    found = Reading(stand_in).records()
    assert {len(record.data["contacts"]) for record in found.values()} == {1}


def test_a_sweep_that_takes_too_long_asks_for_fewer(stand_in: StandIn) -> None:
    ids, reading = firms(stand_in, 8), Reading(stand_in)
    stand_in.faults = [Fault(400, [{"errorCode": "QUERY_TIMEOUT", "message": ""}], on=on("LIMIT 2000"), times=9)]
    assert sorted(reading.listed()) == sorted(ids)


def test_a_million_rows_come_two_thousand_at_a_time_in_the_order_of_ids(stand_in: StandIn) -> None:
    """Here 4,100 stand for them: no row twice, three queries, never all in memory at once."""
    firms(stand_in, 4100)
    settle_down(stand_in)
    stand_in.forget()
    connector, spec = connect(stand_in), stream(fields("Name"), children={}, page_size=500)
    sizes, ids = [], []
    for page in connector.read(spec, {}):
        sizes.append(len(page.records))
        ids += [record.id for record in page.records]
    assert len(set(ids)) == len(ids) == 4100
    assert max(sizes) == 500
    assert stand_in.calls()["Account"] == 3
    assert not [asked for asked in stand_in.asked if "/jobs/" in asked.path]
