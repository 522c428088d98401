"""The CRM's calls as plain functions: pages, batches, single records. Ids are text, whatever type HubSpot sends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from connectors.hubspot.answers import Malformed, chunks, id_of, next_of, one_of, onward, results_of, rows_of
from connectors.hubspot.calls import Call, HubSpotCalls, NotThere
from sync.shared.words import Json

LIST_LIMIT = 100
"""Records a page of the list endpoint holds at most. (docs/sources.md#hubspot-reading-records)"""
SEARCH_LIMIT = 200
"""Records a page of a search holds at most. (docs/sources.md#hubspot-search)"""
BATCH_LIMIT = 100
"""Ids that one batch read takes at most. (docs/sources.md#hubspot-reading-records)"""
ASSOCIATIONS_LIMIT = 1000
"""Ids that one call for associations takes at most. (docs/sources.md#hubspot-associations)"""
LONGEST_NAMES = 4000
"""Characters of property names that are put into a URL: HubSpot answers 414 from about 8,000 on.
(docs/sources.md#hubspot-reading-records)"""

PRIMARY_TYPES = frozenset({1, 2, 5, 578, 580})
"""Type ids that HubSpot defines as primary, among contacts, companies, deals and leads.
(docs/sources.md#hubspot-associations)"""

NOTHING_THERE = frozenset({"OBJECT_NOT_FOUND", "crm.associations.NO_ASSOCIATIONS_FOUND"})
"""Categories of errors that only say that a record has no associations or is gone.
(docs/sources.md#hubspot-associations)"""

HubSpotRow = Mapping[str, Json]
"""A record as HubSpot sends it: `id`, `properties`, `archived`, perhaps `archivedAt`."""


@dataclass(frozen=True, slots=True)
class HubSpotPage:
    """One page. `after` is the position of the next one, None at the end. `total` is set by searches only."""

    rows: Sequence[HubSpotRow]
    after: str | None
    total: int = 0


@dataclass(slots=True)
class Association:
    """One associated record. Its several association types count once: primary, and the labels."""

    id: str
    primary: bool = False
    labels: list[str] = field(default_factory=list)


class Crm:
    """The objects of one account. All methods raise SourceUnavailable and SourceRefused."""

    def __init__(self, account: HubSpotCalls) -> None:
        self.account = account

    def page(
        self, name: str, properties: Sequence[str], after: str | None, limit: int, *, archived: bool = False
    ) -> HubSpotPage:
        """Return one page of all records, in the order of their ids. `limit` is cut to LIST_LIMIT."""
        query = {"limit": str(min(limit, LIST_LIMIT)), "archived": str(archived).lower()}
        if properties:
            # One parameter with commas: the repeated form is 11 characters longer for each name.
            query["properties"] = ",".join(properties)
        if after is not None:
            query["after"] = after
        return self.account.ask(Call("list", places={"object": name}, query=query), onward(_rows, after))

    def search(self, name: str, body: Json) -> HubSpotPage:
        """Return one page of a search, with the `total` of matches at this moment."""
        # Every page repeats the body: `after` is an offset into exactly this query.
        call = Call("search", "POST", places={"object": name}, body={**body, "limit": SEARCH_LIMIT})
        return self.account.ask(call, onward(_found, body.get("after")))

    def total(self, name: str) -> int:
        """Return roughly how many records there are: the search index counts them, which may be late."""
        call = Call("search", "POST", places={"object": name}, body={"limit": 1, "filterGroups": [], "properties": []})
        return self.account.ask(call, _found).total

    def read(self, name: str, ids: Sequence[str], properties: Sequence[str]) -> dict[str, HubSpotRow]:
        """Return these records by the ids that were asked for, without those that are gone.

        A merged record comes as the one that it was merged into, which has another `id`.
        """
        found: dict[str, HubSpotRow] = {}
        # An id twice would only take a place in a batch.
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
        """Return a record, or the one that it was merged into, or None if it is gone."""
        names = ",".join(properties)
        query = {"archived": "false", **({"properties": names} if len(names) <= LONGEST_NAMES else {})}
        try:
            row = self.account.ask(Call("one", places={"object": name, "id": id_}, query=query), _row)
        except NotThere:
            return None
        if len(names) <= LONGEST_NAMES:
            return row
        # By the id in the answer: that of the surviving record, if this one was merged.
        body = {"inputs": [{"id": id_of(row)}], "properties": list(properties), "propertiesWithHistory": []}
        rows = self.account.ask(Call("batch", "POST", places={"object": name}, body=body), _rows).rows
        return rows[0] if rows else None

    def links(self, name: str, to: str, ids: Sequence[str]) -> dict[str, list[Association]]:
        """Return the associations of these records with objects `to`, by id: primary ones first, then by id."""
        links: dict[str, dict[str, Association]] = {id_: {} for id_ in ids}
        for part in chunks(list(links), ASSOCIATIONS_LIMIT):
            asked: list[dict[str, str]] = [{"id": id_} for id_ in part]
            # Until no result has a next page: a company may have 50,000 contacts.
            while asked:
                call = Call("associations", "POST", places={"object": name, "to": to}, body={"inputs": asked})
                answer = [each for each in self.account.ask(call, _linked) if each[0] in links]
                more = [{"id": id_, "after": after} for id_, _, after in answer if after is not None]
                for id_, found, _ in answer:
                    _merge(links[id_], found)
                asked = [each for each in more if each not in asked]  # no page leads to itself
        return {id_: sorted(of.values(), key=_order) for id_, of in links.items()}

    def properties(self, name: str) -> list[HubSpotRow]:
        """Return all definitions of an object's properties, which come in one answer."""
        return self.account.ask(Call("properties", places={"object": name}, query={"archived": "false"}), _defined)

    def owners(self) -> Iterator[HubSpotRow]:
        """Yield all owners, including those that left."""
        # Records still refer to owners that left, and those are listed apart.
        for archived in ("false", "true"):
            after: str | None = ""
            while after is not None:
                query = {"limit": "100", "archived": archived, **({"after": after} if after else {})}
                page = self.account.ask(Call("owners", query=query), onward(_rows, after))
                yield from page.rows
                after = page.after

    def teams(self) -> list[HubSpotRow]:
        """Return the account's teams, which come in one answer."""
        return self.account.ask(Call("teams"), _identified)

    def pipelines(self, name: str) -> list[HubSpotRow]:
        """Return an object's pipelines with their stages, which come in one answer."""
        return self.account.ask(Call("pipelines", places={"object": name}), _piped)

    def schemas(self) -> list[HubSpotRow]:
        """Return the account's custom objects."""
        query = {"archived": "false", "includePropertyDefinitions": "false", "includeAssociationDefinitions": "false"}
        return self.account.ask(Call("schemas", query=query), results_of)

    def usage(self) -> list[HubSpotRow]:
        """Return the day's number of calls and its limit. Only tokens of private apps may ask."""
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
    # Without a total nobody could tell that a search left records out.
    if not isinstance(total, int) or isinstance(total, bool):
        raise Malformed("a total")
    page = _rows(body)
    return HubSpotPage(page.rows, page.after, total)


def _row(body: Mapping[str, Json]) -> HubSpotRow:
    id_of(body)
    one_of(body.get("properties"))
    return body


def _linked(body: Mapping[str, Json]) -> list[tuple[str, list[Association], str | None]]:
    """Return each record's associations, and the position of the next of them: they page inside each result.

    A record without any is missing, or an error of a 207; any other error leaves open what is associated, so Malformed.
    """
    # A 207 is normal here: it comes as soon as one record has no associations.
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
    # A stable order, so that a limit cuts the same ones off at each reading.
    return (not link.primary, int(link.id) if link.id.isdigit() else 0, link.id)
