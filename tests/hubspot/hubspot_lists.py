"""Lists of the stand-in account, in the shapes of HubSpot's documentation of its lists API (no recording is public)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from tests.hubspot.hubspot_answers import Answer, error


@dataclass
class HeldList:
    """One list: `ids` in the order in which they joined."""

    id: str
    name: str
    object_type: str = "0-2"
    ids: list[int] = field(default_factory=list)
    deleted: bool = False
    status: str = "COMPLETE"
    processing: str = "DYNAMIC"
    tells_total: bool = True


@dataclass
class Lists:
    """All lists of an account. `most` is what one page holds at most."""

    held: dict[str, HeldList] = field(default_factory=dict)
    most: int = 250

    def add(self, id_: str, name: str, *ids: int, object_type: str = "0-2") -> HeldList:
        self.held[id_] = HeldList(id_, name, object_type, list(ids))
        return self.held[id_]

    def by_id(self, id_: str) -> Answer:
        found = self.held.get(id_)
        return _none(f"List does not exist with ID {id_}.") if found is None else _one(found)

    def by_name(self, object_type: str, name: str) -> Answer:
        asked = unquote(name)
        for found in self.held.values():
            if (found.name, found.object_type, found.deleted) == (asked, object_type, False):
                return _one(found)
        return _none(f"List does not exist with name {asked}.")

    def members(self, id_: str, query: dict[str, str]) -> Answer:
        found = self.held.get(id_)
        if found is None or found.deleted:
            return _none(f"List does not exist with ID {id_}.")
        limit = min(int(query["limit"]), self.most)
        assert int(query["limit"]) <= 250
        start = int(query.get("after", "0"))
        page = found.ids[start : start + limit]
        rows = [{"recordId": str(each), "membershipTimestamp": "2026-03-10T11:00:00.000Z"} for each in page]
        answer: dict[str, Any] = {"results": rows}
        if found.tells_total:
            answer["total"] = len(found.ids)
        if start + limit < len(found.ids):
            answer["paging"] = {"next": {"after": str(start + limit), "link": "https://api.hubapi.com/"}}
        return Answer(200, answer)


def _one(of: HeldList) -> Answer:
    row: dict[str, Any] = {
        "listId": of.id,
        "listVersion": 1,
        "name": of.name,
        "objectTypeId": of.object_type,
        "processingType": of.processing,
        "processingStatus": of.status,
        "createdAt": "2026-03-01T12:00:00.000Z",
        "updatedAt": "2026-03-01T12:00:00.000Z",
        "additionalProperties": {"hs_list_size": str(len(of.ids))},
    }
    if of.deleted:
        row["deletedAt"] = "2026-03-09T12:00:00.000Z"
    return Answer(200, {"list": row})


def _none(message: str) -> Answer:
    return error(404, "OBJECT_NOT_FOUND", message)
