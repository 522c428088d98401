"""The organisation behind the stand-in: objects, records, what the user may see, what a query finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sync.shared.opaque import checksum
from tests.salesforce.sf_soql import OPERATORS, Malformed, Nested, Query
from tests.salesforce.sf_tables import FIELDS, NAME, RECORD_TYPES, described, reference

PREFIXES = {
    "Account": "001",
    "Contact": "003",
    "Lead": "00Q",
    "User": "005",
    "Organization": "00D",
    "Campaign": "701",
    "CampaignMember": "00v",
}
START = datetime(2026, 3, 10, 12, 0, 0, 654321, tzinfo=UTC)


def sf_id(name: str, number: int) -> str:
    """An id whose order says nothing of its number."""
    scrambled = (number * 7_919_003 + 17) % 9_999_991
    text = f"{PREFIXES[name]}dM{scrambled:010d}"
    return text + checksum(text)


class Unknown(Exception):
    """A field or object that is not there, or not for this user: code and message as Salesforce has them."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass
class Org:
    """`now` is Salesforce's clock. Times are kept as text to the second, as answers show them."""

    tables: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    fields: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {k: list(v) for k, v in FIELDS.items()})
    hidden_fields: set[tuple[str, str]] = field(default_factory=set)
    hidden_objects: set[str] = field(default_factory=set)
    silent_fields: set[tuple[str, str]] = field(default_factory=set)
    """Fields that answers leave out without a word."""
    hidden_rows: set[str] = field(default_factory=set)
    purged: set[str] = field(default_factory=set)
    clock: datetime | None = START
    child_cut: int = 3
    """Children of one parent that a nested query shows before it cuts them off."""

    def __post_init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.tables = {name: {} for name in self.fields}
        organisation: dict[str, Any] = {
            "Id": sf_id("Organization", 1),
            "IsSandbox": True,
            "OrganizationType": "Developer Edition",
        }
        self.tables["Organization"][organisation["Id"]] = organisation
        self.hidden_rows.clear()

    def now(self) -> datetime:
        return datetime.now(UTC) if self.clock is None else self.clock

    def advance(self, by: timedelta) -> None:
        assert self.clock is not None
        self.clock += by

    # ---- what happens to records

    def put(self, name: str, number: int, at: datetime | None = None, **values: Any) -> str:
        """Writes a record, new or changed; `at` in the past: it was committed late."""
        id_ = sf_id(name, number)
        row = self.tables[name].setdefault(id_, {"Id": id_, "IsDeleted": False, "CreatedDate": _text(at or self.now())})
        row.update(values)
        self._stamp(row, at)
        return id_

    def touch(self, name: str, id_: str, at: datetime | None = None, *, stamp: bool = True, **values: Any) -> None:
        row = self.tables[name][id_]
        row.update(values)
        if stamp:
            self._stamp(row, at)

    def delete(self, name: str, id_: str, at: datetime | None = None) -> None:
        """Into the bin, with the children of an account."""
        self.touch(name, id_, at, IsDeleted=True)
        if name == "Account":
            for row in list(self.tables["Contact"].values()):
                if row.get("AccountId") == id_ and not row["IsDeleted"]:
                    self.delete("Contact", row["Id"], at)

    def undelete(self, name: str, id_: str, *, stamp: bool = True) -> None:
        self.touch(name, id_, stamp=stamp, IsDeleted=False, MasterRecordId=None)

    def merge(self, name: str, loser: str, winner: str, at: datetime | None = None, *, stamp: bool = True) -> None:
        """The loser goes to the bin, its children to the winner. Whether the winner's time moves nobody promises."""
        self.touch(name, loser, at, IsDeleted=True, MasterRecordId=winner)
        self.touch(name, winner, at, stamp=stamp)
        if name == "Account":
            for row in self.tables["Contact"].values():
                if row.get("AccountId") == loser and not row["IsDeleted"]:
                    row["AccountId"] = winner
                    if stamp:
                        self._stamp(row, at)

    def convert(self, lead: str, account: int, contact: int, at: datetime | None = None) -> tuple[str, str]:
        """Makes or joins an account and a contact of a lead, all in one transaction; their ids."""
        when, row = at or self.now(), self.tables["Lead"][lead]
        firm = {"Name": row.get("Company")}
        person = {name: row.get(name) for name in ("FirstName", "LastName", "Email", "Title")}
        made = [
            self.put(name, number, when, **({} if sf_id(name, number) in self.tables[name] else values))
            for name, number, values in (("Account", account, firm), ("Contact", contact, person))
        ]
        self.touch("Contact", made[1], when, AccountId=made[0])
        self.touch(
            "Lead",
            lead,
            when,
            IsConverted=True,
            ConvertedDate=f"{when:%Y-%m-%d}",
            ConvertedAccountId=made[0],
            ConvertedContactId=made[1],
        )
        return made[0], made[1]

    def have_persons(self) -> None:
        """Person accounts are switched on, which cannot be undone."""
        for name in ("Account", "Contact"):
            self.fields[name].append(described("IsPersonAccount", "boolean"))
        self.fields["Account"] += [reference("PersonContactId", "Contact"), described("PersonEmail", "email")]
        for name in ("Account", "Contact"):
            for row in self.tables[name].values():
                row.setdefault("IsPersonAccount", False)

    def put_person(self, number: int, at: datetime | None = None, **values: Any) -> tuple[str, str]:
        """A person's account and its shadow, each with the number; their ids."""
        account, contact = sf_id("Account", number), sf_id("Contact", number)
        name, email = values.get("LastName", f"Person {number}"), values.get("Email", f"p{number}@x.example")
        self.put("Account", number, at, Name=name, PersonEmail=email, IsPersonAccount=True, PersonContactId=contact)
        self.put("Contact", number, at, LastName=name, Email=email, IsPersonAccount=True, AccountId=account)
        return account, contact

    def set_labels(self, name: str, column: str, **labels: str) -> None:
        """Puts another list of values into a picklist."""
        values = [{"value": code, "label": label, "active": True} for code, label in labels.items()]
        self.fields[name] = [
            {**each, "picklistValues": values} if each["name"] == column else each for each in self.fields[name]
        ]

    def _stamp(self, row: dict[str, Any], at: datetime | None) -> None:
        row["SystemModstamp"] = row["LastModifiedDate"] = _text(at or self.now())

    # ---- what the user sees

    def describe(self, name: str) -> dict[str, Any]:
        if name not in self.fields or name in self.hidden_objects:
            raise Unknown("NOT_FOUND", "The requested resource does not exist")
        fields = [each for each in self.fields[name] if (name, each["name"]) not in self.hidden_fields]
        return {
            "name": name,
            "label": name,
            "keyPrefix": PREFIXES.get(name),
            "queryable": True,
            "replicateable": name != "Organization",
            "custom": name.endswith("__c"),
            "recordTypeInfos": [
                {"recordTypeId": id_, "developerName": code, "name": label, "active": True, "master": False}
                for id_, (code, label) in RECORD_TYPES.items()
                if name == "Account"
            ],
            "fields": fields,
        }

    def run(self, query: Query, *, deleted: bool = False) -> list[dict[str, Any]]:
        """The rows that a query finds, as an answer shows them, in the order of their ids only where it is asked."""
        if query.object not in self.fields or query.object in self.hidden_objects:
            raise Unknown("INVALID_TYPE", f"\nFROM {query.object}\n ^\nERROR at Row:1:Column:20\n"
                          f"sObject type '{query.object}' is not supported.")  # fmt: skip
        for name in (*query.fields, *(each.field for each in query.conditions), *query.order):
            self._field(query.object, name)
        tests = self._tests(query)
        rows = self._rows(query.object, deleted)
        found = [row for row in rows if all(holds(row.get(name), value) for name, holds, value in tests)]
        if query.order:
            found.sort(key=lambda row: tuple(str(row.get(name)) for name in query.order))
        else:
            found.reverse()
        found = found[: query.limit]
        return [self._shown(query, row) for row in found]

    def _rows(self, name: str, deleted: bool) -> Iterator[dict[str, Any]]:
        unseen = self.hidden_rows | self.purged
        for row in self.tables[name].values():
            if row["Id"] in unseen or (row.get("IsDeleted") and not deleted):
                continue
            yield row

    def _tests(self, query: Query) -> list[tuple[str, Callable[[Any, Any], bool], Any]]:
        for each in query.conditions:
            if not self._field(query.object, each.field)["filterable"]:
                raise Unknown("INVALID_FIELD", f"field '{each.field}' can not be filtered in a query call")
        # what leaves the fewest rows comes first
        ordered = sorted(query.conditions, key=lambda each: each.operator != "IN")
        return [(each.field, OPERATORS[each.operator], each.value) for each in ordered]

    def _field(self, name: str, path: str) -> dict[str, Any]:
        head, _, rest = path.partition(".")
        for each in self.fields[name]:
            if (name, each["name"]) in self.hidden_fields:
                continue
            if rest and each["relationshipName"] == head and not self.hidden_objects & {*each["referenceTo"]}:
                return self._beyond(each, rest)
            if not rest and each["name"] == head:
                return each
        if rest:
            raise Unknown("INVALID_FIELD", f"Didn't understand relationship '{head}' in field path.")
        raise Unknown("INVALID_FIELD", f"\nSELECT {path} FROM {name}\n ^\nERROR at Row:1:Column:8\nNo such column "
                      f"'{path}' on entity '{name}'. If you are attempting to use a custom field …")  # fmt: skip

    def _beyond(self, look: dict[str, Any], path: str) -> dict[str, Any]:
        """A field of a parent."""
        if len(look["referenceTo"]) == 1:
            return self._field(look["referenceTo"][0], path)
        if path not in NAME:
            raise Unknown("INVALID_FIELD", f"\nSELECT x\n ^\nERROR at Row:1:Column:8\nNo such column '{path}' on "
                          "entity 'Name'. If you are attempting to use a custom field …")  # fmt: skip
        return described(path)

    def _shown(self, query: Query, row: Mapping[str, Any]) -> dict[str, Any]:
        shown: dict[str, Any] = {"attributes": self._attributes(query.object, row)}
        for path in query.fields:
            head, _, rest = path.partition(".")
            if (query.object, head) in self.silent_fields:
                continue
            if not rest:
                shown[head] = _value(row.get(head))
            elif (parent := self._parent(query.object, head, rest, row)) is None:
                shown[head] = None
            else:
                shown[head] = {**(shown.get(head) or {}), **parent}
        for nested in query.nested:
            shown[nested.relation] = self._children(nested, row)
        return shown

    def _parent(self, name: str, relation: str, rest: str, row: Mapping[str, Any]) -> Any:
        look = next(each for each in self.fields[name] if each["relationshipName"] == relation)
        target = look["referenceTo"][0]
        parent = self.tables[target].get(str(row.get(look["name"])))
        if parent is None:
            return None
        return {"attributes": self._attributes(target, parent), rest: _value(parent.get(rest))}

    def _children(self, nested: Nested, row: Mapping[str, Any]) -> Any:
        if nested.relation != "Contacts":
            raise Malformed(nested.relation)
        children = [each for each in self._rows("Contact", False) if each.get("AccountId") == row["Id"]]
        if not children:
            return None
        records = [
            {"attributes": self._attributes("Contact", each), **{key: _value(each.get(key)) for key in nested.fields}}
            for each in children[: self.child_cut]
        ]
        answer = {"totalSize": len(children), "done": len(children) <= self.child_cut, "records": records}
        return answer if answer["done"] else {**answer, "nextRecordsUrl": "/services/data/v64.0/query/0r8child-3"}

    @staticmethod
    def _attributes(name: str, row: Mapping[str, Any]) -> dict[str, str]:
        return {"type": name, "url": f"/services/data/v64.0/sobjects/{name}/{row['Id']}"}


def _text(at: datetime) -> str:
    """Sortable; answers show it with milliseconds and offset."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"


def _value(value: Any) -> Any:
    if isinstance(value, str) and len(value) == 19 and value[10] == "T" and value[4] == "-":
        return f"{value}.000+0000"
    return value
