"""Random histories of definitions, lists of names and scopes that go and come while records change: every lead that is
sent is the one that the account called for at that moment, and every refusal names what is not there."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from hubspot_feed import Feed
from hubspot_portal import Portal, definitions, owner, pipeline, prop
from hubspot_server import Standin
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sync.errors import SourceRefused, SourceUnavailable, SyncError
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
UNKNOWN = "zzz"
"""A code that no list has: of an option that was deleted."""
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


class Account:
    """An account and what it called its codes, ever: a name that was changed may still be sent for a while."""

    def __init__(self, portal: Portal) -> None:
        self.portal = portal
        self.writes = 0
        self.merged: dict[int, list[int]] = {}
        self.gone: dict[tuple[str, str], Any] = {}
        self.names: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        portal.definitions = definitions()
        portal.clear()
        portal.hidden.clear()
        portal.halved.clear()
        portal.denied.clear()
        portal.owners, portal.pipelines["companies"] = [], [pipeline("p", "Sales", s0="x"), pipeline("q", "Other")]
        stage = prop("hs_pipeline_stage", "enumeration", "radio", externalOptions=True)
        line = prop("hs_pipeline", "enumeration", "select", externalOptions=True)
        portal.definitions["companies"] += [
            prop("do_not_sync", "bool", "booleancheckbox"),
            prop("tier", "enumeration", "select", ["0=x"]),
            line,
            stage,
        ]
        portal.definitions["contacts"] += [
            prop("blocked", "bool", "booleancheckbox"),
            prop("role", "enumeration", "select", ["0=x"]),
        ]
        for kind in ("tier", "owner", "stage", "role"):
            self.name(kind)

    # ---- what happens

    def name(self, kind: str) -> str:
        """A code that is added to its list."""
        code = str(len(self.names[kind]) + 1)
        label = f"{kind} {code}"
        self.names[kind][code].append(label)
        match kind:
            case "tier":
                self._define("companies", "tier")["options"].append({"value": code, "label": label, "hidden": False})
            case "role":
                self._define("contacts", "role")["options"].append({"value": code, "label": label, "hidden": False})
            case "owner":
                self.portal.owners.append(owner(code, label))
            case _:
                known = self.portal.pipelines["companies"][0]["stages"]
                known.append({**known[0], "id": code, "label": label})
        return code

    def _define(self, name: str, property_: str) -> Any:
        of = self.gone.get((name, property_))
        return of or next(each for each in self.portal.definitions[name] if each["name"] == property_)

    def code(self, kind: str, n: int) -> str | None:
        """None, an unknown one, or one of the list."""
        known = list(self.names[kind])
        return [None, UNKNOWN, *known][min(n, len(known) + 1)]

    def act(self, feed: Feed, action: Any) -> None:
        match action:
            case "put", id_, flag, n, lag:
                self.put(id_, lag, do_not_sync=flag, **self._codes(n))
            case "new name", id_, kind:
                code = self.name(kind)
                key = {"tier": "tier", "owner": "hubspot_owner_id", "stage": "hs_pipeline_stage"}.get(kind, "city")
                self.put(id_, 0, **{key: code}, do_not_sync=None)
            case ("renamed",):
                for kind, name, property_ in (("tier", "companies", "tier"), ("role", "contacts", "role")):
                    for option in self._define(name, property_)["options"][1:]:
                        option["label"] += "'"
                        self.names[kind][option["value"]].append(option["label"])
            case ("deactivated",):
                self._deactivate()
            case "archive", (name, property_):
                self.archive(name, property_)
            case "hide", place:
                self.portal.hidden.add(place)
            case "hide in part", place:
                self.portal.halved.add(place)
            case "deny", place:
                self.portal.denied[place] = ".".join(("scope", *place)).rstrip(".")
            case ("all back",):
                self.all_back()
            case "gone at once", id_, place, how:
                self.act(feed, ("turn", None))
                self.act(feed, (how, place))
                for each in {id_, 4, 5}:
                    self.put(each, 0, do_not_sync="true")
                self.act(feed, ("wait", 6))
                self.act(feed, ("turn", None))
            case "wait", seconds:
                feed.wait(seconds)
            case "turn", pages:
                self.turn(feed, pages)
            case ("reopen",):
                feed.reopen()
            case _:
                self._associate(action)

    def _codes(self, n: int) -> dict[str, str | None]:
        codes = {"tier": self.code("tier", n), "hubspot_owner_id": self.code("owner", n)}
        return {**codes, "hs_pipeline_stage": self.code("stage", n), "hs_pipeline": "p"}

    def put(self, id_: int, lag: int, **properties: str | None) -> None:
        if id_ not in self._losers():
            self.writes += 1
            self.portal.put("companies", id_, lag=lag, name=f"Firm {self.writes}", **properties)

    def _associate(self, action: Any) -> None:
        portal, all_ = self.portal, {*self.portal.things["companies"], *self.portal.things["contacts"]}
        free = all_ - self._losers()
        match action:
            case "contact", id_, company, flag, n:
                self.writes += 1
                more = {"email": f"w{self.writes}@corp.example", "blocked": flag, "role": self.code("role", n)}
                portal.put("contacts", id_, **more)
                portal.unlink("contacts", id_, "companies")
                if company in portal.things["companies"]:
                    portal.link("contacts", id_, "companies", company)
            case "link", contact, company, primary if {contact, company} <= all_:
                portal.link("contacts", contact, "companies", company, primary=primary)
            case ("merge",):
                living = sorted(portal.living("companies"))
                if len(living) > 1:
                    new, (one, other) = 5000 + len(self.merged), living[:2]
                    portal.merge("companies", one, other, new)
                    self.merged[new] = [old for each in (one, other) for old in (each, *self.merged.get(each, []))]
            case "delete", id_ if id_ in free:
                portal.delete("contacts" if id_ > 100 else "companies", id_)
            case "restore", id_ if id_ in free:
                portal.restore("contacts" if id_ > 100 else "companies", id_)

    def _deactivate(self) -> None:
        """HubSpot blanks the names of who left; the address stays."""
        for row in self.portal.owners:
            if not row["archived"]:
                row.update(archived=True, firstName="", lastName="", userId=None)
                self.names["owner"][row["id"]].append(row["email"])
                return

    def archive(self, name: str, property_: str) -> None:
        if (name, property_) not in self.gone:
            self.gone[name, property_] = self.portal.take_away(name, property_)

    def all_back(self) -> None:
        for (name, _), definition in self.gone.items():
            self.portal.give_back(name, definition)
        self.gone.clear()
        self.portal.hidden.clear()
        self.portal.halved.clear()
        self.portal.denied.clear()

    def _losers(self) -> set[int]:
        return {old for olds in self.merged.values() for old in olds}

    # ---- what must be

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

    def explain(self, error: SyncError) -> None:
        """The error names something that is not there now."""
        missing = {property_ for _, property_ in [*self.gone, *self.portal.hidden, *self.portal.halved]}
        named = [each for each in missing if repr(each) in error.message]
        named += [scope for scope in self.portal.denied.values() if scope in error.message]
        assert named, f"{error.message}: {missing}, {self.portal.denied}"
        assert (error.source, error.stream) == ("hub", "companies")

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

    def _same_names(self, labels: list[str], codes: list[tuple[str, str | None]]) -> None:
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
        max_examples=sized(12, 150, 1000),
        derandomize=SIZE == "quick",
        deadline=None,
        database=None,
        phases=[Phase.generate],  # shrinking would take longer than a test may
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
    )
    @given(st.lists(ACTIONS, min_size=10, max_size=30), st.sampled_from([2, 1000]))
    def run(actions: list[Any], page_size: int) -> None:
        standin.calls.clear()
        account = Account(portal)
        with tempfile.TemporaryDirectory() as folder:
            feed = Feed(Path(folder), standin, page_size=page_size, lead=LEAD)
            try:
                for action in actions:
                    account.act(feed, action)
                account.end(feed)
            finally:
                feed.close()

    run()
