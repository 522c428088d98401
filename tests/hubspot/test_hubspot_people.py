"""Random histories of one account read as companies with their contacts and as contacts alone, into one workspace under
`match_on = ["email"]`: nobody is created twice, no filter opens, no code stands for a name, and nobody is lost."""

from __future__ import annotations

import io
import json
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from connectors.hubspot.connector import HubspotConnectorType
from sync import log
from tests.engine.crm_world import Sent
from tests.hubspot.hubspot_account import UNKNOWN, Account
from tests.hubspot.hubspot_chapters import BEGINNING, CHAPTERS, PROGRAM
from tests.hubspot.hubspot_people import STREAMS, Workspace
from tests.hubspot.hubspot_portal import Portal
from tests.hubspot.hubspot_server import Standin
from tests.sizes import SIZE, sized

FILTERS = {"companies": "do_not_sync", "contacts": "blocked"}
READS = (("companies", "companies"), ("companies", "contacts"), ("contacts", "contacts"))
"""The objects that each stream reads."""


class People(Account):
    """What happens, and what must be true of every lead that goes on the wire, and in the end."""

    def __init__(self, portal: Portal, workspace: Workspace, members: list[int] | None) -> None:
        """`members` are those of the list that contacts alone must be in, None where there is none. It is never empty:
        the stream would be refused."""
        super().__init__(portal)
        self.work, self.members = workspace, members
        self.free: dict[tuple[str, str, int], bool] = {}
        """By stream, object and id: whether the record passed its filter at some moment since that stream was last read
        whole."""
        self.called: dict[int, set[str]] = defaultdict(set)
        """The names that a person had ever, which no two share."""
        self.doubt: dict[str, tuple[list[Sent], bool]] = {}

    # ---- what happens

    def act(self, feed: Any, action: Any) -> None:
        match action:
            case "person", id_, email, company, flag, n:
                self._person(id_, email, company, flag, n)
            case "gone at once", id_, ("contacts", _) as place, how:
                self.turn(feed, None)
                self.act(feed, (how, place))
                for each in (id_, 105):
                    self._person(each, f"w{self.writes}@x.example", None, "true", 0)
                self.turn(feed, None)
            case "people merge", one, other:
                self._people_merge(one, other)
            case "read", streams, verdict, landed:
                self.read(streams, verdict, landed=landed)
            case "join", id_ if self.members is not None and id_ not in self.members:
                self.members.append(id_)
            case "leave", id_ if self.members is not None and id_ in self.members[1:]:
                self.members.remove(id_)
            case (("join" | "leave"), _):
                pass
            case ("settle",):
                self.settle()
            case _:
                super().act(feed, action)
        self._notice()

    def _person(self, id_: int, email: str | None, company: int | None, flag: str | None, n: int) -> None:
        id_ = self._survivor(id_)
        self.writes += 1
        more = {"email": email, "blocked": flag, "role": self.code("role", n)}
        name = f"Person {self.writes}"
        self.portal.put("contacts", id_, firstname=name, **more)
        self.called[id_].add(name)
        if company in self.portal.living("companies"):
            self.portal.link("contacts", id_, "companies", company, primary=True)

    def _survivor(self, id_: int) -> int:
        """The record that this one is now, after any merges."""
        return next((new for new in self.merged.keys() - self._losers() if id_ in self.merged[new]), id_)

    def _people_merge(self, one: int, other: int) -> None:
        """The other's addresses become further ones of the new record."""
        living = self.portal.living("contacts")
        one, other = self._survivor(one), self._survivor(other)
        if one == other or not {one, other} <= living.keys():
            return
        new = 6000 + len(self.merged)
        addresses = [each for id_ in (one, other) for each in addresses_of(living[id_].properties)]
        self.portal.merge("contacts", one, other, new)
        email, further = addresses[:1], dict.fromkeys(addresses[1:])
        self.portal.put("contacts", new, email="".join(email) or None, hs_additional_emails=";".join(further) or None)
        self.merged[new] = [old for each in (one, other) for old in (each, *self.merged.get(each, []))]
        self.called[new] = self.called[one] | self.called[other]
        if self.members is not None and {one, other} & set(self.members):
            self.members[:] = [new, *(each for each in self.members if each not in {one, other})]

    def _notice(self) -> None:
        for stream, name in READS:
            for id_ in self.portal.things[name]:
                key = (stream, name, id_)
                self.free[key] = self.free.get(key, False) or self.passes(*key)

    def passes(self, stream: str, name: str, id_: int) -> bool:
        """The filter alone: that a record is gone may be noticed a day later."""
        listed = stream == "companies" or self.members is None or id_ in self.members
        return listed and self.portal.things[name][id_].properties.get(FILTERS[name]) != "true"

    # ---- what is read and sent

    def turn(self, feed: Any, pages: int | None) -> None:
        self.read(STREAMS, "created", landed=True)

    def read(self, streams: Any, verdict: Any, *, landed: bool) -> None:
        self._notice()
        whole = [name for name in streams if self._read(name)]
        self.send(verdict, landed=landed)
        self.free |= {key: self.passes(*key) for key in self.free if key[0] in whole}

    def _read(self, name: str) -> bool:
        """Whether the stream was read whole."""
        self.work.wait(20)  # members are asked for every ten seconds, and a first backoff takes at most 15
        reports, error = self.work.turn(name)
        if error is not None:
            self.explain(error, name)
        return any((each.kind, each.outcome) == ("poll", "complete") for each in reports)

    def send(self, verdict: Any, *, landed: bool) -> None:
        taken = self.may_exist()
        while batch := self.work.claim():
            sent = self.work.open[batch][1]
            for each in sent:
                self.check(each, taken)
                taken.append(each)
            if verdict == "in_doubt":
                self.doubt[batch] = (sent, landed)
            self.work.conclude(batch, verdict, landed=False)
            if verdict == "refused":
                return

    def may_exist(self) -> list[Sent]:
        return [*self.work.server, *(each for sent, _ in self.doubt.values() for each in sent)]

    def settle(self) -> None:
        """Somebody looks what landed."""
        for batch, (sent, landed) in self.doubt.items():
            self.work.ledger.verdicts.resolve(batch, landed=landed, note="looked")
            self.work.server += sent if landed else []
        self.doubt = {}

    # ---- what must be

    def check(self, sent: Sent, taken: list[Sent]) -> None:
        me = (sent.stream, sent.id)
        others = [each for each in taken if (each.stream, each.id) != me]
        assert len(others) == len(taken) or self.work.on_change == "resend", f"{me} is sent twice"
        for each in others:
            assert not matched(sent) & matched(each), f"{me} and {each.stream}/{each.id} are of one person"
        kin = {str(old) for old in self.merged.get(int(sent.id), ())}
        there = {each.id for each in others if each.stream == sent.stream}
        assert sent.further or not kin & there, f"{me} was made of {kin & there} by a merge"
        assert self.free[sent.stream, sent.stream, int(sent.id)], f"{me} may not be sent"
        self._check_names(sent.lead.get("labels", ()), "tier", "owner", "stage")
        for each in (sent.lead, *sent.lead.get("contacts", ())):
            self._check_names([each["role"]] if "role" in each else [], "role")
        for contact in sent.lead.get("contacts", ()):
            assert self._may_be_nested(contact), f"{contact} of {me} may not be sent"

    def _check_names(self, said: Any, *kinds: str) -> None:
        names = {name for kind in kinds for known in self.names[kind].values() for name in known}
        assert set(said) <= names, f"{said} are no names of {kinds}"
        assert UNKNOWN not in said

    def _may_be_nested(self, contact: Any) -> bool:
        """By its name, which no two writes share."""
        people = self.portal.things["contacts"]
        return any(self.free["companies", "contacts", id_] for id_ in people if contact["name"] in self.called[id_])

    def end(self) -> None:
        self.all_back()
        for _ in range(6):
            self.work.wait(90_000)
            self.settle()
            self.turn(None, None)
            self.work.approve()
        self._check_leads()
        for name in STREAMS:
            for id_ in self.portal.living(name):
                if self.passes(name, name, id_):
                    self._check_not_lost(name, id_)

    def _check_leads(self) -> None:
        created = {(each.stream, each.id) for each in self.work.server}
        records = self.work.records()
        delivered = {key for key, row in records.items() if row["state"] == "delivered"}
        assert delivered == created
        for (name, id_), row in records.items():
            if row["state"] == "delivered" and row["fit"] in {"filtered", "deleted"} and row["orphaned"] is None:
                assert int(id_) in self._losers(), f"the lead of {name}/{id_} is an orphan that nobody sees"
        assert {key for key, row in records.items() if row["lead_exists"] == "yes"} - created == {
            key for key, row in records.items() if row["state"] == "known"
        }

    def _check_not_lost(self, name: str, id_: int) -> None:
        row = self.work.records()[name, str(id_)]
        addresses = addresses_of(self.portal.things[name][id_].properties)
        sent = {each for lead in self.work.server for each in (*lead.own, *lead.nested)}
        match row["state"]:
            case "delivered":
                assert row["drift"] or set(addresses) <= sent, f"{name}/{id_}: not all of it was sent"
            case "known":
                assert row["reason"] or row["drift"], f"{name}/{id_} is known, and nobody says why"
            case "duplicate":
                (twin,) = [each for each in self.work.records().values() if each["key"] == row["twin"]]
                assert twin["lead_exists"] == "yes", f"{name}/{id_} is a duplicate of one that is not sent"
                borne = sent | self._addresses_of_leads()
                assert borne & set(addresses) or id_ in self.merged, f"{name}/{id_} is a duplicate, and of nobody"
            case other:
                raise AssertionError(f"{name}/{id_} ends as {other}: {json.loads(row['reason'] or 'null')}")

    def _addresses_of_leads(self) -> set[str]:
        """What contacts with a lead have now: an address that was changed since is theirs all the same."""
        there = (
            id_
            for (name, id_), row in self.work.records().items()
            if name == "contacts" and row["lead_exists"] == "yes"
        )
        things = (self.portal.things["contacts"].get(int(id_)) for id_ in there)
        return {each for thing in things if thing is not None for each in addresses_of(thing.properties)}


def matched(sent: Sent) -> set[str]:
    """One more lead of a changed record has that record's own values, whoever has them too by now."""
    return sent.nested - sent.own if sent.further else sent.own | sent.nested


def addresses_of(properties: Any) -> list[str]:
    said = [properties.get("email"), *(properties.get("hs_additional_emails") or "").split(";")]
    return [each for each in said if each]


@pytest.mark.timeout(sized(300, 0, 0))
def test_nobody_is_created_twice_and_nobody_is_lost(
    standin: Standin, portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.hubspot.connector.CONNECTOR", HubspotConnectorType(portal.clock))
    standin.limits = False  # by a clock that stands still

    @settings(
        max_examples=sized(4, 300, 2000),
        derandomize=SIZE == "quick",
        deadline=None,
        database=None,
        phases=[Phase.generate],  # shrinking would take longer than a test may
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
    )
    @given(BEGINNING, PROGRAM, CHAPTERS, st.sampled_from(["hold", "hold", "resend"]), st.booleans())
    def run(beginning: Any, first: Any, chapters: Any, on_change: Any, listed: bool) -> None:
        standin.calls.clear()
        log.configure("error", "json", io.StringIO())
        with tempfile.TemporaryDirectory() as folder:
            members = standin.lists.add("9", "VIP", 104, object_type="0-1").ids if listed else None
            work = Workspace(Path(folder), standin, on_change=on_change, members="9" if listed else "")
            people = People(portal, work, members)
            try:
                for records, changed, program, back, then in [(beginning, (), first, (), first), *chapters]:
                    for action in [*records, *changed, program, *back, then]:
                        people.act(work, action)
                people.end()
            finally:
                work.close()
                structlog.reset_defaults()

    run()
