"""A description is believed for a day, and doubted wherever Salesforce or a refusal says otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from connectors.interface import StreamSpec
from connectors.salesforce.connector import SalesforceConnector
from sync.shared.errors import SourceRefused
from sync.shared.words import Json, Wanted
from tests.salesforce.sf_faults import Fault, error
from tests.salesforce.sf_server import StandIn
from tests.salesforce.sf_tables import described
from tests.salesforce.sf_world import account, connect, fields, firms, on, poll, records_of, settle_down, stream

PHONE = stream(fields("Name", "Phone"), children={})
LINE = "sources.sf.streams.accounts.lead.phones"


def describes(stand_in: StandIn) -> list[str]:
    """The objects that were described, in order."""
    return [asked.path.split("/")[5] for asked in stand_in.asked if asked.path.endswith("/describe")]


class Daemon:
    """A source's account lives as long as its configuration; each failure opens a new connector, as the engine does."""

    def __init__(self, stand_in: StandIn, spec: StreamSpec) -> None:
        self.stand_in = stand_in
        self.spec = spec
        self.account = account(stand_in)
        self.lanes: dict[str, Json] = {}

    def poll(self) -> Mapping[str, Any]:
        settle_down(self.stand_in)
        self.stand_in.forget()
        return records_of(poll(SalesforceConnector(self.account), self.spec, self.lanes))


def hide_field(stand_in: StandIn) -> None:
    stand_in.org.hidden_fields.add(("Account", "Phone"))


def hide_object(stand_in: StandIn) -> None:
    stand_in.org.hidden_objects.add("Account")


def hide_child(stand_in: StandIn) -> None:
    stand_in.org.hidden_objects.add("Contact")


def hide_child_field(stand_in: StandIn) -> None:
    stand_in.org.hidden_fields.add(("Contact", "Email"))


def hide_look_up(stand_in: StandIn) -> None:
    stand_in.org.hidden_fields.add(("Contact", "AccountId"))


def hide_parent(stand_in: StandIn) -> None:
    stand_in.org.hidden_objects.add("User")


def hide_parents_field(stand_in: StandIn) -> None:
    stand_in.org.hidden_fields.add(("User", "Name"))


def hide_relation(stand_in: StandIn) -> None:
    stand_in.org.hidden_fields.add(("Account", "OwnerId"))


def hide_times(stand_in: StandIn) -> None:
    stand_in.org.hidden_fields.update(
        ("Account", name) for name in ("SystemModstamp", "LastModifiedDate", "CreatedDate")
    )


def show_all(stand_in: StandIn) -> None:
    stand_in.org.hidden_fields.clear()
    stand_in.org.hidden_objects.clear()


WITH_CHILD = stream(Wanted(frozenset({("Name",), ("Owner", "Name")}), {"contacts": fields("Email")}))
HIDDEN = [
    (PHONE, hide_field, r"Account\.Phone"),
    (PHONE, hide_object, "Account: Salesforce finds nothing there"),
    (WITH_CHILD, hide_child, "Contact: Salesforce finds nothing there"),
    (WITH_CHILD, hide_child_field, r"Contact\.Email"),
    (WITH_CHILD, hide_look_up, "no look-up field AccountId"),
    (WITH_CHILD, hide_parent, r"Account\.Owner"),
    (WITH_CHILD, hide_parents_field, r"User\.Name"),
    (WITH_CHILD, hide_relation, r"Account\.Owner"),
    (PHONE, hide_times, "no time of change"),
]


@pytest.mark.parametrize(("spec", "hide", "words"), HIDDEN, ids=[each[1].__name__ for each in HIDDEN])
def test_what_is_granted_is_noticed_at_the_next_try(
    stand_in: StandIn, spec: StreamSpec, hide: Callable[[StandIn], None], words: str
) -> None:
    """Granted for the first time; and taken away, given back, taken away again while it runs."""
    ids = set(firms(stand_in))
    hide(stand_in)
    daemon = Daemon(stand_in, spec)
    for _ in range(3):
        with pytest.raises(SourceRefused, match=words):
            daemon.poll()
    assert len(describes(stand_in)) <= 2
    show_all(stand_in)
    assert set(daemon.poll()) == ids
    for _ in range(2):
        hide(stand_in)
        stand_in.org.touch("Account", min(ids))
        for _ in range(2):
            with pytest.raises(SourceRefused):
                daemon.poll()
        show_all(stand_in)
        assert set(daemon.poll()) == {min(ids)}
        daemon.poll()
        assert not describes(stand_in)


def test_several_grants_at_once_are_all_noticed_at_the_next_try(stand_in: StandIn) -> None:
    """A refusal that rests on one description hides what another one lacks."""
    ids = set(firms(stand_in))
    for hide in (hide_look_up, hide_parent, hide_parents_field, hide_child_field, hide_field):
        hide(stand_in)
    spec = stream(
        Wanted(frozenset({("Phone",), ("Owner", "Name")}), {"contacts": fields("Email")}),
    )
    daemon = Daemon(stand_in, spec)
    for _ in range(2):
        with pytest.raises(SourceRefused):
            daemon.poll()
    show_all(stand_in)
    assert set(daemon.poll()) == ids


def test_a_refusal_that_lasts_costs_a_description_a_try_and_names_the_line(stand_in: StandIn) -> None:
    firms(stand_in)
    spec = stream(fields("Name", "Phone"), children={}, readers={("Phone",): [LINE]})
    daemon = Daemon(stand_in, spec)
    daemon.poll()
    hide_field(stand_in)
    with pytest.raises(SourceRefused, match=LINE):
        daemon.poll()
    for _ in range(4):
        with pytest.raises(SourceRefused, match=rf"Account\.Phone \(read by {LINE}\)") as caught:
            daemon.poll()
        assert describes(stand_in) == ["Account"]
        assert len(stand_in.asked) <= 2
    assert caught.value.hint.startswith("grant Read on the field")
    assert "Owner" not in caught.value.hint


def test_a_query_that_is_refused_for_a_field_that_is_described_is_named_with_its_line(stand_in: StandIn) -> None:
    """Descriptions that know more than queries reach: nothing of it may be a circle of hints."""
    firms(stand_in)
    spec = stream(fields("Name", "Phone"), children={}, readers={("Phone",): [LINE]})
    daemon = Daemon(stand_in, spec)
    words = "\nSELECT Phone\n ^\nERROR at Row:1:Column:8\nNo such column 'Phone' on entity 'Account'. If you …"
    for _ in range(3):
        stand_in.faults = [error(400, "INVALID_FIELD", words)]
        stand_in.faults = [Fault(400, stand_in.faults[0].body, on=lambda asked: bool(asked.soql))]
        with pytest.raises(SourceRefused, match=rf"Account\.Phone \(read by {LINE}\)") as caught:
            daemon.poll()
        assert "check" not in caught.value.hint
        assert describes(stand_in) in (["Account"], ["Account"] * 2)
    stand_in.faults = []
    assert daemon.poll()


@pytest.mark.parametrize("code", ["INVALID_TYPE", "INVALID_QUERY_FILTER_OPERATOR", "INSUFFICIENT_ACCESS"])
def test_any_other_refusal_of_a_query_has_its_object_described_anew_at_the_next_try(
    stand_in: StandIn, code: str
) -> None:
    firms(stand_in)
    daemon = Daemon(stand_in, PHONE)
    daemon.poll()
    stand_in.faults = [error(400, code)]
    with pytest.raises(SourceRefused):
        daemon.poll()
    daemon.poll()
    assert describes(stand_in) == ["Account"]


@pytest.mark.parametrize("spec", [PHONE, stream(fields("Owner.Name"), children={})], ids=["own", "of a parent"])
def test_a_field_that_answers_leave_out_without_a_word_is_refused_and_no_filter_opens(
    stand_in: StandIn, spec: StreamSpec
) -> None:
    owner = stand_in.org.put("User", 1, Name="Olga")
    stand_in.org.put("Account", 1, Name="Firm", Phone="+49 731 1", OwnerId=owner)
    daemon = Daemon(stand_in, spec)
    assert daemon.poll()
    stand_in.org.silent_fields = {("Account", "Phone"), ("Account", "Owner")}
    stand_in.org.put("Account", 2, Name="Firm", OwnerId=owner)
    for _ in range(2):
        with pytest.raises(SourceRefused, match=r"leaves a field out of its answer: Account\.(Phone|Owner\.Name)"):
            daemon.poll()
    connector = connect(stand_in)
    assert [each.level for each in connector.check(spec) if "leaves a field out" in each.text] == ["error"]
    stand_in.org.silent_fields = set()
    assert len(daemon.poll()) == 1


def test_another_streams_descriptions_are_left_alone(stand_in: StandIn) -> None:
    firms(stand_in)
    daemon = Daemon(stand_in, PHONE)
    daemon.poll()
    other = stream(fields("Name"), "User")
    connector = SalesforceConnector(daemon.account)
    poll(connector, other, {})
    hide_field(stand_in)
    for _ in range(3):
        with pytest.raises(SourceRefused):
            daemon.poll()
        stand_in.forget()
        poll(connector, other, {})
        assert not describes(stand_in)


def test_check_asks_just_the_queries_that_polls_ask(stand_in: StandIn) -> None:
    """With the same fields and conditions, but for their bounds."""
    id_ = firms(stand_in, 1)[0]
    stand_in.org.put("Contact", 1, AccountId=id_, Email="a@x.example")
    shape = re.compile(r"\d{4}-\d\d-\d\dT[\d:]+Z|'\w+'|LIMIT \d+").sub
    connector = connect(stand_in)
    connector.check(WITH_CHILD)
    checked = {shape("?", soql) for soql in stand_in.queries}
    stand_in.forget()
    lanes: dict[str, Json] = {}
    for _ in range(2):
        settle_down(stand_in)
        poll(connector, WITH_CHILD, lanes)
    asked = {shape("?", soql) for soql in stand_in.queries if " Id > " not in soql and "FROM Lead" not in soql}
    assert asked <= checked


def test_a_look_up_that_only_queries_refuse_is_found_by_check(stand_in: StandIn) -> None:
    refused = "\nSELECT x\n ^\nERROR at Row:1:Column:8\nNo such column 'Name' on entity 'Contact'. If you …"
    body = [{"errorCode": "INVALID_FIELD", "message": refused}]
    stand_in.faults = [Fault(400, body, on=on("FROM Contact WHERE AccountId IN"), times=9)]
    spec = stream(WITH_CHILD.wanted, readers={("contacts", "Name"): ["…contacts[0].name"]})
    found = [each for each in connect(stand_in).check(spec) if each.level == "error"]
    assert [each.text for each in found] == [
        "a field does not exist, or the user may not see it (INVALID_FIELD): Contact.Name (read by …contacts[0].name)"
    ]
    assert not [each for each in connect(stand_in).check(spec) if "has the fields that are read" in each.text]


def test_a_new_kind_of_field_is_seen_at_once_where_it_was_refused_before(stand_in: StandIn) -> None:
    stand_in.org.fields["Account"].append(described("Parent__c"))
    firms(stand_in, 1)
    spec = stream(fields("Parent__r.Name"), children={})
    daemon = Daemon(stand_in, spec)
    with pytest.raises(SourceRefused, match=r"Account\.Parent__r"):
        daemon.poll()
    look = {**described("Parent__c", "reference"), "relationshipName": "Parent__r", "referenceTo": ["Account"]}
    stand_in.org.fields["Account"][-1] = look
    assert daemon.poll()
