"""HubSpot's families of paths: data, each with its end, and none of a stream's identity."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.hubspot.api_paths import DEFAULT_FAMILY, FAMILIES, dated
from connectors.hubspot.options import HubspotSource
from connectors.interface import Ages
from tests.hubspot.hubspot_feed import Feed, fill
from tests.hubspot.hubspot_portal import Portal
from tests.hubspot.hubspot_server import TOKEN, Standin
from tests.hubspot.hubspot_world import COMPANIES, opened, poll, source


def options(**more: Any) -> HubspotSource:
    return HubspotSource.model_validate({"token": TOKEN, **more})


def ends(**more: Any) -> list[tuple[date, str, str]]:
    told = options(**more)
    assert isinstance(told, Ages)
    return [(ending.date, ending.what, ending.cure) for ending in told.endings()]


KEY = {"token_kind": "service_key"}


def test_the_ends_of_each_family_are_told_with_the_key_that_cures_them() -> None:
    assert ends(api="legacy", **KEY) == [
        (date(2027, 3, 30), 'the association paths (v4) of api = "legacy"', 'set api = "2026-09"'),
        (date(2027, 9, 1), 'the other paths (v1 to v3) of api = "legacy"', 'set api = "2026-09"'),
    ]
    newer = "install a newer release of this program"
    assert ends(**KEY) == ends(api="2026-09", **KEY) == [(date(2028, 3, 1), 'the paths of api = "2026-09"', newer)]


def test_the_end_of_a_token_is_told_unless_it_has_none() -> None:
    cure = 'make a service key, set it as token, and token_kind = "service_key"'
    assert (date(2027, 9, 1), "the token, if it is that of a legacy private app", cure) in ends()
    assert (date(2027, 9, 1), "the token", cure) in ends(token_kind="private_app")
    assert [day for day, _, _ in ends()] == sorted(day for day, _, _ in ends())


def test_a_name_that_no_family_has_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValidationError, match='must be "2026-09" or "legacy"'):
        options(api="2025-03")


def test_all_families_have_the_same_calls() -> None:
    calls = {frozenset(family.paths) for family in FAMILIES.values()}
    assert len(calls) == 1
    assert all(family.ends for family in FAMILIES.values())
    assert options().api == DEFAULT_FAMILY
    assert options().api != "legacy"


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(FAMILIES, "2027-03", dated("2027-03", ends=date(2028, 9, 1)))
    return "2027-03"


def test_a_new_family_is_one_entry_of_the_table(newer: str, standin: Standin, portal: Portal) -> None:
    fill(portal)
    connector = opened(standin, api=newer)
    assert poll(connector) == ["1", "2", "3"]
    said = [finding.text for finding in connector.check(COMPANIES)]
    assert {asked.family for asked in standin.calls} == {newer}
    assert any("GET /crm/objects/2027-03/companies" in text for text in said)
    assert ends(api=newer, **KEY)[0][:2] == (date(2028, 9, 1), 'the paths of api = "2027-03"')
    assert ends(api="2026-09", **KEY)[0][2] == 'set api = "2027-03"'
    with pytest.raises(ValidationError, match='"legacy" or "2027-03"'):
        options(api="2027-09")


@pytest.mark.parametrize(("before", "after"), [("legacy", DEFAULT_FAMILY), (DEFAULT_FAMILY, "legacy")])
def test_another_family_sends_nothing_again(
    before: str, after: str, tmp_path: Path, standin: Standin, portal: Portal
) -> None:
    fill(portal, 4, 2)
    feed = Feed(tmp_path, standin, options={"api": before})
    feed.turn()
    feed.wait(90_000)
    feed.turn()
    assert sorted(feed.ids()) == ["1", "2", "3", "4"]
    kept, identity = feed.records(), feed.connector.identity(feed.job().spec)

    feed.reopen()
    feed.options = source(standin, api=after)
    standin.calls.clear()
    assert feed.connector.identity(feed.job().spec) == identity
    for _ in range(3):
        feed.wait(90_000)
        feed.turn()
    assert {asked.family for asked in standin.calls} == {after}
    assert len(feed.sent) == 4
    assert {id_: row["state"] for id_, row in feed.records().items()} == {
        id_: row["state"] for id_, row in kept.items()
    }
    portal.put("companies", 9, name="New")
    feed.wait(60)
    feed.turn()
    assert feed.ids()[4:] == ["9"]
    feed.close()
