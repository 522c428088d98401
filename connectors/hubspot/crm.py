"""The CRM's calls as plain functions: pages, batches, single records. Ids are text here, whatever HubSpot sends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from connectors.hubspot.answers import Malformed, chunks, id_of, next_of, one_of, results_of, rows_of
from connectors.hubspot.calls import Call, HubSpotCalls, NotThere
from sync.shared.words import Json

LIST_LIMIT = 100
SEARCH_LIMIT = 200
BATCH_LIMIT = 100
ASSOCIATIONS_LIMIT = 1000
LONGEST_NAMES = 4000
"""Characters of property names in a URL: HubSpot answers 414 from some 8,000 on."""

PRIMARY_TYPES = frozenset({1, 2, 5, 578, 580})
"""The types of associations that HubSpot defines as primary, among contacts, companies, deals and leads."""

NOTHING_THERE = frozenset({"OBJECT_NOT_FOUND", "crm.associations.NO_ASSOCIATIONS_FOUND"})
"""The errors of records without associations, or that are gone, as recorded."""

HubSpotRow = Mapping[str, Json]
"""A record as HubSpot sends it: `id`, `properties`, `archived`, perhaps `archivedAt`."""


@dataclass(frozen=True, slots=True)
class HubSpotPage:
    """One page. `after`: where the next one begins; None at the end."""

    rows: Sequence[HubSpotRow]
    after: str | None
    total: int = 0


@dataclass(slots=True)
class Association:
    """An association, whatever number of types it has."""

    id: str
    primary: bool = False
    labels: list[str] = field(default_factory=list)


class Crm:
    """Reads one account's objects."""

    def __init__(self, account: HubSpotCalls) -> None:
        self.account = account

    def page(
        self, name: str, properties: Sequence[str], after: str | None, limit: int, *, archived: bool = False
    ) -> HubSpotPage:
        """One page of all records, in the order of their ids."""
        query = {"limit": str(min(limit, LIST_LIMIT)), "archived": str(archived).lower()}
        if properties:
            query["properties"] = ",".join(properties)
        if after is not None:
            query["after"] = after
        return self.account.ask(Call("list", places={"object": name}, query=query), _onward(_rows, after))

    def search(self, name: str, body: Json) -> HubSpotPage:
        """One page of a search, with the `total` of matches at this moment."""
        call = Call("search", "POST", places={"object": name}, body={**body, "limit": SEARCH_LIMIT})
        return self.account.ask(call, _onward(_found, body.get("after")))

    def total(self, name: str) -> int:
        """About how many records there are."""
        call = Call("search", "POST", places={"object": name}, body={"limit": 1, "filterGroups": [], "properties": []})
        return self.account.ask(call, _found).total

    def read(self, name: str, ids: Sequence[str], properties: Sequence[str]) -> dict[str, HubSpotRow]:
        """These records by the ids that were asked for; those that are gone are left out. A record that was merged
        comes as the one it was merged into, under its own `id`."""
        found: dict[str, HubSpotRow] = {}
        for part in chunks(list(dict.fromkeys(ids)), BATCH_LIMIT):
            found |= self._batch(name, part, properties)
        return found

    def _batch(self, name: str, ids: Sequence[str], properties: Sequence[str]) -> dict[str, HubSpotRow]:
        inputs = [{"id": id_} for id_ in ids]
        body = {"inputs": inputs, "properties": list(properties), "propertiesWithHistory": []}
        rows = self.account.ask(Call("batch", "POST", places={"object": name}, body=body), _rows).rows
        by_id = {id_of(row): row for row in rows}
        # An answer may leave out rows without an error: what is missing is looked at once more, each for itself.
        for missing in [id_ for id_ in ids if id_ not in by_id]:
            row = self.one(name, missing, properties)
            if row is not None:
                by_id[missing] = row
        return {id_: by_id[id_] for id_ in ids if id_ in by_id}

    def one(self, name: str, id_: str, properties: Sequence[str]) -> HubSpotRow | None:
        """A record, or the one that it was merged into; None where it is gone. Of more properties than a URL carries
        only the ids and dates are there."""
        names = ",".join(properties)
        query = {"archived": "false", **({"properties": names} if len(names) <= LONGEST_NAMES else {})}
        try:
            row = self.account.ask(Call("one", places={"object": name, "id": id_}, query=query), _row)
        except NotThere:
            return None
        if len(names) <= LONGEST_NAMES:
            return row
        body = {"inputs": [{"id": id_of(row)}], "properties": list(properties), "propertiesWithHistory": []}
        rows = self.account.ask(Call("batch", "POST", places={"object": name}, body=body), _rows).rows
        return rows[0] if rows else None

    def links(self, name: str, to: str, ids: Sequence[str]) -> dict[str, list[Association]]:
        """The associations of these records with objects `to`: primary ones first, then by id."""
        links: dict[str, dict[str, Association]] = {id_: {} for id_ in ids}
        for part in chunks(list(links), ASSOCIATIONS_LIMIT):
            asked: list[dict[str, str]] = [{"id": id_} for id_ in part]
            while asked:
                call = Call("associations", "POST", places={"object": name, "to": to}, body={"inputs": asked})
                answer = [each for each in self.account.ask(call, _linked) if each[0] in links]
                more = [{"id": id_, "after": after} for id_, _, after in answer if after is not None]
                for id_, found, _ in answer:
                    _merge(links[id_], found)
                asked = [each for each in more if each not in asked]  # no page leads to itself
        return {id_: sorted(of.values(), key=_order) for id_, of in links.items()}

    def properties(self, name: str) -> list[HubSpotRow]:
        """All definitions of an object's properties, in one answer."""
        return self.account.ask(Call("properties", places={"object": name}, query={"archived": "false"}), _defined)

    def owners(self) -> Iterator[HubSpotRow]:
        """All owners, those that left included."""
        for archived in ("false", "true"):
            after: str | None = ""
            while after is not None:
                query = {"limit": "100", "archived": archived, **({"after": after} if after else {})}
                page = self.account.ask(Call("owners", query=query), _onward(_rows, after))
                yield from page.rows
                after = page.after

    def teams(self) -> list[HubSpotRow]:
        """The account's teams, in one answer."""
        return self.account.ask(Call("teams"), _identified)

    def pipelines(self, name: str) -> list[HubSpotRow]:
        """An object's pipelines with their stages, in one answer."""
        return self.account.ask(Call("pipelines", places={"object": name}), _piped)

    def schemas(self) -> list[HubSpotRow]:
        """The account's custom objects."""
        query = {"archived": "false", "includePropertyDefinitions": "false", "includeAssociationDefinitions": "false"}
        return self.account.ask(Call("schemas", query=query), results_of)

    def usage(self) -> list[HubSpotRow]:
        """Return how many of the day's calls are used; only tokens of private apps may ask."""
        return self.account.ask(Call("usage"), results_of)


def shortened(names: Sequence[str]) -> list[str]:
    """Return as many of the names, from the first, as a URL carries."""
    lengths = accumulate(len(name) + 1 for name in names)
    return [name for name, length in zip(names, lengths, strict=True) if length <= LONGEST_NAMES]


def _rows(body: Mapping[str, Json]) -> HubSpotPage:
    rows = results_of(body)
    for row in rows:
        id_of(row)
        one_of(row.get("properties", {}))
    return HubSpotPage(rows, next_of(body))


def _defined(body: Mapping[str, Json]) -> list[HubSpotRow]:
    rows = results_of(body)
    for row in rows:
        id_of(row, "name")
        rows_of(row.get("options", []))
    return list(rows)


def _identified(body: Mapping[str, Json]) -> list[HubSpotRow]:
    rows = results_of(body)
    for row in rows:
        id_of(row)
    return list(rows)


def _piped(body: Mapping[str, Json]) -> list[HubSpotRow]:
    rows = _identified(body)
    for row in rows:
        for stage in rows_of(row.get("stages")):
            id_of(stage)
    return rows


def _found(body: Mapping[str, Json]) -> HubSpotPage:
    total = body.get("total")
    if not isinstance(total, int) or isinstance(total, bool):
        raise Malformed("a total")
    page = _rows(body)
    return HubSpotPage(page.rows, page.after, total)


def _onward(
    read: Callable[[Mapping[str, Json]], HubSpotPage], after: str | None
) -> Callable[[Mapping[str, Json]], HubSpotPage]:
    """A page that names itself as the next one would be read for ever."""

    def check(body: Mapping[str, Json]) -> HubSpotPage:
        page = read(body)
        if page.after is not None and page.after == after:
            raise Malformed("a next page that is another one")
        return page

    return check


def _row(body: Mapping[str, Json]) -> HubSpotRow:
    id_of(body)
    one_of(body.get("properties"))
    return body


def _linked(body: Mapping[str, Json]) -> list[tuple[str, list[Association], str | None]]:
    """Of each record its associations, and where the next of them begin: they page inside each result. A record without
    any is missing, or an error of a 207; any other error leaves open what is associated."""
    for error in rows_of(body.get("errors") or []):
        if not any(str(error.get(key)) in NOTHING_THERE for key in ("category", "subCategory")):
            raise Malformed("the associations of all records that were asked for")
    linked = []
    for result in results_of(body):
        targets = rows_of(result.get("to"))
        links = [Association(id_of(target, "toObjectId")) for target in targets]
        for link, target in zip(links, targets, strict=True):
            _add_types(link, rows_of(target.get("associationTypes")))
        linked.append((id_of(one_of(result.get("from"))), links, next_of(result)))
    return linked


def _merge(of: dict[str, Association], found: Sequence[Association]) -> None:
    for link in found:
        of.setdefault(link.id, link)


def _add_types(link: Association, types: Sequence[HubSpotRow]) -> None:
    for each in types:
        label, defined = each.get("label"), each.get("category") == "HUBSPOT_DEFINED"
        if defined and each.get("typeId") in PRIMARY_TYPES:
            link.primary = True
        elif isinstance(label, str) and label and label not in link.labels:
            link.labels.append(label)


def _order(link: Association) -> tuple[bool, int, str]:
    return (not link.primary, int(link.id) if link.id.isdigit() else 0, link.id)
