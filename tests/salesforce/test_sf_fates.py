"""What becomes of records that are deleted, merged, restored, moved, converted, or persons."""

from __future__ import annotations

import pytest

from sync.shared.errors import SourceRefused
from sync.shared.opaque import checksum
from sync.shared.words import Touch, Wanted
from tests.salesforce.sf_server import StandIn
from tests.salesforce.sf_tables import described, reference
from tests.salesforce.sf_world import Reading, fields, firms, settle_down, stream

# ---- deleted, merged, restored


def test_a_deleted_record_is_a_tombstone(stand_in: StandIn) -> None:
    ids, reading = firms(stand_in), Reading(stand_in)
    reading.records()
    stand_in.org.delete("Account", ids[1])
    (gone,) = reading.records().values()
    assert (gone.id, gone.deleted, gone.data, gone.merged_into) == (ids[1], True, {}, None)
    assert {record.id for record in reading.connector.fetch(reading.spec, ids)} == {*ids} - {ids[1]}
    assert sorted(reading.listed()) == sorted({*ids} - {ids[1]})


@pytest.mark.parametrize("stamp", [True, False])
def test_a_merged_record_names_its_survivor_which_is_read_again(stand_in: StandIn, stamp: bool) -> None:
    """Whether a merge moves the survivor's time nobody promises."""
    loser, winner = firms(stand_in, 2)
    stand_in.org.put("Contact", 1, AccountId=loser, Email="a@x.example")
    reading = Reading(stand_in)
    reading.records()
    settle_down(stand_in)
    stand_in.org.merge("Account", loser, winner, stamp=stamp)
    found = reading.records()
    assert (found[loser].deleted, found[loser].merged_into) == (True, winner)
    assert found[winner].data["contacts"] == [{"Email": "a@x.example"}]


def test_a_restored_record_comes_back(stand_in: StandIn) -> None:
    (id_,) = firms(stand_in, 1)
    reading = Reading(stand_in)
    reading.records()
    stand_in.org.delete("Account", id_)
    assert reading.records()[id_].deleted
    stand_in.org.undelete("Account", id_)
    assert reading.records()[id_].data["Name"] == "Firm 0"


def test_an_object_without_a_bin_is_read_without_tombstones(stand_in: StandIn) -> None:
    stand_in.org.put("User", 1, Name="Ann")
    reading = Reading(stand_in, stream(fields("Name"), "User"))
    assert [record.data for record in reading.records().values()] == [{"Name": "Ann"}]
    assert not [asked for asked in stand_in.asked if "queryAll" in asked.path]


# ---- children


def test_a_child_that_is_deleted_or_merged_or_moves_touches_those_it_leaves_and_joins(stand_in: StandIn) -> None:
    one, other = firms(stand_in, 2)
    child, loser, winner = (
        stand_in.org.put("Contact", number, AccountId=one, Email=f"{number}@x.example") for number in range(3)
    )
    reading = Reading(stand_in)
    reading.records()
    reading.records()
    stand_in.org.put("Contact", 0, AccountId=other)
    assert reading.touched() == [Touch("contacts", child, other)]
    stand_in.org.delete("Contact", child)
    assert reading.touched() == [Touch("contacts", child, other)]
    stand_in.org.merge("Contact", loser, winner, stamp=False)
    assert set(reading.touched()) == {Touch("contacts", loser, one), Touch("contacts", winner, None)}
    stand_in.org.touch("Contact", winner, AccountId=None)
    assert reading.touched() == [Touch("contacts", winner, None)]


def test_children_are_followed_only_where_the_mapping_looks_at_them(stand_in: StandIn) -> None:
    children = {"contacts": {"object": "Contact", "via": "AccountId"}}
    reading = Reading(stand_in, stream(fields("Name"), children=children))
    reading.pages()
    assert set(reading.lanes) == {"live", "backfill"}
    assert not [soql for soql in stand_in.queries if "FROM Contact" in soql]


def test_any_relation_by_its_look_up_field_can_be_a_child(stand_in: StandIn) -> None:
    stand_in.org.fields["Invoice__c"] = [*stand_in.org.fields["User"], described("IsDeleted", "boolean"),
                                         described("No__c"), reference("Buyer__c", "Account")]  # fmt: skip
    stand_in.org.tables["Invoice__c"] = {}
    id_ = firms(stand_in, 1)[0]
    stand_in.org.tables["Invoice__c"] = {
        "a00dM0000000001" + checksum("a00dM0000000001"): {
            "Id": "a00dM0000000001" + checksum("a00dM0000000001"),
            "Buyer__c": id_,
            "No__c": "7",
            "IsDeleted": False,
            "SystemModstamp": "2026-03-10T12:00:00",
        }
    }
    wanted = Wanted(frozenset({("Name",)}), {"invoices": fields("No__c")})
    spec = stream(wanted, children={"invoices": {"object": "Invoice__c", "via": "Buyer__c"}})
    assert Reading(stand_in, spec).records()[id_].data == {"Name": "Firm 0", "invoices": [{"No__c": "7"}]}
    wrong = stream(wanted, children={"invoices": {"object": "Invoice__c", "via": "Byer__c"}})
    with pytest.raises(SourceRefused, match="no look-up field Byer__c") as caught:
        Reading(stand_in, wrong).pages()
    assert "Buyer__c" in caught.value.hint


def test_members_of_a_campaign_are_a_child_to_filter_by(stand_in: StandIn) -> None:
    """As the example has it: who becomes a member, or is one no more, is read again."""
    org = stand_in.org
    system = [each for each in org.fields["Lead"] if each["name"] in {"Id", "IsDeleted", "SystemModstamp"}]
    org.fields["Campaign"] = [*org.fields["User"]]
    org.fields["CampaignMember"] = [*system, reference("LeadId", "Lead"), reference("CampaignId", "Campaign")]
    org.tables |= {"Campaign": {}, "CampaignMember": {}}
    expo = org.put("Campaign", 1, Name="Expo")
    lead, other = (org.put("Lead", number, LastName="Doe", IsConverted=False) for number in range(2))
    wanted = Wanted(frozenset({("LastName",)}), {"members": fields("Campaign.Name")})
    reading = Reading(
        stand_in, stream(wanted, "Lead", children={"members": {"object": "CampaignMember", "via": "LeadId"}})
    )
    member = org.put("CampaignMember", 1, LeadId=lead, CampaignId=expo)
    found = reading.records()
    assert found[lead].data["members"] == [{"Campaign": {"Name": "Expo"}}]
    assert found[other].data["members"] == []
    org.put("CampaignMember", 2, LeadId=other, CampaignId=expo)
    org.delete("CampaignMember", member)
    assert {touch.parent for touch in reading.touched()} == {lead, other}


# ---- the same person twice


def test_a_converted_lead_is_left_out_and_withdrawn_when_it_is_converted(stand_in: StandIn) -> None:
    kept, converted = (stand_in.org.put("Lead", n, LastName=f"Lead {n}", IsConverted=bool(n)) for n in range(2))
    reading = Reading(stand_in, stream(fields("LastName"), "Lead"))
    assert set(reading.records()) == {kept}
    assert reading.listed() == [kept]
    assert not reading.connector.fetch(reading.spec, [converted])
    stand_in.org.touch("Lead", kept, IsConverted=True)
    assert reading.records()[kept].deleted
    assert set(Reading(stand_in, stream(fields("LastName"), "Lead", converted="read")).records()) == {kept, converted}


def test_a_converted_lead_is_no_child_either(stand_in: StandIn) -> None:
    stand_in.org.fields["Lead"].append(reference("Partner__c", "Account"))
    firm = firms(stand_in, 1)[0]
    open_, _ = (stand_in.org.put("Lead", n, LastName=f"L{n}", Partner__c=firm, IsConverted=bool(n)) for n in range(2))
    wanted = Wanted(frozenset({("Name",)}), {"leads": fields("LastName")})
    children = {"leads": {"object": "Lead", "via": "Partner__c"}}
    reading = Reading(stand_in, stream(wanted, children=children))
    assert reading.records()[firm].children == {"leads": (open_,)}
    stand_in.org.touch("Lead", open_, IsConverted=True)
    assert reading.touched() == [Touch("leads", open_, firm)]
    assert reading.connector.fetch(reading.spec, [firm])[0].children == {"leads": ()}
    both = Reading(stand_in, stream(wanted, children=children, converted="read")).records()
    assert len(both[firm].children["leads"]) == 2


def test_leads_whose_conversion_may_not_be_seen_are_not_read_as_new(stand_in: StandIn) -> None:
    stand_in.org.put("Lead", 1, LastName="Doe", IsConverted=True)
    stand_in.org.hidden_fields.add(("Lead", "IsConverted"))
    with pytest.raises(SourceRefused, match=r"Lead\.IsConverted does not exist") as caught:
        Reading(stand_in, stream(fields("LastName"), "Lead")).records()
    assert 'converted = "read"' in caught.value.hint
    assert Reading(stand_in, stream(fields("LastName"), "Lead", converted="read")).records()


@pytest.mark.parametrize("persons", ["account", "contact"])
def test_a_person_account_is_one_record_and_not_two(stand_in: StandIn, persons: str) -> None:
    for name in ("Account", "Contact"):
        stand_in.org.fields[name].append(described("IsPersonAccount", "boolean"))
    firm = stand_in.org.put("Account", 1, Name="Firm", IsPersonAccount=False)
    person = stand_in.org.put("Account", 2, Name="Ann", IsPersonAccount=True)
    contact = stand_in.org.put("Contact", 1, LastName="Bob", AccountId=firm, IsPersonAccount=False)
    shadow = stand_in.org.put("Contact", 2, LastName="Ann", AccountId=person, IsPersonAccount=True)
    accounts = Reading(stand_in, stream(fields("Name"), "Account", children={}), person_accounts=persons)
    contacts = Reading(stand_in, stream(fields("LastName"), "Contact"), person_accounts=persons)
    expected = {firm, contact, person if persons == "account" else shadow}
    assert {*accounts.records(), *contacts.records()} == expected
    assert {*accounts.listed(), *contacts.listed()} == expected
