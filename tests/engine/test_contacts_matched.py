"""Nested contacts count for `match_on`: who stands for a person first, wins, and no company is lost for one of its
contacts. Held to what the server received."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from state.matching.foreign import Foreign
from state.matching.match_values import MatchValue
from state.queues import Selection
from state.rows import MatchKind, Verdict
from sync.polling import sweep
from sync.polling.progress import progress_of
from sync.views.queue_listing import became
from tests.engine.crm_world import COMPANY, STREAMS, World
from tests.logged import logged

WORDS = {"ann": "a@x.example", "bob": "b@x.example"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def save(world: World, *contacts: str, company: str | None = None) -> None:
    for each in contacts:
        world.crm.save("contacts", each, email=WORDS[each])
        if company:
            world.crm.associate(each, company)


def acme(world: World, *contacts: str) -> None:
    world.crm.save("companies", "acme", email="info@acme.example")
    save(world, *contacts, company="acme")


# -- a contact that is nested in a company's lead


@pytest.mark.parametrize("then", ["waits", "exists", "is on the wire", "is in doubt"])
def test_a_record_of_a_nested_contact_is_a_duplicate_of_the_company(world: World, then: str) -> None:
    acme(world, "ann")
    world.read("companies")
    if then == "is on the wire":
        world.claim()
    elif then != "waits":
        world.send("created" if then == "exists" else "in_doubt")
    world.read("contacts")
    assert world.state("contacts", "ann") == "duplicate"
    assert world.why("contacts", "ann") == ["email: belongs to a contact nested in record acme of crm.companies"]


def test_it_is_sent_once_its_company_is_not(world: World) -> None:
    acme(world, "ann")
    world.read("companies", "contacts")
    world.crm.save("companies", "acme", wanted=False)
    world.rest()
    assert [each.id for each in world.server] == ["ann"]


def test_it_is_sent_once_it_leaves_a_company_that_was_not_sent_yet(world: World) -> None:
    acme(world, "ann", "bob")
    world.read("companies", "contacts")
    world.crm.associate("ann")
    world.rest()
    assert {each.id for each in world.server} == {"acme", "ann"}
    assert world.lead("companies", "acme").nested == {"b@x.example"}


def test_it_stays_a_duplicate_once_its_company_was_sent_with_it(world: World) -> None:
    acme(world, "ann")
    world.read("companies")
    world.send()
    world.crm.associate("ann")
    world.rest()
    assert world.state("contacts", "ann") == "duplicate"
    assert len(world.server) == 1


# -- a company that nests somebody who has a lead


@pytest.mark.parametrize("then", ["waits", "exists", "is on the wire", "is in doubt", "is filtered after delivery"])
def test_a_company_is_sent_without_a_contact_that_has_a_lead(world: World, then: str) -> None:
    save(world, "ann")
    world.read("contacts")
    batch = world.claim() if then == "is on the wire" else None
    if then not in ("waits", "is on the wire"):
        world.send("in_doubt" if then == "is in doubt" else "created")
    if then.startswith("is filtered"):
        world.crm.save("contacts", "ann", wanted=False)
        world.read("contacts")
    acme(world, "ann", "bob")
    with logged() as events:
        world.read("companies")
    world.send()
    if batch:
        world.conclude(batch)
    assert world.lead("companies", "acme").nested == {"b@x.example"}
    assert world.left_out("acme") == ["email: belongs to record ann of crm.contacts"]
    (said,) = [each for each in events if each["event"] == "contacts_left_out"]
    assert (said["stream"], said["why"], said["contacts"]) == ("crm.companies", "match_on", 1)


def test_leaving_out_is_no_change_and_is_not_seen_again(world: World) -> None:
    save(world, "ann")
    world.read("contacts")
    acme(world, "ann", "bob")
    world.read("companies")
    world.rest()
    before = world.row("companies", "acme")
    world.crm.touch("companies", "acme")
    world.rest()
    world.sweep("companies")
    after = world.row("companies", "acme")
    assert (after["state"], after["drift"], after["wire_fp"]) == ("delivered", 0, before["wire_fp"])
    assert world.left_out("acme") == ["email: belongs to record ann of crm.contacts"]


@pytest.mark.parametrize("ceases", ["filtered", "deleted", "rejected", "another address"])
def test_the_company_carries_the_contact_once_its_own_record_is_not_sent(world: World, ceases: str) -> None:
    save(world, "ann")
    world.read("contacts")
    batch = world.claim() if ceases == "rejected" else None
    acme(world, "ann", "bob")
    world.read("companies")
    assert world.left_out("acme") == ["email: belongs to record ann of crm.contacts"]
    match ceases:
        case "filtered":
            world.crm.save("contacts", "ann", wanted=False)
        case "deleted":
            # the company nests it still: it reads its contacts from elsewhere
            world.crm.save("contacts", "other", email="a@x.example")
            world.crm.associate("other", "acme")
            world.crm.delete("contacts", "ann")
        case "another address":
            world.crm.save("contacts", "ann", email="new@x.example")
        case _:
            assert batch is not None
            world.conclude(batch, "rejected")
    if ceases == "deleted":
        world.judge_again("companies")
        world.read("contacts")
        world.judge_again("companies")
    world.rest()
    mine = {"new@x.example"} if ceases == "another address" else {"a@x.example"}
    held = [each.id for each in world.server if mine & (each.own | each.nested)]
    assert len(held) == 1
    if ceases in ("filtered", "rejected"):
        assert world.lead("companies", "acme").nested == {"a@x.example", "b@x.example"}


def test_of_two_companies_on_one_page_the_first_keeps_the_contact(world: World) -> None:
    for name in ("acme", "best"):
        world.crm.save("companies", name)
    world.crm.save("contacts", "ann", email="a@x.example")
    world.crm.associate("ann", "acme", "best")
    world.read("companies")
    world.rest()
    assert world.lead("companies", "acme").nested == {"a@x.example"}
    assert world.lead("companies", "best").nested == set()
    assert world.left_out("best") == ["email: belongs to a contact nested in record acme of crm.companies"]
    assert world.state("contacts", "ann") == "duplicate"


def test_a_company_that_is_a_duplicate_itself_stands_for_nobody(world: World) -> None:
    world.crm.save("companies", "acme", email="info@acme.example")
    world.crm.save("companies", "again", email="info@acme.example")
    save(world, "ann", company="again")
    world.rest()
    assert world.state("companies", "again") == "duplicate"
    assert {each.id for each in world.server} == {"acme", "ann"}


def test_a_company_whose_own_address_a_contact_bears_too_is_sent_whole(world: World) -> None:
    world.crm.save("companies", "acme", email="a@x.example")
    save(world, "ann", company="acme")
    world.read("companies")
    world.rest()
    assert world.lead("companies", "acme").nested == {"a@x.example"}
    assert len(world.server) == 1


def test_a_company_that_must_have_contacts_waits_where_none_is_left(world: World) -> None:
    world.tables["companies"] = {**COMPANY, "required": ["contacts"]}
    world.register()
    save(world, "ann")
    world.read("contacts")
    acme(world, "ann")
    world.rest()
    assert world.state("companies", "acme") == "quarantined"
    assert world.why("companies", "acme") == ["contacts: is required, and each of its contacts has a lead of its own"]
    save(world, "bob", company="acme")
    world.read("companies")
    world.rest()
    assert world.lead("companies", "acme").nested == {"b@x.example"}


@pytest.mark.parametrize("kinds", [("email",), ("phone",), ("email", "phone")])
def test_phone_numbers_count_where_they_are_named(tmp_path: Path, kinds: tuple[MatchKind, ...]) -> None:
    world = World(tmp_path, match_on=kinds)
    world.crm.save("contacts", "ann", phone="+49 30 1234567", email="one@x.example")
    world.crm.save("companies", "acme")
    world.crm.save("contacts", "twin", phone="0049 30 1234567", email="two@x.example", wanted=False)
    world.crm.associate("twin", "acme")
    world.rest()
    left = "phone" in kinds
    assert bool(world.lead("companies", "acme").lead.get("contacts")) != left
    world.close()


def test_a_domain_is_only_that_of_a_lead(tmp_path: Path) -> None:
    """A colleague's address says nothing of the person, nor of another company that nests one."""
    world = World(tmp_path, match_on=("domain",))
    acme(world, "ann")
    world.crm.save("companies", "best")
    world.crm.save("contacts", "carl", email="c@acme.example")
    world.crm.associate("carl", "best")
    world.rest()
    assert {each.id for each in world.server} == {"acme", "best", "ann", "bob", "carl"} - {"bob"}
    assert world.lead("companies", "best").nested == {"c@acme.example"}
    world.close()


def test_without_match_on_nothing_is_matched_and_nothing_kept(tmp_path: Path) -> None:
    world = World(tmp_path, match_on=())
    acme(world, "ann")
    world.rest()
    assert world.lead("companies", "acme").nested == {"a@x.example"}
    assert world.lead("contacts", "ann").own == {"a@x.example"}
    with world.ledger.file.read() as connection:
        assert connection.execute("SELECT count(*) FROM match_values WHERE nested = 1").fetchone()[0] == 0
    world.close()


@pytest.mark.parametrize("then", ["filtered", "deleted"])
def test_an_orphaned_lead_that_a_company_relies_on_is_listed_with_that_company(world: World, then: str) -> None:
    """Whoever deleted it would lose the person: the company's lead goes without that contact."""
    save(world, "ann")
    world.rest()
    acme(world, "ann")
    world.rest()
    assert world.lead("companies", "acme").nested == set()
    if then == "filtered":
        world.crm.save("contacts", "ann", email="a@x.example", wanted=False)
        world.crm.touch("companies", "acme")
    else:
        world.crm.delete("contacts", "ann")
    world.read("contacts")
    (listed,) = world.ledger.queues.find("orphaned", Selection())
    assert (listed.id, listed.stands_for) == ("ann", "crm.companies:acme")
    assert "keep the lead" in str(became(listed).hint)


@pytest.mark.parametrize("gone", [False, True])
def test_an_orphaned_lead_is_listed_with_its_duplicate_as_long_as_that_is_wanted(world: World, gone: bool) -> None:
    save(world, "ann")
    world.rest()
    world.crm.save("leads", "l1", email="a@x.example")
    world.rest()
    assert world.state("leads", "l1") == "duplicate"
    if gone:
        world.crm.delete("leads", "l1")
    world.crm.delete("contacts", "ann")
    world.rest()
    (listed,) = world.ledger.queues.find("orphaned", Selection())
    assert listed.stands_for == (None if gone else "crm.leads:l1")
    assert str(became(listed).hint).startswith("keep the lead") is not gone


# -- one more lead of a changed company


def test_a_further_lead_goes_without_those_who_have_leads_by_then(tmp_path: Path) -> None:
    world = World(tmp_path, on_change="resend")
    acme(world, "ann")
    world.read("companies")
    world.send()
    save(world, "bob")
    world.read("contacts")
    world.send()
    world.crm.associate("bob", "acme")
    world.crm.save("companies", "acme", name="Acme Ltd")
    world.rest()
    first, further = (each for each in world.server if each.id == "acme")
    assert (first.nested, further.nested) == ({"a@x.example"}, {"a@x.example"})
    assert further.lead["name"] == "Acme Ltd"
    world.close()


def test_a_further_lead_that_would_say_nothing_new_is_not_sent(tmp_path: Path) -> None:
    world = World(tmp_path, on_change="resend")
    acme(world, "ann")
    world.read("companies")
    world.send()
    save(world, "bob")
    world.read("contacts")
    world.send()
    world.crm.associate("bob", "acme")
    world.rest()
    assert sorted(each.id for each in world.server) == ["acme", "bob"]
    assert world.row("companies", "acme")["drift"] == 1
    world.close()


@pytest.mark.parametrize("verdict", ["created", "refused", "rejected"])
def test_a_version_that_was_read_while_the_lead_was_on_the_wire_is_matched_before_it_is_sent(
    tmp_path: Path, verdict: Verdict
) -> None:
    world = World(tmp_path, on_change="resend")
    acme(world, "ann")
    world.read("companies")
    batch = world.claim()
    assert batch is not None
    world.crm.associate("ann")
    save(world, "bob", company="acme")
    world.crm.save("companies", "acme", name="Acme Ltd")
    save(world, "bob")
    world.read("contacts")
    world.read("companies")
    world.conclude(batch, verdict)
    world.rest()
    everybody = [each for sent in world.server for each in (*sent.own, *sent.nested)]
    assert everybody.count("b@x.example") == 1
    world.close()


def test_a_contact_that_came_to_a_delivered_company_is_not_taken_for_sent(world: World) -> None:
    """The company's lead does not have it: it is drift, and the contact's own record is sent."""
    acme(world, "ann")
    world.read("companies")
    world.send()
    save(world, "bob", company="acme")
    world.read("companies", "contacts")
    world.send()
    assert world.row("companies", "acme")["drift"] == 1
    assert [each.id for each in world.server] == ["acme", "bob"]
    key = world.row("companies", "acme")["key"]
    assert world.ledger.queues.resend([key]) == {"again": 1}, "by then others may have leads"
    world.rest()
    further = world.server[-1]
    assert (further.id, further.nested) == ("acme", {"a@x.example"})


def test_what_a_person_did_by_hand_counts(world: World) -> None:
    acme(world, "ann")
    world.read("companies")
    world.send()
    save(world, "bob", company="acme")
    world.read("companies")
    row = world.row("companies", "acme")
    assert world.ledger.queues.acknowledge({row["key"]: row["source_fp"]}) == {"delivered": 1}
    world.sweep("companies")
    world.rest()
    assert world.state("contacts", "bob") == "duplicate"


# -- leads that are there already


@pytest.mark.parametrize("kinds", [(), ("email",)])
@pytest.mark.parametrize("first", ["imported", "read"])
def test_imported_addresses_count_for_contacts(tmp_path: Path, kinds: tuple[MatchKind, ...], first: str) -> None:
    world = World(tmp_path, match_on=kinds)
    acme(world, "ann", "bob")
    if first == "imported":
        world.keep("a@x.example")
    world.read("companies")
    if first == "read":
        world.keep("a@x.example")
    world.rest()
    assert world.lead("companies", "acme").nested == {"b@x.example"}
    assert world.left_out("acme") == ["email: belongs to a lead that was imported as existing"]
    world.close()


def test_an_import_foresees_only_records_that_become_known(world: World) -> None:
    acme(world, "ann")
    world.read("companies")
    value: MatchValue = ("email", world.ledger.hasher.digest("email", b"a@x.example"))
    assert Foreign(world.ledger.file).meets("main", [value]) == {}


# -- a ledger that was rebuilt


def test_a_rebuilt_ledger_knows_the_contacts_of_leads_that_were_created(world: World) -> None:
    acme(world, "ann")
    world.read("companies")
    world.send()
    world.rebuild()
    world.read("contacts")
    assert world.state("contacts", "ann") == "known"
    assert world.why("contacts", "ann") == ["email: belongs to a lead that was created before the ledger was rebuilt"]
    world.rest()
    assert (world.state("companies", "acme"), world.row("companies", "acme")["drift"]) == ("delivered", 0)
    assert len(world.server) == 1


def test_a_rebuilt_ledger_leaves_out_contacts_whose_leads_were_created(world: World) -> None:
    save(world, "ann")
    world.read("contacts")
    world.send()
    world.rebuild()
    acme(world, "ann", "bob")
    world.read("companies")
    world.rest()
    assert world.lead("companies", "acme").nested == {"b@x.example"}
    rule = "email: belongs to a lead that was created before the ledger was rebuilt"
    assert world.left_out("acme") == [rule]


@pytest.mark.parametrize("landed", [True, False])
def test_a_contact_that_is_in_doubt_since_before_is_left_out_until_that_is_settled(world: World, landed: bool) -> None:
    save(world, "ann")
    world.read("contacts")
    batch = world.claim()
    assert batch is not None
    world.conclude(batch, "in_doubt", landed=landed)
    world.rebuild()
    acme(world, "ann")
    world.read("companies")
    rule = f"email: may belong to a lead of batch {batch}, in doubt since before the ledger was rebuilt"
    assert world.left_out("acme") == [rule]
    world.settle(landed=landed)
    world.rest()
    everybody = [each for sent in world.server for each in (*sent.own, *sent.nested)]
    assert sorted(everybody) == ["a@x.example", "info@acme.example"]


def test_a_further_lead_after_a_rebuild_has_its_own_contacts_once_they_were_read_again(tmp_path: Path) -> None:
    world = World(tmp_path, on_change="resend")
    acme(world, "ann")
    world.crm.save("contacts", "ann", wanted=False)
    world.read("companies")
    world.send()
    world.rebuild()
    world.read("companies")
    world.crm.save("companies", "acme", name="Acme Ltd")
    world.rest()
    assert [(each.lead.get("name"), each.nested) for each in world.server[1:]] == [("Acme Ltd", {"a@x.example"})]
    world.close()


# -- switched on later, and ledgers of before


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("upgraded", [True, False])
def test_contacts_of_leads_that_were_created_before_count(tmp_path: Path, kept: bool, upgraded: bool) -> None:
    world = World(tmp_path, match_on=("email",) if upgraded else ())
    acme(world, "ann")
    world.read("companies")
    world.send()
    world.sweep("companies")
    if upgraded:
        forget_contacts(world)
    if not kept:
        with world.ledger.file.write() as connection:
            connection.execute("DELETE FROM payloads WHERE id IN (SELECT payload FROM deliveries)")
    world.match_on = dict.fromkeys(STREAMS, ("email",))
    world.register()
    if not kept:
        assert world.poller("companies").sweep_is_due()
        world.sweep("companies")
    world.rest()
    assert world.state("contacts", "ann") == "duplicate"
    assert [each.id for each in world.server] == ["acme"]
    assert not world.poller("companies").sweep_is_due()
    world.close()


def test_contacts_of_leads_are_learned_page_by_page_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "LEARN_PAGE", 1)
    world = World(tmp_path, match_on=())
    acme(world, "ann")
    world.crm.save("companies", "bolt", email="info@bolt.example")
    save(world, "bob", company="bolt")
    world.read("companies")
    world.send()
    switched: list[tuple[Sequence[MatchKind], bool]] = [(("email",), True), ((), False)]
    for match_on, known in switched:
        world.match_on = dict.fromkeys(STREAMS, match_on)
        world.register()
        assert progress_of(world.ledger, world.rows["companies"].id).has_contacts == known
        if known:
            world.read("contacts")
            assert (world.state("contacts", "ann"), world.state("contacts", "bob")) == ("duplicate", "duplicate")
    world.close()


def forget_contacts(world: World) -> None:
    """As a ledger of before has it."""
    with world.ledger.file.write() as connection:
        connection.execute("DELETE FROM match_values WHERE nested = 1")
        connection.execute("UPDATE records SET nested = NULL")
        connection.execute("UPDATE streams SET nests = NULL")
        connection.execute("DELETE FROM lanes WHERE lane = '@contacts'")


def test_switched_on_while_both_wait_the_older_one_is_sent(tmp_path: Path) -> None:
    world = World(tmp_path, match_on=())
    acme(world, "ann")
    world.read()
    world.match_on = dict.fromkeys(STREAMS, ("email",))
    world.register()
    world.rest()
    everybody = [each for sent in world.server for each in (*sent.own, *sent.nested)]
    assert sorted(everybody) == ["a@x.example", "info@acme.example"]
    world.close()


def test_a_mapping_that_nests_contacts_from_now_on_does_not_claim_that_old_leads_have_them(world: World) -> None:
    plain: dict[str, Any] = {key: COMPANY[key] for key in COMPANY if key != "contacts"}
    world.tables["companies"] = plain
    world.register()
    acme(world, "ann")
    world.read("companies")
    world.send()
    world.tables["companies"] = COMPANY
    world.register()
    world.sweep("companies")
    world.rest()
    assert {each.id for each in world.server} == {"acme", "ann"}
