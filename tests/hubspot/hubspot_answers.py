"""What the account answers to each call, as the real one would: limits, caps and errors included."""

from __future__ import annotations

import random
from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from tests.hubspot.hubspot_portal import MODIFIED, PRIMARY_LABEL, Portal, Thing

CAP = 10_000


@dataclass
class Answer:
    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    """Instead of the body: what goes over the wire."""


def error(status: int, category: str, message: str, **more: Any) -> Answer:
    body = {"status": "error", "message": message, "correlationId": "019ce0f8-75e5-7fd1-a864-f149d8be2a55"}
    return Answer(status, {**body, "category": category, **more})


def limited(policy: str, message: str) -> Answer:
    """A 429 as the vendor's usage guidelines print it; that of a search was seen without a policy's name."""
    body = {"status": "error", "message": message, "errorType": "RATE_LIMIT", "correlationId": "c033cdaa-2c40-4a64"}
    return Answer(429, {**body, "policyName": policy, "requestId": "3d3e35b7"} if policy else body)


DAILY = limited("DAILY", "You have reached your daily limit.")
BURST = limited("TEN_SECONDLY_ROLLING", "You have reached your ten_secondly_rolling limit.")
SECONDLY = limited("", "You have reached your secondly limit.")


class Answers:
    """Answers calls; `random` shuffles what HubSpot gives no order."""

    def __init__(self, portal: Portal) -> None:
        self.portal = portal
        self.random = random.Random(7)

    def search(self, name: str, body: Any) -> Answer:
        portal = self.portal
        filters = [each for group in body.get("filterGroups", []) for each in group["filters"]]
        modified = MODIFIED.get(name, "hs_lastmodifieddate")
        if any(each["propertyName"] != "hs_object_id" and each["value"] == "0" for each in filters):
            return error(500, "INTERNAL", "internal error")
        shown = portal.index[name].at(portal.now)
        living = portal.living(name)
        found = [(id_, when) for id_, when in shown.items() if id_ in living]
        for each in filters:
            found = self._filtered(found, each, modified)
        found.sort(key=(lambda row: str(row[0])) if portal.ids_as_text else (lambda row: row[0]))
        if body.get("sorts", [{}])[0].get("propertyName") != "hs_object_id" or portal.shuffled:
            self.random.shuffle(found)
        limit, offset = body.get("limit", 10), int(body.get("after", "0"))
        if offset + limit > CAP:
            return error(400, "VALIDATION_ERROR", "Cannot page beyond 10000 results")
        rows = [portal.row(name, living[id_], body.get("properties", ())) for id_, _ in found[offset : offset + limit]]
        answer = {"total": len(found), "results": rows}
        if offset + limit < len(found):
            answer["paging"] = {"next": {"after": str(offset + limit)}}
        return Answer(200, answer)

    def _filtered(self, found: list[tuple[int, int]], each: Any, modified: str) -> list[tuple[int, int]]:
        property_, operator, value = each["propertyName"], each["operator"], each["value"]
        if property_ == "hs_object_id":
            if self.portal.ids_as_text:
                return [row for row in found if str(row[0]) > value]
            return [row for row in found if row[0] > int(value)]
        if property_ != modified or self.portal.blind:
            return []
        bound = int(value)
        match operator:
            case "GTE":
                return [row for row in found if row[1] >= bound]
            case "LTE":
                return [row for row in found if row[1] <= bound]
            case _:
                return [row for row in found if row[1] == bound]

    def list(self, name: str, query: dict[str, str]) -> Answer:
        portal = self.portal
        archived, limit = query.get("archived") == "true", int(query.get("limit", "10"))
        known, things = portal.ids(name), portal.things[name]
        behind = islice(known, bisect_left(known, int(query.get("after", "0"))), None)
        ids = list(islice((id_ for id_ in behind if (things[id_].archived is not None) == archived), limit + 1))
        asked = query.get("properties", "").split(",")
        answer: dict[str, Any] = {"results": [portal.row(name, portal.things[name][id_], asked) for id_ in ids[:limit]]}
        if len(ids) > limit:
            answer["paging"] = {"next": {"after": str(ids[limit]), "link": "https://api.hubapi.com/"}}
        return Answer(200, answer)

    def batch(self, name: str, body: Any) -> Answer:
        ids = [each["id"] for each in body["inputs"]]
        if len(set(ids)) < len(ids):
            return error(400, "VALIDATION_ERROR", f"Duplicate IDs found in batch input: {ids}. IDs must be unique")
        found = {id_: self.portal.alive(name, int(id_)) for id_ in ids if id_ not in self.portal.forgetful}
        there = {id_: thing for id_, thing in found.items() if thing is not None}
        rows = [self.portal.row(name, thing, body["properties"]) for thing in reversed(there.values())]
        missing = [id_ for id_ in ids if id_ not in there and id_ not in self.portal.forgetful]
        answer = {"status": "COMPLETE", "results": rows, **self._times()}
        if not missing:
            return Answer(200, answer)
        gone = {"status": "error", "category": "OBJECT_NOT_FOUND", "message": "Could not get some objects"}
        errors = [{**gone, "context": {"ids": missing}}]
        return Answer(207, {**answer, "numErrors": 1, "errors": errors})

    def one(self, name: str, id_: str, query: dict[str, str]) -> Answer:
        thing = self._resolved(name, int(id_)) if id_.isdigit() else None
        if thing is None:
            return error(404, "OBJECT_NOT_FOUND", "Object not found. objectId is usually positive.")
        return Answer(200, self.portal.row(name, thing, query.get("properties", "").split(",")))

    def _resolved(self, name: str, id_: int) -> Thing | None:
        while id_ in self.portal.merged[name]:
            id_ = self.portal.merged[name][id_]
        return self.portal.alive(name, id_)

    def associations(self, name: str, to: str, body: Any) -> Answer:
        portal = self.portal
        links = portal.links.get((name, to), {})
        results, errors = [], []
        for each in body["inputs"]:
            of = links.get(int(each["id"]), {}) if portal.alive(name, int(each["id"])) else {}
            targets = [(id_, types) for id_, types in of.items() if portal.alive(to, id_)]
            if not targets:
                errors.append(_nothing(name, to, each["id"]))
                continue
            start = _offset(each.get("after"))
            page = targets[start : start + portal.association_page]
            result = {
                "from": {"id": each["id"]},
                "to": [{"toObjectId": id_, "associationTypes": types} for id_, types in page],
            }
            if start + portal.association_page < len(targets):
                token = f"MC0y{start + portal.association_page}%3D"
                result["paging"] = {"next": {"after": token, "link": "https://api.hubapi.com/"}}
            results.append(result)
        answer = {"status": "COMPLETE", "results": results, **self._times()}
        return Answer(207, {**answer, "errors": errors, "numErrors": len(errors)}) if errors else Answer(200, answer)

    def owners(self, query: dict[str, str]) -> Answer:
        archived = query.get("archived") == "true"
        rows = [row for row in self.portal.owners if row["archived"] == archived]
        start, limit = int(query.get("after", "0")), int(query.get("limit", "100"))
        answer: dict[str, Any] = {"results": rows[start : start + limit]}
        if start + limit < len(rows):
            answer["paging"] = {"next": {"after": str(start + limit), "link": "https://api.hubapi.com/"}}
        return Answer(200, answer)

    def account(self) -> Answer:
        return Answer(
            200,
            {
                "portalId": self.portal.id,
                "accountType": "STANDARD",
                "timeZone": self.portal.zone,
                "companyCurrency": "USD",
                "additionalCurrencies": [],
                "utcOffset": "-04:00",
                "utcOffsetMilliseconds": -14400000,
                "uiDomain": "app-eu1.hubspot.com",
                "dataHostingLocation": "eu1",
            },
        )

    def usage(self) -> Answer:
        row = {
            "name": "private-apps-api-calls-daily",
            "usageLimit": 250_000,
            "currentUsage": 1_234,
            "collectedAt": "2026-03-10T12:00:00Z",
            "fetchStatus": "SUCCESS",
            "resetsAt": "2026-03-11T04:00:00Z",
        }
        return Answer(200, {"results": [row]})

    def _times(self) -> dict[str, str]:
        return {"startedAt": "2026-03-10T12:00:00.433Z", "completedAt": "2026-03-10T12:00:00.444Z"}


def _nothing(name: str, to: str, id_: str) -> Any:
    return {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
        "message": f"No {to} is associated with {name} {id_}.",
        "context": {"fromObjectId": [id_], "fromObjectType": [name], "toObjectType": [to]},
    }


def _offset(token: str | None) -> int:
    """Tokens are percent-encoded already, and must come back as they were given."""
    if token is None:
        return 0
    assert token.endswith("%3D")
    assert token.startswith("MC0y")
    return int(token[4:-3])


__all__ = ["BURST", "DAILY", "PRIMARY_LABEL", "SECONDLY", "Answer", "Answers", "error", "limited"]
