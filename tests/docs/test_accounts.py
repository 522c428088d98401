"""ARCHITECTURE.md tells a poll and a batch in six files each; both are followed here, and do what it tells."""

from __future__ import annotations

import pytest

from tests.measure.__main__ import PACKAGES
from tests.measure.accounts import account_of
from tests.measure.trips import Trip, trips

TRIPS = ("poll", "batch")
ROOMS = {"poll": ("sync/polling/", "state/"), "batch": ("sync/delivery/", "state/")}
DECIDED = {
    "poll": ({"records", "lanes"}, {"state.records.Records.commit"}),
    "batch": ({"records", "batches", "deliveries"}, {"state.outbox.Outbox.claim", "state.verdicts.Verdicts.conclude"}),
}
"""The tables that tell what became of records, and the functions of the account whose transactions write them."""


@pytest.fixture(params=TRIPS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def trip(name: str) -> Trip:
    return trips(PACKAGES)[name]


def test_six_files_are_to_be_read(name: str) -> None:
    assert len(account_of(name).files) == 6


def test_the_functions_are_called_in_the_order_in_which_they_are_told(name: str, trip: Trip) -> None:
    told = account_of(name).functions
    assert [function for function in trip.order if function in told] == list(told)


def test_every_other_file_is_named_with_the_reason_to_skip_it(name: str, trip: Trip) -> None:
    account = account_of(name)
    passed = [file for file in trip.files if file.startswith(ROOMS[name]) and file not in account.files]
    assert [file for file in passed if not account.skips(file)] == []
    assert all(account.services.values())
    assert [service for service in account.services if not any(file.startswith(service) for file in passed)] == []


def test_nothing_but_the_functions_that_are_told_writes_what_became_of_a_record(name: str, trip: Trip) -> None:
    tables, deciding = DECIDED[name]
    assert deciding <= set(account_of(name).functions)
    assert tables <= {table for table, _ in trip.writes}
    assert [table for table, under_way in trip.writes if table in tables and not deciding & under_way] == []
