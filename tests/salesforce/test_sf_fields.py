"""Fields and ids: what is asked for, what is there, and what dates a change."""

from __future__ import annotations

import pytest

from connectors.salesforce.connector import SalesforceConnector
from connectors.salesforce.soql import is_id
from sync.shared.errors import SourceRefused
from sync.shared.opaque import checksum
from sync.shared.words import Wanted
from tests.salesforce.sf_org import sf_id
from tests.salesforce.sf_server import StandIn
from tests.salesforce.sf_tables import described
from tests.salesforce.sf_world import Reading, connect, fields, firms, poll, stream

EVERYTHING = Wanted(None)


# ---- fields


def test_parents_compounds_and_nulls_are_read_as_they_are(stand_in: StandIn) -> None:
    owner = stand_in.org.put("User", 1, Name="Olga", Email="olga@x.example")
    address = {"city": "Ulm", "street": "A 1\nB 2", "postalCode": None}
    owned = stand_in.org.put("Account", 1, Name="A", OwnerId=owner, BillingAddress=address)
    free = stand_in.org.put("Account", 2, Name="B")
    spec = stream(fields("Name", "Owner.Name", "Owner.Email", "BillingAddress.city"), children={})
    found = Reading(stand_in, spec).records()
    assert found[owned].data == {
        "Name": "A",
        "Owner": {"Name": "Olga", "Email": "olga@x.example"},
        "BillingAddress": address,
    }
    assert found[free].data == {"Name": "B", "Owner": None, "BillingAddress": None}


def test_a_look_up_to_several_objects_reaches_what_they_have_in_common(stand_in: StandIn) -> None:
    """A lead's owner is a user or a queue; a user's own fields are beyond a query's reach."""
    owner = stand_in.org.put("User", 1, Name="Olga", Email="olga@x.example")
    stand_in.org.put("Lead", 1, LastName="L", OwnerId=owner, IsConverted=False)
    (record,) = Reading(stand_in, stream(fields("LastName", "Owner.Name", "Owner.Email"), "Lead")).records().values()
    assert record.data["Owner"] == {"Name": "Olga", "Email": "olga@x.example"}
    line = "sources.sf.streams.leads.lead.labels"
    spec = stream(fields("Owner.Department"), "Lead", readers={("Owner", "Department"): [line]})
    with pytest.raises(SourceRefused, match=rf"Name\.Department \(read by {line}\)") as caught:
        Reading(stand_in, spec).records()
    for words in ("several objects", "Email", "NameOrAlias", "formula field"):
        assert words in caught.value.hint
    assert "grant" not in caught.value.hint
    (finding,) = [each for each in connect(stand_in).check(spec) if each.level == "error"]
    assert (line in finding.text, "formula field" in finding.hint) == (True, True)


def test_the_parents_of_a_parent_of_several_kinds_are_reached(stand_in: StandIn) -> None:
    stand_in.org.fields["UserRole"] = [described("Id", "id"), described("Name")]
    connector = connect(stand_in)
    with pytest.raises(SourceRefused, match=r"UserRole\.Nmae"):
        poll(connector, stream(fields("Owner.UserRole.Nmae"), "Lead"), {})


def test_only_fields_of_the_description_are_asked_for(stand_in: StandIn) -> None:
    stand_in.org.fields["Account"].append(described("Logo__c", "base64"))
    firms(stand_in, 1)
    (record,) = Reading(stand_in, stream(Wanted(None), children={})).records().values()
    names = {each["name"] for each in stand_in.org.fields["Account"]} - {"Logo__c"}
    assert set(record.data) == names
    assert not [soql for soql in stand_in.queries if "FIELDS(" in soql]


def test_a_new_field_is_found_without_waiting_for_the_next_description(stand_in: StandIn) -> None:
    reading = Reading(stand_in)
    reading.pages()
    stand_in.org.fields["Account"].append(described("New__c"))
    reading.spec = stream(fields("New__c"), children={})
    reading.pages()


@pytest.mark.parametrize(
    ("hidden", "cursor"),
    [
        ((), "SystemModstamp"),
        (("SystemModstamp",), "LastModifiedDate"),
        (("SystemModstamp", "LastModifiedDate"), "CreatedDate"),
    ],
)
def test_the_best_field_that_dates_changes_is_taken(stand_in: StandIn, hidden: tuple[str, ...], cursor: str) -> None:
    """One that cannot be searched by does not count, though it is there."""
    for each in stand_in.org.fields["Account"]:
        if each["name"] in hidden:
            stand_in.org.fields["Account"] = [
                {**one, "filterable": False} if one["name"] in hidden else one for one in stand_in.org.fields["Account"]
            ]
    id_ = firms(stand_in, 1)[0]
    reading = Reading(stand_in, stream(fields("Name"), children={}))
    assert set(reading.records()) == {id_}
    assert reading.lanes["live"]["of"] == f"Account.{cursor}"


def test_another_field_that_dates_changes_reads_everything_anew(stand_in: StandIn) -> None:
    ids, reading = firms(stand_in), Reading(stand_in, stream(fields("Name"), children={}))
    reading.records()
    stand_in.org.fields["Account"] = [
        {**each, "sortable": each["name"] != "SystemModstamp"} for each in stand_in.org.fields["Account"]
    ]
    reading.connector = connect(stand_in)
    assert set(reading.records()) == set(ids)


def test_an_object_without_any_time_is_refused(stand_in: StandIn) -> None:
    with pytest.raises(SourceRefused, match="no time of change"):
        Reading(stand_in, stream(fields("Id"), "Organization")).pages()


# ---- ids


def test_ids_are_checked_before_they_get_into_a_query(stand_in: StandIn) -> None:
    (id_,) = firms(stand_in, 1)
    reading = Reading(stand_in)
    reading.records()
    stand_in.forget()
    bad = [
        "",
        "x" * 15,
        id_[:-1],
        id_[:-1] + "!",
        "' OR Id != '",
        sf_id("Contact", 1),
        id_.lower(),
        f"{id_}\n",
        "é" * 18,
    ]
    assert reading.connector.fetch(reading.spec, bad) == []
    assert not stand_in.queries
    assert [record.id for record in reading.connector.fetch(reading.spec, [id_[:15]])] == [id_]
    assert [record.id for record in reading.connector.fetch(reading.spec, [*bad, id_])] == [id_]


def test_the_three_characters_of_an_id_hold_its_case() -> None:
    for id_ in ("001dM00003jU9GxQAK", "003dM00001vWOXJQA4", "0014W000027f6V2QAI", "00Qak00000696HHEAY"):
        assert checksum(id_[:15]) == id_[15:]
        assert is_id(id_)
        assert not is_id(id_[:15].swapcase() + id_[15:])


def test_a_connector_can_be_closed_and_used_again(stand_in: StandIn) -> None:
    connector = connect(stand_in)
    assert isinstance(connector, SalesforceConnector)
    poll(connector, stream(), {})
    connector.close()
    poll(connector, stream(), {})
    connector.close()
