"""What users see for a code: from descriptions, in the user's language, never the code in its place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from connectors.interface import Describes, FieldKind, StreamSpec
from connectors.salesforce.connector import SalesforceConnector
from sync.config.load import load_config
from sync.config.mappings import compile_all
from sync.engine.stream_specs import stream_specs
from sync.mapping.compile import LeadMapping
from sync.shared.errors import SourceRefused
from sync.shared.words import LABEL, Json, Wanted
from tests.salesforce.sf_command import Program
from tests.salesforce.sf_org import sf_id
from tests.salesforce.sf_server import StandIn
from tests.salesforce.sf_tables import RECORD_TYPES, typed
from tests.salesforce.sf_world import Reading, connect, fields, stream

CONFIG = """
[workspaces.main]
api_key = "none"
[sources.sf]
connector = "salesforce"
auth = { flow = "session", session_id = "open-session", instance = "127.0.0.1" }
[sources.sf.streams.accounts]
object = "Account"
start = "all"
on_change = "hold"
[sources.sf.streams.accounts.lead]
kind = "company"
name = "Name"
"""


def configured(folder: Path, lead: str) -> tuple[LeadMapping, StreamSpec]:
    """A stream of accounts as a configuration has it."""
    path = folder / "config.toml"
    path.write_text(CONFIG + lead)
    config = load_config(path)
    mappings = compile_all(config)
    return mappings["sf.accounts"], stream_specs(config, mappings)["sf.accounts"]


def labelled(*names: str) -> Wanted:
    """The fields and their labels, as a mapping with label() wants them."""
    paths = [tuple(name.split(".")) for name in names]
    return Wanted(frozenset([*paths, *((*path[:-1], path[-1] + LABEL) for path in paths)]))


def describes(stand_in: StandIn) -> int:
    return sum(asked.path.endswith("/describe") for asked in stand_in.asked)


def test_a_picklist_a_multi_select_and_a_record_type_have_labels(stand_in: StandIn) -> None:
    stand_in.org.fields["Account"] += typed()
    channel = next(id_ for id_, (code, _) in RECORD_TYPES.items() if code == "Channel")
    values: dict[str, Any] = {"Industry": "Steel", "Interests__c": "c;a", "RecordTypeId": channel, "Name": "Firm"}
    id_ = stand_in.org.put("Account", 1, **values)
    empty = stand_in.org.put("Account", 2)
    found = Reading(
        stand_in, stream(labelled("Industry", "Interests__c", "RecordTypeId", "Name"), children={})
    ).records()
    assert found[id_].data == {
        **values,
        "Industry@label": "Steel and metal",
        "Interests__c@label": ["Cars", "Apples"],
        "RecordTypeId@label": "Through partners",
        "Name@label": "Firm",
    }
    assert found[empty].data == dict.fromkeys([*values, *(name + LABEL for name in values)])


def test_labels_of_parents_and_of_children(stand_in: StandIn) -> None:
    firm = stand_in.org.put("Account", 1, Name="Firm", Industry="Tech")
    stand_in.org.put("Contact", 1, AccountId=firm, Level__c="L1")
    orphan = stand_in.org.put("Contact", 2, Level__c="L2")
    contacts = Reading(stand_in, stream(labelled("Level__c", "Account.Industry"), "Contact")).records()
    assert contacts[sf_id("Contact", 1)].data == {
        "Level__c": "L1",
        "Level__c@label": "Primary",
        "Account": {"Industry": "Tech", "Industry@label": "Technology"},
    }
    assert contacts[orphan].data == {"Level__c": "L2", "Level__c@label": "Secondary", "Account": None}
    nested = Wanted(frozenset({("Name",)}), {"contacts": labelled("Level__c")})
    (record,) = Reading(stand_in, stream(nested)).records().values()
    assert record.data["contacts"] == [{"Level__c": "L1", "Level__c@label": "Primary"}]


def test_a_record_that_is_read_whole_has_the_labels_that_are_asked_for(stand_in: StandIn, tmp_path: Path) -> None:
    """And what is read of it by name must be there, as ever: a filter never opens because a field vanished."""
    _, spec = configured(
        tmp_path,
        """
        where = "Owner.Department != 'Legal'"
        industry = "label(Industry)"
        notes = "join(', ', keys(@))"
    """,
    )
    assert spec.wanted.fields is None
    id_ = stand_in.org.put("Account", 1, Name="Firm", Industry="Steel", Type="gone", Interests__c="b")
    reading = Reading(stand_in, spec)
    data = reading.records()[id_].data
    assert [key for key in data if key.endswith(LABEL)] == ["Industry@label"]
    assert (data["Industry@label"], data["Owner"]) == ("Steel and metal", None)
    stand_in.org.hidden_fields.add(("User", "Department"))
    stand_in.org.touch("Account", id_)
    with pytest.raises(SourceRefused, match=r"User\.Department \(read by .*lead\.where\)"):
        reading.records()


@pytest.mark.parametrize(
    ("path", "cure"),
    [
        ("OwnerId", "write Owner.Name"),
        ("Owner", "write Owner.Name"),
        ("Owner.ManagerId", "write Owner.Manager.Name"),
        ("BillingAddress.countryCode", "map a field of its own"),
    ],
)
def test_ids_and_records_have_no_label_and_the_cure_says_what_has(stand_in: StandIn, path: str, cure: str) -> None:
    manager = {**stand_in.org.fields["Account"][-1], "name": "ManagerId", "relationshipName": "Manager"}
    stand_in.org.fields["User"].append(manager)
    with pytest.raises(SourceRefused) as caught:
        Reading(stand_in, stream(labelled(path), children={})).records()
    assert cure in caught.value.hint


def test_a_new_value_is_looked_up_at_once_and_a_value_off_the_list_is_left_out_and_noted(stand_in: StandIn) -> None:
    ids = [stand_in.org.put("Account", number, Industry="Steel") for number in range(3)]
    reading = Reading(stand_in, stream(labelled("Industry", "Interests__c"), children={}))
    reading.records()
    stand_in.org.set_labels("Account", "Industry", Steel="Stahl", Tech="Technik", Wood="Holz")
    stand_in.org.touch("Account", ids[0], Industry="Wood")
    assert reading.records()[ids[0]].data["Industry@label"] == "Holz"
    stand_in.org.touch("Account", ids[1], Industry="Steel")
    assert reading.records()[ids[1]].data["Industry@label"] == "Stahl"
    stand_in.org.set_labels("Account", "Industry", Steel="Stahl")
    for number in range(3):
        stand_in.org.touch("Account", ids[number], Industry="Paper", Interests__c="a;z")
    stand_in.forget()
    pages = reading.pages()
    data = [record.data for page in pages for record in page.records]
    assert [(each["Industry"], each["Industry@label"]) for each in data] == [("Paper", None)] * 3
    assert [(each["Interests__c"], each["Interests__c@label"]) for each in data] == [("a;z", ["Apples"])] * 3
    notes = [page.notes for page in pages if page.notes]
    assert notes == [{"without_label": {"Account.Industry": 3, "Account.Interests__c": 3}}]
    assert describes(stand_in) == 1


def test_codes_without_a_label_cost_a_description_an_hour_at_most(stand_in: StandIn) -> None:
    clock = [0.0]
    id_ = stand_in.org.put("Account", 1, Industry="Paper")
    reading = Reading(stand_in, stream(labelled("Industry"), children={}))
    reading.connector = connect(stand_in, lambda: clock[0])
    described = []
    for number in range(26):
        stand_in.forget()
        stand_in.org.touch("Account", id_, Industry=("Paper", "Wool")[number % 2])
        reading.records()
        described.append(describes(stand_in))
        clock[0] += 300
    assert described == [2, 1, *[0] * 11, 1, *[0] * 11, 1] or sum(described) <= 6


def test_children_that_are_read_for_a_change_of_theirs_are_noted_in_the_next_poll(stand_in: StandIn) -> None:
    firm = stand_in.org.put("Account", 1, Name="Firm")
    reading = Reading(stand_in, stream(Wanted(frozenset({("Name",)}), {"contacts": labelled("Level__c")})))
    reading.records()
    stand_in.org.put("Contact", 1, AccountId=firm, Level__c="L9")
    (record,) = reading.connector.fetch(reading.spec, [firm])
    assert record.data["contacts"] == [{"Level__c": "L9", "Level__c@label": None}]
    notes = [page.notes for page in reading.pages() if page.notes]
    assert notes[0] == {"without_label": {"Contact.Level__c": 1}}


def test_a_label_that_is_renamed_or_translated_changes_no_record(stand_in: StandIn, tmp_path: Path) -> None:
    """By what the engine compares: labels are no part of it."""
    mapping, spec = configured(tmp_path, 'industry = "label(Industry)"\nlabels = "label(Interests__c)"')
    id_ = stand_in.org.put("Account", 1, Name="Firm", Industry="Steel", Interests__c="a;b")
    reading = Reading(stand_in, spec)
    before = codes(mapping, reading.records()[id_].data)
    stand_in.org.set_labels("Account", "Industry", Steel="Stahl")
    reading.connector._account.forget_schemas()
    stand_in.org.touch("Account", id_)
    record = reading.records()[id_]
    assert record.data["Industry@label"] == "Stahl"
    assert codes(mapping, record.data) == before


def test_discover_shows_the_whole_list_of_codes_and_labels(stand_in: StandIn) -> None:
    stand_in.org.set_labels("Account", "Industry", **{f"code{number}": f"Label {number}" for number in range(300)})
    stand_in.org.fields["Account"] += typed()
    found = {each.name: each for each in connect(stand_in).discover("Account")}
    assert found["Industry"].choices == {f"code{number}": f"Label {number}" for number in range(300)}
    assert found["RecordTypeId"].choices == {id_: label for id_, (_, label) in RECORD_TYPES.items()}
    assert found["Name"].choices == {}


def test_the_kinds_of_fields_are_described(stand_in: StandIn) -> None:
    connector = connect(stand_in)
    assert isinstance(connector, SalesforceConnector)
    assert isinstance(connector, Describes)
    own = fields("Name", "Industry", "NumberOfEmployees", "AnnualRevenue", "IsDeleted", "Owner.Name", "CreatedDate")
    spec = stream(Wanted(own.fields, {"contacts": fields("Level__c")}))
    assert connector.describe(spec) == {
        ("Industry",): FieldKind("text", choices={"Steel": "Steel and metal", "Tech": "Technology"}),
        ("NumberOfEmployees",): FieldKind("integer"),
        ("AnnualRevenue",): FieldKind("number"),
        ("IsDeleted",): FieldKind("boolean"),
        ("contacts", "Level__c"): FieldKind("text", choices={"L1": "Primary", "L2": "Secondary"}),
    }


def codes(mapping: LeadMapping, data: Mapping[str, Json]) -> object:
    """What the engine compares."""
    return mapping.fingerprinted(mapping.project(data))


# ---- the whole program


@pytest.fixture
def labelling(program: Program) -> Program:
    program.write(
        ('industry = "Industry"', 'industry = "label(Industry)"'),
        ('labels = ["\'salesforce\'", "Type"]', 'labels = ["label(Interests__c)", "label(Type)"]'),
        ("addresses = [\"join(', ', [BillingCity, BillingState, BillingCountry])\"]\n", ""),
    )
    return program


def test_labels_arrive_and_a_code_without_one_does_not(labelling: Program) -> None:
    org = labelling.stand_in.org
    org.put("Account", 1, Name="Firm 1", Industry="Steel", Interests__c="b;a", Type="Partner")
    org.put("Account", 2, Name="Firm 2", Industry="Paper", Interests__c="z", Type=None)
    for row in org.tables["Account"].values():
        row["SystemModstamp"] = "2026-05-01T07:25:37"
    said = labelling.run("once")
    assert said.exit_code == 0, said.output
    assert sorted(labelling.leads(), key=lambda lead: str(lead["name"])) == [
        {
            "isContact": False,
            "name": "Firm 1",
            "industry": "Steel and metal",
            "labels": ["Bees", "Apples", "Partner firm"],
        },
        {"isContact": False, "name": "Firm 2"},
    ]
    assert "without_label" in said.output
    assert "Account.Industry" in said.output


def test_check_points_at_a_label_where_a_code_belongs(program: Program) -> None:
    program.write(('kind = "company"\n', 'kind = "company"\nwhere = "Industry == \'Steel and metal\'"\n'))
    program.stand_in.org.fields["Account"] += [
        {**program.stand_in.org.fields["Account"][6], "name": name} for name in ("BillingState", "BillingCountry")
    ]
    said = program.run("check").output
    assert "Industry == 'Steel and metal' never holds" in said, said
    assert "Industry == 'Steel'" in said
