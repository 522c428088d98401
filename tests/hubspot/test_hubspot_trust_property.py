"""Random histories of definitions, lists of names and scopes that go and come while records change: every lead that is
sent is the one that the account called for at that moment, and every refusal names what is not there."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sync.shared.errors import SourceRefused, SourceUnavailable
from tests.hubspot.hubspot_account import Account
from tests.hubspot.hubspot_feed import Feed
from tests.hubspot.hubspot_portal import Portal
from tests.hubspot.hubspot_server import Standin
from tests.sizes import SIZE, sized

COMPANIES = st.integers(1, 3)
CONTACTS = st.integers(101, 103)
WANTED = st.sampled_from(
    [("companies", each) for each in ("name", "do_not_sync", "tier", "hubspot_owner_id", "hs_pipeline_stage")]
    + [("contacts", each) for each in ("blocked", "role", "email")]
)
LISTS = st.sampled_from([("owners", ""), ("pipelines", "companies"), ("search", "companies"), ("batch", "contacts")])
LAGS = st.sampled_from([0, 0, 50 * 60_000])
FLAGS = st.sampled_from(["true", "false", None, None])
ACTIONS = st.one_of(
    st.tuples(st.just("put"), COMPANIES, FLAGS, st.integers(0, 5), LAGS),
    st.tuples(st.just("put"), COMPANIES, FLAGS, st.integers(0, 5), LAGS),
    st.tuples(st.just("contact"), CONTACTS, st.none() | COMPANIES, FLAGS, st.integers(0, 5)),
    st.tuples(st.just("link"), CONTACTS, COMPANIES, st.booleans()),
    st.tuples(st.just("merge")),
    st.tuples(st.just("delete"), COMPANIES | CONTACTS),
    st.tuples(st.just("restore"), COMPANIES | CONTACTS),
    st.tuples(st.just("new name"), COMPANIES, st.sampled_from(["tier", "owner", "stage", "role"])),
    st.tuples(st.just("renamed")),
    st.tuples(st.just("deactivated")),
    st.tuples(st.just("archive"), WANTED),
    st.tuples(st.sampled_from(["hide", "hide in part"]), WANTED),
    st.tuples(st.just("deny"), LISTS),
    st.tuples(st.just("all back")),
    st.tuples(st.just("gone at once"), COMPANIES, WANTED, st.sampled_from(["archive", "hide", "hide in part"])),
    st.tuples(st.just("wait"), st.sampled_from([1, 6, 59, 61, 601, 3601, 90_000])),
    st.tuples(st.just("turn"), st.sampled_from([None, None, 1, 3])),
    st.tuples(st.just("reopen")),
)
LEAD = {
    "kind": "company",
    "name": "name",
    "where": "!do_not_sync",
    "labels": ["label(tier)", "label(hubspot_owner_id)", "label(hs_pipeline_stage)"],
    "contacts": [{"from": "contacts", "where": "!blocked", "emails": "[email]", "role": "label(role)"}],
}


class Sent(Account):
    """What must have been sent of it."""

    def turn(self, feed: Feed, pages: int | None) -> None:
        """A turn; what it sends is what the account calls for now, and it fails only by what is not there now."""
        before = len(feed.sent)
        try:
            feed.turn(pages)
        except (SourceRefused, SourceUnavailable) as error:
            self.explain(error)
            feed.deliver()
        for id_, lead in feed.sent[before:]:
            self.expect(int(id_), lead)

    def expect(self, id_: int, lead: dict[str, Any]) -> None:
        """The oracle: the lead of a company as the account has it."""
        thing = self.portal.things["companies"][id_]
        of = thing.properties
        assert thing.archived is None
        assert of.get("do_not_sync") != "true", f"{id_} may not be sent"
        assert lead["name"] == of["name"]
        kinds = {"tier": of.get("tier"), "owner": of.get("hubspot_owner_id"), "stage": of.get("hs_pipeline_stage")}
        codes = [(kind, code) for kind, code in kinds.items() if code in self.names[kind]]
        self._same_names(lead.get("labels", []), codes)
        contacts = self.portal.living("contacts")
        links = self.portal.links.get(("companies", "contacts"), {}).get(id_, {})
        ordered = sorted(links, key=lambda end: (not any(t["typeId"] == 2 for t in links[end]), end))
        nested = [contacts[end].properties for end in ordered if end in contacts]
        nested = [each for each in nested if each.get("blocked") != "true"]
        sent = lead.get("contacts", [])
        assert [mail["Address"] for each in sent for mail in each["email"]] == [each["email"] for each in nested]
        for each, contact in zip(sent, nested, strict=True):
            code = contact.get("role")
            self._same_names(
                [each["role"]] if "role" in each else [], [("role", code)] if code in self.names["role"] else []
            )

    def _same_names(self, labels: list[str], codes: Sequence[tuple[str, str | None]]) -> None:
        """Each code by a name that it has or had; none without, none too many."""
        assert len(labels) == len(codes), f"{labels} for {codes}"
        for label, (kind, code) in zip(labels, codes, strict=True):
            assert label in self.names[kind][str(code)], f"{label} for {kind} {code}"

    def end(self, feed: Feed) -> None:
        """Everything is given back: nothing was missed, nothing sent twice."""
        self.all_back()
        for _ in range(3):
            feed.wait(90_000)
            self.turn(feed, None)
        ids = feed.ids()
        assert len(set(ids)) == len(ids), "a record was sent twice"
        for id_, thing in self.portal.living("companies").items():
            one = {str(each) for each in (id_, *self.merged.get(id_, []))}
            if thing.properties.get("do_not_sync") != "true":
                assert one & set(ids), f"{id_} was never sent"
            elif not one & set(ids):
                assert feed.records()[str(id_)]["state"] == "filtered"


def test_what_goes_and_comes_sends_nothing_wrong(standin: Standin, portal: Portal) -> None:
    portal.association_page = 2

    @settings(
        max_examples=sized(7, 150, 1000),
        derandomize=SIZE == "quick",
        deadline=None,
        database=None,
        phases=[Phase.generate],  # shrinking would take longer than a test may
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
    )
    @given(st.lists(ACTIONS, min_size=10, max_size=30), st.sampled_from([2, 1000]))
    def run(actions: list[Any], page_size: int) -> None:
        standin.calls.clear()
        account = Sent(portal)
        with tempfile.TemporaryDirectory() as folder:
            feed = Feed(Path(folder), standin, page_size=page_size, lead=LEAD)
            try:
                for action in actions:
                    account.act(feed, action)
                account.end(feed)
            finally:
                feed.close()

    run()
