"""One person in several records: converted leads and their heirs, person accounts and their shadows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from connectors.salesforce.session import FEWER_IDS, MOST_IDS
from sync.shared.errors import SourceRefused, SourceUnavailable
from sync.shared.words import Wanted
from tests.salesforce.sf_faults import Fault, error
from tests.salesforce.sf_server import StandIn
from tests.salesforce.sf_world import Reading, connect, fields, on, stream

FIRM = stream(Wanted(frozenset({("Name",)}), {"contacts": fields("LastName")}))
PERSON = stream(fields("LastName"), "Contact")
Former = Mapping[str, Sequence[str]]


def former(reading: Reading) -> dict[str, Former]:
    return {id_: dict(record.former) for id_, record in reading.records().items()}


def lead(stand_in: StandIn, number: int = 1) -> str:
    return stand_in.org.put("Lead", number, LastName=f"Lead {number}", Company=f"Firm {number}", IsConverted=False)


# ---- converted leads


def test_the_heirs_of_a_lead_name_it_whichever_is_read_first(stand_in: StandIn) -> None:
    one = lead(stand_in)
    firms, people = Reading(stand_in, FIRM), Reading(stand_in, PERSON)
    firms.records(), people.records()
    account, contact = stand_in.org.convert(one, 1, 1)
    assert former(people) == {contact: {contact: (one,)}}
    assert former(firms) == {account: {account: (one,), contact: (one,)}}
    (record,) = firms.connector.fetch(firms.spec, [account])
    assert record.former == {account: (one,), contact: (one,)}
    assert Reading(stand_in, stream(fields("LastName"), "Lead")).records() == {}


def test_several_leads_of_one_contact_are_all_named_and_a_deleted_one_too(stand_in: StandIn) -> None:
    leads = [lead(stand_in, number) for number in range(3)]
    for each in leads:
        account, contact = stand_in.org.convert(each, 1, 1)
    stand_in.org.delete("Lead", leads[0])
    found = former(Reading(stand_in, FIRM))[account]
    assert found == {account: tuple(sorted(leads)), contact: tuple(sorted(leads))}


def test_an_account_that_a_lead_only_joined_was_not_made_from_it(stand_in: StandIn) -> None:
    """Its contact is the lead's person nonetheless, were it there before or not."""
    old = stand_in.org.put("Account", 1, Name="Old firm")
    known = stand_in.org.put("Contact", 1, AccountId=old, LastName="Known before")
    stand_in.org.advance(timedelta(days=3))
    one, other = lead(stand_in, 1), lead(stand_in, 2)
    stand_in.org.convert(one, 1, 1)
    _, new = stand_in.org.convert(other, 1, 2)
    (record,) = Reading(stand_in, FIRM).records().values()
    assert record.former == {known: (one,), new: (other,)}


@pytest.mark.parametrize("before", [True, False])
def test_an_account_that_is_older_than_its_lead_was_not_made_from_it_though_both_are_of_one_day(
    stand_in: StandIn, before: bool
) -> None:
    account = stand_in.org.put("Account", 1, Name="This morning's firm") if before else None
    stand_in.org.advance(timedelta(minutes=1))
    one = lead(stand_in)
    stand_in.org.advance(timedelta(minutes=1))
    made, contact = stand_in.org.convert(one, 1, 1)
    assert account in (None, made)
    (record,) = Reading(stand_in, FIRM).records().values()
    assert record.former == ({contact: (one,)} if before else {made: (one,), contact: (one,)})


def test_a_contact_that_was_there_before_is_the_leads_person_also_where_its_age_is_mapped(stand_in: StandIn) -> None:
    stand_in.org.put("Contact", 1, LastName="Known before")
    stand_in.org.advance(timedelta(days=3))
    one = lead(stand_in)
    firm, person = stand_in.org.convert(one, 1, 1)
    people = stream(fields("LastName", "CreatedDate"), "Contact")
    assert former(Reading(stand_in, people)) == {person: {person: (one,)}}
    nested = stream(Wanted(frozenset({("Name",)}), {"contacts": fields("LastName", "CreatedDate")}))
    assert former(Reading(stand_in, nested)) == {firm: {firm: (one,), person: (one,)}}


def test_nothing_is_asked_where_nothing_is_read_and_a_page_asks_once_for_each_object(stand_in: StandIn) -> None:
    for number in range(450):
        account = stand_in.org.put("Account", number, Name="Firm")
        stand_in.org.put("Contact", number, AccountId=account, LastName="Doe")
    reading = Reading(stand_in, FIRM)
    assert len(reading.records()) == 450
    assert sum("FROM Lead" in soql for soql in stand_in.queries) == 2
    reading.pages()
    stand_in.forget()
    reading.pages()
    assert stand_in.calls() == {"Account": 1, "Contact": 1}


@pytest.mark.parametrize("status", [414, 431])
def test_a_question_about_many_heirs_is_halved_where_it_is_too_long(stand_in: StandIn, status: int) -> None:
    assert MOST_IDS > 900
    one = lead(stand_in)
    for number in range(2, 900):
        stand_in.org.put("Account", number, Name="Firm")
    account, _ = stand_in.org.convert(one, 1, 1)
    too_long = [{"body": [], "httpStatusCode": status, "referenceId": "query", "httpHeaders": {}}]
    stand_in.faults = [Fault(200, {"compositeResponse": too_long}, on=on("/composite"), times=2)]
    found = former(Reading(stand_in, stream(fields("Name"), children={})))
    assert not stand_in.faults
    assert found[account] == {account: (one,)}
    assert len(found) == 899


@pytest.mark.parametrize("code", ["MALFORMED_QUERY", "SOMETHING_NEW"])
def test_a_question_that_a_body_may_not_hold_is_asked_by_addresses(stand_in: StandIn, code: str) -> None:
    one = lead(stand_in)
    for number in range(2, 900):
        stand_in.org.put("Account", number, Name="Firm")
    account, _ = stand_in.org.convert(one, 1, 1)
    stand_in.faults = [error(400, code)]
    stand_in.faults = [Fault(400, stand_in.faults[0].body, on=on("/composite"))]
    found = former(Reading(stand_in, stream(fields("Name"), children={})))
    assert (found[account], len(found)) == ({account: (one,)}, 899)
    assert sum("FROM Lead" in soql for soql in stand_in.queries) == 1 + 5


def test_an_old_version_without_bodies_asks_by_addresses(stand_in: StandIn) -> None:
    for number in range(2 * FEWER_IDS):
        stand_in.org.put("Account", number, Name="Firm")
    assert len(Reading(stand_in, stream(fields("Name"), children={}), api_version="37.0").records()) == 2 * FEWER_IDS
    assert {asked.method for asked in stand_in.asked} == {"GET"}


@pytest.mark.parametrize("column", ["ConvertedAccountId", "ConvertedContactId"])
@pytest.mark.parametrize("how", ["hidden", "not filterable"])
def test_where_a_leads_heirs_may_not_be_seen_check_says_so_and_reading_goes_on(
    stand_in: StandIn, column: str, how: str
) -> None:
    account, contact = stand_in.org.convert(lead(stand_in), 1, 1)
    if how == "hidden":
        stand_in.org.hidden_fields.add(("Lead", column))
    else:
        stand_in.org.fields["Lead"] = [
            {**each, "filterable": each["name"] != column} for each in stand_in.org.fields["Lead"]
        ]
    (warning,) = [each for each in connect(stand_in).check(FIRM) if "was a lead before" in each.text]
    assert warning.level == "warning"
    assert f"Lead.{column}" in warning.text
    kept = {contact} if column == "ConvertedAccountId" else {account}
    assert former(Reading(stand_in, FIRM))[account].keys() == kept


def test_who_sees_no_leads_is_not_warned(stand_in: StandIn) -> None:
    stand_in.org.hidden_objects.add("Lead")
    stand_in.org.put("Account", 1, Name="Firm")
    assert not [each for each in connect(stand_in).check(FIRM) if "Lead" in each.text]
    assert list(former(Reading(stand_in, FIRM)).values()) == [{}]


@pytest.mark.parametrize("taken", ["the field", "all leads"])
def test_what_is_taken_away_of_leads_while_it_runs_does_not_stop_the_stream(stand_in: StandIn, taken: str) -> None:
    reading = Reading(stand_in, FIRM)
    stand_in.org.put("Account", 2, Name="Firm")
    reading.records()
    one = lead(stand_in)
    account, _ = stand_in.org.convert(one, 1, 1)
    if taken == "the field":
        stand_in.org.hidden_fields.add(("Lead", "ConvertedContactId"))
    else:
        stand_in.org.hidden_objects.add("Lead")
    assert former(reading)[account] == ({account: (one,)} if taken == "the field" else {})


def test_a_question_about_leads_that_is_refused_for_no_reason_stops_the_page(stand_in: StandIn) -> None:
    reading = Reading(stand_in, FIRM)
    account, _ = stand_in.org.convert(lead(stand_in), 1, 1)
    stand_in.faults = [Fault(400, [{"errorCode": "MALFORMED_QUERY", "message": "…"}], on=on("FROM Lead"), times=3)]
    for _ in range(2):
        with pytest.raises(SourceRefused, match="MALFORMED_QUERY"):
            reading.records()
    assert former(reading)[account]


def test_a_question_about_leads_that_fails_fails_the_page(stand_in: StandIn) -> None:
    """It is asked again: a heir is never read as a new person because the answer did not come."""
    account, _ = stand_in.org.convert(lead(stand_in), 1, 1)
    reading = Reading(stand_in, FIRM)
    stand_in.faults = [Fault(503, "", on=on("FROM Lead"))]
    with pytest.raises(SourceUnavailable):
        reading.records()
    assert former(reading)[account]


# ---- person accounts


@pytest.fixture
def persons(stand_in: StandIn) -> StandIn:
    stand_in.org.have_persons()
    return stand_in


SETTINGS = pytest.mark.parametrize("kept", ["account", "contact"])


@SETTINGS
@pytest.mark.parametrize("hidden", [(), ("PersonContactId",), ("IsPersonAccount of Contact",), ("both",)])
def test_a_persons_shadow_is_never_nested_into_its_own_account(
    persons: StandIn, kept: str, hidden: Sequence[str]
) -> None:
    org = persons.org
    firm = org.put("Account", 1, Name="Acme", IsPersonAccount=False)
    employee = org.put("Contact", 1, AccountId=firm, LastName="Doe", IsPersonAccount=False)
    person, _ = org.put_person(2)
    if {*hidden} & {"PersonContactId", "both"}:
        org.hidden_fields.add(("Account", "PersonContactId"))
    if {*hidden} & {"IsPersonAccount of Contact", "both"}:
        org.hidden_fields.add(("Contact", "IsPersonAccount"))
    reading = Reading(persons, FIRM, person_accounts=kept)
    found = reading.records()
    assert found[firm].children == {"contacts": (employee,)}
    assert (person in found and not found[person].deleted) == (kept == "account")
    if kept == "account":
        assert found[person].children == {"contacts": ()}
    (again,) = reading.connector.fetch(reading.spec, [firm])
    assert again.children == {"contacts": (employee,)}


@SETTINGS
def test_a_person_is_no_part_of_another_account(persons: StandIn, kept: str) -> None:
    """Neither its account nor, where accounts are kept, its shadow is nested anywhere, by whatever look-up field."""
    org = persons.org
    for name in ("Account", "Contact"):
        org.fields[name].append(
            {**org.fields["Contact"][6], "name": "Firm__c", "relationshipName": "Firm__r", "referenceTo": ["Account"]}
        )
    firm = org.put("Account", 1, Name="Acme", IsPersonAccount=False)
    branch = org.put("Account", 3, Name="Branch", IsPersonAccount=False, Firm__c=firm)
    account, shadow = org.put_person(2)
    org.touch("Account", account, Firm__c=firm)
    org.touch("Contact", shadow, Firm__c=firm)
    children: dict[str, Any] = {
        "branches": {"object": "Account", "via": "Firm__c"},
        "people": {"object": "Contact", "via": "Firm__c"},
    }
    wanted = Wanted(frozenset({("Name",)}), {"branches": fields("Name"), "people": fields("LastName")})
    found = Reading(persons, stream(wanted, children=children), person_accounts=kept).records()[firm]
    assert found.children == {"branches": (branch,), "people": ()}


@pytest.mark.parametrize(
    ("wanted", "warns"),
    [(fields("Name"), True), (fields("Name", "IsPersonAccount"), False), (Wanted(None), True)],
)
def test_check_warns_of_persons_that_would_become_companies(persons: StandIn, wanted: Wanted, warns: bool) -> None:
    persons.org.put_person(1)
    spec = stream(wanted, children={})
    found = [each for each in connect(persons).check(spec) if "persons become companies" in each.text]
    assert bool(found) is warns
    assert all('where = "!IsPersonAccount"' in each.hint for each in found)
    assert not [
        each for each in connect(persons, person_accounts="contact").check(spec) if "become companies" in each.text
    ]


def test_check_says_where_a_shadow_cannot_be_told(persons: StandIn) -> None:
    persons.org.hidden_fields.add(("Contact", "IsPersonAccount"))
    (warning,) = [each for each in connect(persons).check(PERSON) if "person account" in each.text]
    assert (warning.level, "Contact.IsPersonAccount" in warning.text) == ("warning", True)


def test_without_person_accounts_nobody_is_warned(stand_in: StandIn) -> None:
    assert not [each for each in connect(stand_in).check(FIRM) if "person" in each.text]


def test_a_lead_that_became_a_person_is_named_by_both_of_its_records(persons: StandIn) -> None:
    one = lead(persons)
    account, contact = persons.org.put_person(1)
    persons.org.advance(timedelta(days=3))
    persons.org.convert(one, 1, 1)
    assert former(Reading(persons, FIRM)) == {account: {account: (one,)}}
    kept = Reading(persons, PERSON, person_accounts="contact")
    assert former(kept) == {contact: {contact: (one,)}}


def test_person_accounts_that_are_switched_on_while_it_runs_are_told_by_the_next_description(stand_in: StandIn) -> None:
    clock = [0.0]
    reading = Reading(stand_in, FIRM)
    reading.connector = connect(stand_in, lambda: clock[0])
    reading.records()
    stand_in.org.have_persons()
    clock[0] += 90_000
    person, _ = stand_in.org.put_person(1)
    assert reading.records()[person].children == {"contacts": ()}
