"""An organisation to which things happen; a connector that reads it meanwhile, and what it must have read by then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from connectors.salesforce.connector import SalesforceConnector
from sync.shared.errors import SourceRefused
from sync.shared.words import LABEL, Json, Record, Wanted
from tests.salesforce.sf_org import Org, sf_id
from tests.salesforce.sf_server import StandIn
from tests.salesforce.sf_world import account, stream

WANTED = Wanted(
    frozenset({("Name",), ("Phone",), ("Industry",), ("Industry" + LABEL,)}),
    {"contacts": Wanted(frozenset({("LastName",), ("Level__c",), ("Level__c" + LABEL,)}))},
)
HIDEABLE = [("Account", "Phone"), ("Account", "Industry"), ("Contact", "Level__c"), ("Contact", "AccountId")]
LISTS = {("Account", "Industry"): ["Steel", "Tech"], ("Contact", "Level__c"): ["L1", "L2"]}


class Life:
    """What happens in an organisation; `labels` are all that users ever saw for a code."""

    hideable: Sequence[tuple[str, str]] = HIDEABLE

    def __init__(self, stand_in: StandIn) -> None:
        stand_in.reset()
        self.org: Org = stand_in.org
        self.org.have_persons()
        self.labels: dict[str, set[str]] = {}
        self.writes = 0
        for (name, column), codes in LISTS.items():
            self._relabel(name, column, codes)

    def act(self, action: Sequence[Any]) -> None:
        org = self.org
        match action:
            case "firm", number, code:
                if self._lives("Account", number, unborn=True):
                    self._put("Account", number, Name=self._name(), Phone=self._name(), Industry=code)
            case "contact", number, parent, code:
                if self._lives("Contact", number, unborn=True) and self._lives("Account", parent):
                    id_ = sf_id("Account", parent)
                    if not org.tables["Account"][id_].get("IsPersonAccount"):
                        self._put("Contact", number, AccountId=id_, LastName=self._name(), Level__c=code)
            case "person", number:
                if not {sf_id(name, number) for name in ("Account", "Contact")} & {
                    *org.tables["Account"],
                    *org.tables["Contact"],
                }:
                    org.put_person(number, LastName=self._name())
            case "lead", number:
                if sf_id("Lead", number) not in org.tables["Lead"]:
                    self._put("Lead", number, LastName=self._name(), Company=self._name(), IsConverted=False)
            case "convert", lead, number, contact:
                self._convert(sf_id("Lead", lead), number, contact)
            case "delete", name, number:
                if self._lives(name, number) and not org.tables[name][sf_id(name, number)].get("IsPersonAccount"):
                    org.delete(name, sf_id(name, number))
            case "merge", loser, winner:
                both = (self._lives("Account", loser), self._lives("Account", winner))
                rows = [org.tables["Account"].get(sf_id("Account", each), {}) for each in (loser, winner)]
                if loser != winner and all(both) and not any(row.get("IsPersonAccount") for row in rows):
                    org.merge("Account", rows[0]["Id"], rows[1]["Id"])
            case "unite", name, loser, winner:
                if loser != winner and self._lives(name, loser) and self._lives(name, winner):
                    org.merge(name, sf_id(name, loser), sf_id(name, winner))
            case "restore", number:
                row = org.tables["Account"].get(sf_id("Account", number))
                if row and row["IsDeleted"] and not row.get("MasterRecordId"):
                    org.undelete("Account", row["Id"])
            case "rejoin", name, number:
                row = org.tables[name].get(sf_id(name, number))
                firm = org.tables["Account"].get(row.get("AccountId") or "") if row else None
                if row and row["IsDeleted"] and not row.get("MasterRecordId") and not (firm and firm["IsDeleted"]):
                    org.undelete(name, row["Id"])
            case "hide", which:
                org.hidden_fields.add(self.hideable[which])
            case ("show",):
                org.hidden_fields.clear()
            case "list", which, codes:
                name, column = list(LISTS)[which]
                self._relabel(name, column, codes)

    def _lives(self, name: str, number: int, *, unborn: bool = False) -> bool:
        row = self.org.tables[name].get(sf_id(name, number))
        return unborn if row is None else not row["IsDeleted"] and not (unborn and row.get("IsPersonAccount"))

    def _put(self, name: str, number: int, **values: Any) -> None:
        self.org.put(name, number, IsPersonAccount=False, **values)

    def _name(self) -> str:
        self.writes += 1
        return f"n{self.writes}"

    def _convert(self, lead: str, number: int, contact: int) -> None:
        row = self.org.tables["Lead"].get(lead)
        if row is None or row["IsConverted"] or row["IsDeleted"]:
            return
        for name, of in (("Account", number), ("Contact", contact)):
            old = self.org.tables[name].get(sf_id(name, of))
            if old and (old["IsDeleted"] or old.get("IsPersonAccount")):
                return
        made = self.org.convert(lead, number, contact)
        for name, id_ in zip(("Account", "Contact"), made, strict=True):
            self.org.tables[name][id_].setdefault("IsPersonAccount", False)

    def heirs(self, lead: Mapping[str, Any]) -> set[str]:
        """The contact that a lead became, and its firm unless that was there a day before, or before the lead."""
        named: tuple[str | None, ...] = (lead.get("ConvertedContactId"), lead.get("ConvertedAccountId"))
        heirs = {heir for heir in named if heir is not None}
        return {
            heir
            for heir in heirs
            if (firm := self.org.tables["Account"].get(heir)) is None
            or firm["CreatedDate"] >= max(_day_before(lead["ConvertedDate"]), lead["CreatedDate"])
        }

    def _relabel(self, name: str, column: str, codes: Sequence[str]) -> None:
        """A new list, each code under a new label."""
        labels = {code: f"{code} as {self._name()}" for code in codes}
        self.org.set_labels(name, column, **labels)
        for code, label in labels.items():
            self.labels.setdefault(code, set()).add(label)


class History(Life):
    """`seen` is the last record of each id, None where it is gone."""

    def __init__(self, stand_in: StandIn) -> None:
        super().__init__(stand_in)
        self.account = account(stand_in)
        self.connector = SalesforceConnector(self.account)
        self.spec = stream(WANTED, page_size=3)
        self.lanes: dict[str, Json] = {}
        self.seen: dict[str, Record | None] = {}
        self.parent_of: dict[str, str] = {}

    def act(self, action: Sequence[Any]) -> None:
        match action:
            case "poll", seconds:
                self.org.advance(timedelta(seconds=seconds))
                self.poll()
            case _:
                super().act(action)

    # ---- reading

    def poll(self) -> None:
        """As the engine does: each failure opens a new connector; children that changed re-read their parents."""
        hidden = sorted(f"{name}.{column}" for name, column in self.org.hidden_fields)
        try:
            for page in self.connector.read(self.spec, self.lanes):
                touched = {
                    each for touch in page.touched for each in (touch.parent, self.parent_of.get(touch.id)) if each
                }
                records = [*page.records, *self.connector.fetch(self.spec, sorted(touched))]
                self.lanes[page.lane] = page.cursor
                assert not hidden, f"{hidden} are hidden, and a page came"
                for record in records:
                    self._take(record)
        except SourceRefused as refused:
            said = str(refused)
            self.connector.close()
            self.connector = SalesforceConnector(self.account)
            assert any(each.split(".")[1] in said for each in hidden), said
        else:
            assert not hidden, hidden

    def _take(self, record: Record) -> None:
        self.seen[record.id] = None if record.deleted else record
        if record.deleted:
            return
        row = self.org.tables["Account"][record.id]
        assert not row["IsDeleted"]
        self.parent_of |= dict.fromkeys(record.children["contacts"], record.id)
        self._check_label(record.data, "Industry", ("Account", "Industry"))
        for child in record.data["contacts"]:
            self._check_label(child, "Level__c", ("Contact", "Level__c"))
        assert record.former == self.former(record), (record.former, self.former(record))

    def _check_label(self, data: Any, column: str, which: tuple[str, str]) -> None:
        """A label that users see or saw for the code; none for one that was never listed; never the code."""
        code, label = data[column], data.get(column + LABEL)
        now = {
            each["value"]
            for field in self.org.fields[which[0]]
            if field["name"] == column
            for each in field["picklistValues"]
        }
        if code is None:
            assert label is None
        elif code in now:
            assert label in self.labels[code], (code, label)
        else:
            assert label in {None, *self.labels.get(code, ())}, (code, label)

    # ---- the oracle

    def former(self, record: Record) -> dict[str, tuple[str, ...]]:
        """By the leads' own table."""
        found: dict[str, list[str]] = {}
        for lead in self.org.tables["Lead"].values():
            for heir in self.heirs(lead) & {record.id, *record.children["contacts"]}:
                found.setdefault(heir, []).append(lead["Id"])
        return {id_: tuple(sorted(leads)) for id_, leads in found.items()}

    def expected(self) -> dict[str, Any]:
        return {row["Id"]: self._expected(row) for row in self.org.tables["Account"].values() if not row["IsDeleted"]}

    def _expected(self, row: dict[str, Any]) -> Any:
        contacts = [
            (each["Id"], each.get("LastName"), each.get("Level__c"))
            for each in self.org.tables["Contact"].values()
            if each.get("AccountId") == row["Id"] and not each["IsDeleted"] and not each.get("IsPersonAccount")
        ]
        return row.get("Name"), row.get("Phone"), row.get("Industry"), sorted(contacts)

    def found(self) -> dict[str, Any]:
        return {id_: _found(record) for id_, record in self.seen.items() if record is not None}


def _found(record: Record) -> Any:
    contacts = zip(record.children["contacts"], record.data["contacts"], strict=True)
    nested = sorted((id_, each["LastName"], each["Level__c"]) for id_, each in contacts)
    return record.data["Name"], record.data["Phone"], record.data["Industry"], nested


def _day_before(day: str) -> str:
    return str(date.fromisoformat(day) - timedelta(days=1))
