"""Random histories of an account, its search up to an hour late, end with exactly the leads that it calls for."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from connectors.hubspot import crm, windows
from connectors.hubspot.api_paths import FAMILIES
from tests.hubspot.hubspot_feed import Feed
from tests.hubspot.hubspot_portal import Portal
from tests.hubspot.hubspot_server import Standin
from tests.sizes import sized

HOUR = 3_600_000
LAGS = st.sampled_from([0, 4_000, 5 * 60_000, 50 * 60_000, HOUR - 1, HOUR])
COMPANIES = st.integers(1, 3)
CONTACTS = st.integers(101, 103)
WAITS = st.sampled_from([0.001, 1, 6, 300, 599, 601, 3599, 3601, 7300, 90_000])
SEARCHED = st.one_of(
    st.tuples(st.just("put"), COMPANIES, st.sampled_from(["BANKING", "COMPUTER_SOFTWARE", None]), LAGS),
    st.tuples(st.just("contact"), CONTACTS, st.none() | COMPANIES, LAGS),
    st.tuples(st.just("late"), st.integers(4, 9), st.sampled_from([20 * 60_000, HOUR]), st.sampled_from([700, 3590])),
    st.tuples(st.just("burst"), st.integers(10, 12), LAGS),
    st.tuples(st.just("merge")),
    st.tuples(st.just("wait"), WAITS),
    st.tuples(st.just("turn"), st.sampled_from([None, None, 1, 3, 6])),
    st.tuples(st.just("reopen")),
)
"""What a search shows sooner or later."""
ALL = st.one_of(
    SEARCHED,
    SEARCHED,
    st.tuples(st.just("quiet"), COMPANIES, st.integers(0, 9)),
    st.tuples(st.just("link"), CONTACTS, COMPANIES, st.booleans()),
    st.tuples(st.just("unlink"), CONTACTS),
    st.tuples(st.just("delete"), COMPANIES | CONTACTS),
    st.tuples(st.just("restore"), COMPANIES | CONTACTS),
)
"""And what only the sweep and the bin do."""
LEAD = {
    "kind": "company",
    "name": "name",
    "industry": "label(industry)",
    "employee_count": "num_contacts",
    "contacts": [{"from": "contacts", "emails": "[email]"}],
}
LABELS = {"BANKING": "Banking", "COMPUTER_SOFTWARE": "Computer Software"}


class History:
    """What was done to the account."""

    def __init__(self, portal: Portal, *, sweep: bool) -> None:
        self.portal = portal
        self.sweep = sweep
        self.writes = 0
        self.merged: dict[int, list[int]] = {}

    def act(self, feed: Feed, action: Any) -> None:
        match action:
            case "put", id_, industry, lag:
                self._company(id_, industry, lag)
            case "late", id_, lag, seconds:
                feed.turn(sweep=self.sweep)
                self._company(id_, None, lag)
                feed.wait(seconds)
                feed.turn(sweep=self.sweep)
            case "burst", id_, lag:
                for n in range(15):
                    self._company(id_ * 100 + n, None, lag)
            case "contact", id_, company, lag:
                self.writes += 1
                self.portal.put_late("contacts", id_, lag, email=f"w{self.writes}@corp.example")
                self.portal.unlink("contacts", id_, "companies")
                if company in self.portal.things["companies"]:
                    self.portal.link("contacts", id_, "companies", company)
            case "link", contact, company, primary if {contact, company} <= self._all():
                self.portal.link("contacts", contact, "companies", company, primary=primary)
            case "unlink", contact:
                self.portal.unlink("contacts", contact, "companies")
            case "quiet", id_, count if id_ in self._all():
                self.portal.quietly("companies", id_, num_contacts=str(count))
            case ("merge",):
                self._merge()
            case "delete", id_ if id_ in self._all() - self._losers():
                self.portal.delete("contacts" if id_ > 100 else "companies", id_)
            case "restore", id_ if id_ in self._all() - self._losers():
                self.portal.restore("contacts" if id_ > 100 else "companies", id_)
            case "wait", seconds:
                feed.wait(seconds)
            case "turn", pages:
                feed.turn(pages, sweep=self.sweep)
            case ("reopen",):
                feed.reopen()

    def _company(self, id_: int, industry: str | None, lag: int) -> None:
        if id_ in self._losers():
            return
        self.writes += 1
        self.portal.put_late("companies", id_, lag, name=f"Firm {self.writes}", industry=industry)

    def _merge(self) -> None:
        living = sorted(self.portal.living("companies"))
        if len(living) > 1:
            new = 5000 + len(self.merged)
            one, other = living[:2]
            self.portal.merge("companies", one, other, new)
            self.merged[new] = [old for each in (one, other) for old in (each, *self.merged.get(each, []))]

    def _all(self) -> set[int]:
        return {*self.portal.things["companies"], *self.portal.things["contacts"]}

    def _losers(self) -> set[int]:
        return {old for olds in self.merged.values() for old in olds}

    def lead(self, id_: int) -> Any:
        """What the account's state calls for: the oracle."""
        thing = self.portal.things["companies"][id_]
        lead: dict[str, Any] = {"isContact": False, "name": thing.properties["name"]}
        if industry := thing.properties.get("industry"):
            lead["industry"] = LABELS[industry]
        if count := int(thing.properties.get("num_contacts") or 0):  # 0 employees are unknown ones
            lead["employeeCount"] = count
        links = self.portal.links.get(("companies", "contacts"), {}).get(id_, {})
        contacts = self.portal.living("contacts")
        ordered = sorted(links, key=lambda end: (not any(t["typeId"] == 2 for t in links[end]), end))
        nested = [{"email": [{"Address": contacts[end].properties["email"]}]} for end in ordered if end in contacts]
        return {**lead, "contacts": nested} if nested else lead

    def check(self, feed: Feed) -> None:
        records, sent = feed.records(), dict(feed.sent)
        assert len(sent) == len(feed.sent), "a record was sent twice"
        merged = {*self.merged, *self._losers()}
        for id_ in self.portal.living("companies"):
            if id_ in self.merged:
                ids = [str(each) for each in (id_, *self.merged[id_])]
                assert any(each in sent for each in ids), f"nothing was sent for {ids}"
                if any(each in sent for each in ids[1:]):
                    assert records[str(id_)]["state"] == "known" or feed.ids().index(str(id_)) == 0
            elif id_ not in merged:
                assert str(id_) in sent, f"{id_} was never sent"
                changed = sent[str(id_)] != self.lead(id_)
                assert bool(records[str(id_)]["drift"]) == changed, f"{id_}: drift {records[str(id_)]['drift']}"


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cap that fifteen records of one time exceed."""
    for where in (windows, crm):
        monkeypatch.setattr(where, "SEARCH_LIMIT", 3)
    monkeypatch.setattr(windows, "CAP", 12)
    monkeypatch.setattr(windows, "ROOM", 2)
    monkeypatch.setattr("tests.hubspot.hubspot_answers.CAP", 12)


@pytest.mark.parametrize("sweep", [False, True], ids=["searched", "swept"])
def test_any_history_ends_with_exactly_its_leads(sweep: bool, narrow: None, standin: Standin, portal: Portal) -> None:
    portal.association_page = 2

    @settings(
        max_examples=sized(3, 80, 600),
        deadline=None,
        database=None,
        phases=[Phase.generate],  # shrinking would take longer than a test may
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
    )
    @given(
        st.lists(ALL if sweep else SEARCHED, min_size=10, max_size=30),
        st.sampled_from([2, 5, 1000]),
        st.sampled_from(list(FAMILIES)),
    )
    def run(actions: list[Any], page_size: int, family: str) -> None:
        portal.clear()
        standin.calls.clear()
        history = History(portal, sweep=sweep)
        with tempfile.TemporaryDirectory() as folder:
            feed = Feed(Path(folder), standin, page_size=page_size, lead=LEAD, options={"api": family})
            try:
                for action in actions:
                    history.act(feed, action)
                for _ in range(3):  # the late index, the sweep and the bin
                    feed.wait(90_000)
                    feed.turn(sweep=sweep)
                history.check(feed)
            finally:
                feed.close()

    run()
