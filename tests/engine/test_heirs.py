"""Records that a source made of others: one person, one lead, whatever was read or sent first. Held to what the server
received; nothing is matched by values here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from state.ledger import Ledger
from state.matching.heirs import Heirs, NestedChild, NestedSeen
from state.queues import Selection
from state.rows import LaneMove, OnChange, Verdict
from tests.engine.crm_world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, match_on=())
    yield made
    made.close()


def lead(world: World) -> None:
    world.crm.save("leads", "l1", email="a@x.example")
    world.read("leads")


def people(world: World) -> list[str]:
    """What the server has of the person, and how: `leads/l1`, `companies/acme+c1`."""
    return sorted(f"{each.stream}/{each.id}" for each in world.server if "a@x.example" in each.own | each.nested)


# -- the heir's own record


@pytest.mark.parametrize("company_too", [True, False])
def test_heirs_of_a_lead_that_was_created_are_known(world: World, company_too: bool) -> None:
    lead(world)
    world.send()
    world.crm.convert("l1", "c1", "acme" if company_too else None)
    world.rest()
    assert people(world) == ["leads/l1"]
    assert world.why("contacts", "c1") == [": was made from record l1 of crm.leads, whose lead exists"]
    assert (world.state("leads", "l1"), world.row("leads", "l1")["orphaned"]) == ("delivered", None)
    if company_too:
        assert world.state("companies", "acme") == "known"
        assert world.row("companies", "acme")["drift"] == 0
    assert world.send() == []


def test_a_company_of_a_converted_lead_that_has_others_besides_is_known_and_shown(world: World) -> None:
    lead(world)
    world.send()
    world.crm.convert("l1", "c1", "acme")
    world.crm.save("contacts", "c2", email="other@x.example", wanted=False)
    world.crm.associate("c2", "acme")
    world.rest()
    row = world.row("companies", "acme")
    assert (row["state"], row["drift"]) == ("known", 1), "nobody else in it is lost without being seen"
    world.ledger.queues.resend([row["key"]])
    world.rest()
    assert world.lead("companies", "acme").nested == {"other@x.example"}
    assert people(world) == ["leads/l1"]


def test_a_company_that_was_there_before_is_sent_without_the_heir(world: World) -> None:
    lead(world)
    world.send()
    world.crm.save("companies", "acme", name="Acme")
    world.crm.save("contacts", "c2", email="other@x.example", wanted=False)
    world.crm.associate("c2", "acme")
    world.crm.convert("l1", "c1", "acme")
    world.rest()
    assert world.lead("companies", "acme").nested == {"other@x.example"}
    assert people(world) == ["leads/l1"]
    before = world.row("companies", "acme")
    world.crm.touch("companies", "acme")
    world.rest()
    world.sweep("companies")
    after = world.row("companies", "acme")
    assert (after["state"], after["drift"], after["source_fp"]) == ("delivered", 0, before["source_fp"])
    assert world.row("leads", "l1")["orphaned"] is None


@pytest.mark.parametrize("landed", [True, False])
@pytest.mark.parametrize("doubt", [True, False])
def test_heirs_wait_for_the_verdict_on_the_lead(world: World, landed: bool, doubt: bool) -> None:
    lead(world)
    batch = world.claim()
    assert batch is not None
    if doubt:
        world.conclude(batch, "in_doubt", landed=landed)
    world.crm.convert("l1", "c1", "acme")
    world.read()
    assert world.state("contacts", "c1") == "duplicate"
    assert world.send() == []
    if doubt:
        world.settle(landed=landed)
    else:
        world.conclude(batch, "created" if landed else "refused")
    world.rest()
    if landed:
        assert people(world) == ["leads/l1"]
        assert world.state("contacts", "c1") == "known"
        assert world.row("leads", "l1")["orphaned"] is None, "its lead stands for the heir"
    else:
        # without match_on a contact's record and its company are two leads, as ever
        assert people(world) == ["companies/acme", "contacts/c1"]
        assert world.state("leads", "l1") == "withdrawn"


@pytest.mark.parametrize("changed", [True, False])
@pytest.mark.parametrize("doubt", [True, False])
def test_an_heir_on_the_wire_is_known_if_it_does_not_arrive(world: World, doubt: bool, changed: bool) -> None:
    """The lead became a contact that was there before, and that was being sent when this came to light."""
    lead(world)
    world.send()
    world.crm.save("contacts", "c1", email="a@x.example")
    world.read("contacts")
    batch = world.claim()
    assert batch is not None
    if doubt:
        world.conclude(batch, "in_doubt", landed=False)
    if changed:
        world.crm.save("contacts", "c1", phone="+41 44 668 18 00")
    world.crm.convert("l1", "c1")
    world.read()
    if doubt:
        world.settle(landed=False)
    else:
        world.conclude(batch, "refused")
    world.rest()
    assert people(world) == ["leads/l1"]
    assert world.state("contacts", "c1") == "known"
    assert world.row("leads", "l1")["orphaned"] is None


def test_a_lead_that_waits_is_judged_again_and_gives_way_to_its_heir(world: World) -> None:
    lead(world)
    world.crm.convert("l1", "c1")
    world.read("contacts")
    assert world.row("leads", "l1")["again"] == "judge"
    assert world.send() == ["contacts/c1"]
    world.rest()
    assert people(world) == ["contacts/c1"]
    assert world.state("leads", "l1") == "withdrawn"


def test_a_lead_that_its_source_goes_on_showing_is_not_sent_beside_its_heir(world: World) -> None:
    """Also where a source says late that it made something of the record, and shows both."""
    lead(world)
    world.crm.save("contacts", "c1", email="a@x.example")
    world.crm.former["c1"] = ["l1"]
    world.read("contacts")
    assert world.send() == ["contacts/c1"]
    world.crm.touch("leads", "l1")
    world.rest()
    assert people(world) == ["contacts/c1"]
    assert world.state("leads", "l1") == "known"
    assert world.why("leads", "l1") == [": was made into record c1 of crm.contacts, whose lead exists"]


@pytest.mark.parametrize("sent", [True, False])
def test_a_lead_that_was_rejected_and_is_fixed_is_not_sent_beside_its_heir(world: World, sent: bool) -> None:
    """The heir was its duplicate, and was judged again by the values that were kept of it."""
    world.crm.save("leads", "l1", email="a@x.example", phone="+41 44 668 18 00")
    world.read("leads")
    batch = world.claim()
    assert batch is not None
    world.crm.save("contacts", "c1", email="a@x.example", phone="+41 44 668 18 00")
    world.crm.former["c1"] = ["l1"]
    world.read("contacts")
    world.conclude(batch, "rejected")
    world.judge_again("contacts")
    if sent:
        assert world.send() == ["contacts/c1"]
    world.crm.save("leads", "l1", phone="+41 44 668 18 01")
    world.read("leads")
    world.rest()
    assert people(world) == ["contacts/c1"]
    assert world.state("leads", "l1") == "known"


def test_an_unchanged_record_that_waits_is_judged_once_it_is_known_what_it_was_made_from(world: World) -> None:
    lead(world)
    world.send()
    world.crm.save("contacts", "c1", email="a@x.example")
    world.read("contacts")
    world.crm.former["c1"] = ["l1"]
    world.ledger.streams.move(world.rows["contacts"].id, LaneMove("live", 0))
    world.read("contacts")
    assert world.send() == [], "it cannot be claimed before"
    world.rest()
    assert world.state("contacts", "c1") == "known"
    assert people(world) == ["leads/l1"]


# -- who is nested


def test_a_child_that_its_company_was_sent_with_stays_when_a_lead_becomes_it_later(world: World) -> None:
    """Both leads exist: leaving the child out now would only look like a change."""
    world.crm.save("contacts", "c1", email="a@x.example", wanted=False)
    world.crm.save("companies", "acme")
    world.crm.associate("c1", "acme")
    lead(world)
    world.rest()
    world.crm.convert("l1", "c1")
    world.crm.touch("companies", "acme")
    world.rest()
    row = world.row("companies", "acme")
    assert (row["state"], row["drift"]) == ("delivered", 0)
    assert world.row("leads", "l1")["orphaned"] is not None, "the person is there twice: somebody must merge the two"
    (listed,) = world.ledger.queues.find("orphaned", Selection())
    assert (listed.id, listed.heir) == ("l1", "crm.companies:acme")


@pytest.mark.parametrize("on_change", ["hold", "resend"])
def test_a_child_that_comes_to_a_sent_company_later_is_left_out_of_its_changes(
    tmp_path: Path, on_change: OnChange
) -> None:
    world = World(tmp_path, match_on=(), on_change=on_change)
    world.crm.save("companies", "acme")
    lead(world)
    world.rest()
    world.crm.convert("l1", "c1", "acme")
    world.rest()
    assert people(world) == ["leads/l1"]
    assert world.row("companies", "acme")["drift"] == 0
    world.close()


@pytest.mark.parametrize("told_by", ["contacts", "companies"])
def test_what_waits_is_judged_once_another_stream_tells_what_its_person_was_made_from(
    world: World, told_by: str
) -> None:
    """The contact's record and a company that nests it both wait; only one of them is read again."""
    world.crm.save("contacts", "c1", email="c@x.example")
    world.crm.save("companies", "acme", name="Acme")
    world.crm.associate("c1", "acme")
    lead(world)
    assert world.send() == ["leads/l1"]
    world.read("contacts", "companies")
    world.crm.former["c1"] = ["l1"]
    world.crm.changes[told_by].append("c1" if told_by == "contacts" else "acme")
    world.read(told_by)
    world.send()
    other = "companies" if told_by == "contacts" else "contacts"
    assert world.judge_again(other), "it cannot be claimed before"
    world.rest()
    assert world.state("contacts", "c1") == "known"
    assert world.lead("companies", "acme").nested == set()
    assert people(world) == ["leads/l1"]


class Meddling(Heirs):
    """Something happens between the look at the former records and the page's transaction."""

    def __init__(self, ledger: Ledger, meddle: Callable[[], object]) -> None:
        super().__init__(ledger.file, ledger.hasher)
        self._meddle: list[Callable[[], object]] = [meddle]

    def seen(self, stream: int, nested: Sequence[NestedChild]) -> NestedSeen:
        found = super().seen(stream, nested)
        if nested and self._meddle:
            self._meddle.pop()()
        return found


@pytest.mark.parametrize("ends", ["created", "refused"])
def test_a_lead_that_is_claimed_while_its_heir_is_mapped_is_seen(world: World, ends: Verdict) -> None:
    lead(world)
    world.crm.save("companies", "acme", name="Acme")
    world.crm.convert("l1", "c1", "acme")
    batches: list[str | None] = []
    world.ledger.heirs = Meddling(world.ledger, lambda: batches.append(world.claim()))
    world.read("companies")
    (batch,) = batches
    assert batch is not None, "the lead was claimed in between"
    world.conclude(batch, ends)
    if ends == "created":
        world.send()
    world.rest()
    nested = world.lead("companies", "acme").nested
    assert nested == (set() if ends == "created" else {"a@x.example"})


# -- a ledger that was rebuilt


def test_heirs_of_leads_that_only_the_receipts_know(world: World, tmp_path: Path) -> None:
    lead(world)
    world.send()
    world.rebuild()
    world.crm.save("companies", "acme", name="Acme")
    world.crm.convert("l1", "c1", "acme")
    world.rest()
    assert people(world) == ["leads/l1"]
    assert world.state("contacts", "c1") == "known"
    assert world.lead("companies", "acme").nested == set()


def test_an_heir_of_a_lead_in_doubt_that_only_the_receipts_know_is_held(world: World) -> None:
    lead(world)
    world.send("in_doubt")
    world.rebuild()
    world.crm.convert("l1", "c1")
    world.read("contacts")
    assert world.state("contacts", "c1") == "held"
    world.settle(landed=True)
    world.rest()
    assert world.state("contacts", "c1") == "known"
    assert people(world) == ["leads/l1"]
