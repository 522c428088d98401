"""A HubSpot list (a segment, by its newer name) as the filter of a stream: finds the list and reads its members.

Built from HubSpot's reference (docs/sources.md#hubspot-segments); not tried on a real account. A list that cannot be
read whole must not pass for an empty one, so anything doubtful is an error.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn
from urllib.parse import quote

from connectors.hubspot.answers import Malformed, id_of, next_of, one_of, results_of
from connectors.hubspot.api_paths import type_id
from connectors.hubspot.calls import Call, HubSpotCalls, NotThere
from sync.shared.words import Json

MEMBERS_LIMIT: Final = 250
SCOPE: Final = "crm.lists.read"


@dataclass(frozen=True, slots=True)
class RecordList:
    """A list: its id, its name as users see it, and the type id of the objects in it.

    `filling` is true while HubSpot still computes the members.
    """

    id: str
    name: str
    object_type: str
    filling: bool


def find_list(account: HubSpotCalls, name: str, wanted: str) -> RecordList:
    """Return the list of `name` records with this id (digits only) or this name.

    Raises SourceRefused if it does not exist, is archived, or holds records of another object.
    """
    try:
        row = account.ask(_named(name, wanted), lambda body: one_of(body.get("list")))
    except NotThere:
        _refuse(account, f"there is no list {wanted!r} of {name}", "look at its name in HubSpot, or write its id")
    # Nothing is worked out for a list that people fill; a deleted one says PROCESSING for ever.
    filling = row.get("processingStatus") == "PROCESSING" and row.get("processingType") != "MANUAL"
    found = RecordList(id_of(row, "listId"), str(row.get("name") or wanted), id_of(row, "objectTypeId"), filling)
    if row.get("deletedAt") is not None:
        _refuse(account, f"the list {wanted!r} was deleted in HubSpot", "restore it, or name another one")
    if found.object_type != type_id(name):
        what = f"the list {wanted!r} holds objects of the type {found.object_type}, not {name}"
        _refuse(account, what, f"name a list of {name}")
    return found


def _named(name: str, wanted: str) -> Call:
    about = f"the list {wanted!r}"
    if wanted.isascii() and wanted.isdigit():
        return Call("segment_by_id", places={"list": wanted}, about=about)
    return Call("segment_by_name", places={"object": type_id(name), "list": quote(wanted, safe="")}, about=about)


def has_members(account: HubSpotCalls, of: RecordList) -> bool:
    """Return true if the list has any members; one call."""
    return bool(_page(account, of, None).ids)


def members_of(account: HubSpotCalls, of: RecordList) -> frozenset[int]:
    """Return the ids of all members; one call for 250 of them.

    Raises SourceRefused if there are none: a filter that lets nothing pass is more often a mistake than a wish.
    """
    first = page = _page(account, of, None)
    found = set(first.ids)
    while page.after is not None:
        page = _page(account, of, page.after)
        found |= page.ids
    if len(found) < first.total:
        what = f"HubSpot shows {len(found):,} of the {first.total:,} members of the list {of.name!r}"
        account.unavailable(what, "it goes on by itself")
    if not found:
        hint = "the stream waits until it has some; if nobody is wanted any more, remove the stream"
        _refuse(account, f"the list {of.name!r} has no members", hint)
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class _MemberPage:
    """A page of members. `total` counts all members, 0 if HubSpot does not say."""

    ids: frozenset[int]
    after: str | None
    total: int


def _page(account: HubSpotCalls, of: RecordList, after: str | None) -> _MemberPage:
    query = {"limit": str(MEMBERS_LIMIT), **({} if after is None else {"after": after})}

    def read(body: Mapping[str, Json]) -> _MemberPage:
        page = _members(body)
        if page.after is not None and page.after == after:
            raise Malformed("a next page that is another one")
        return page

    about = f"members of the list {of.name!r}"
    return account.ask(Call("members", places={"list": of.id}, query=query, about=about), read)


def _members(body: Mapping[str, Json]) -> _MemberPage:
    ids = [id_of(row, "recordId") for row in results_of(body)]
    if not all(id_.isascii() and id_.isdigit() for id_ in ids):
        raise Malformed("a readable recordId")
    total = body.get("total")
    return _MemberPage(frozenset(map(int, ids)), next_of(body), total if isinstance(total, int) else 0)


def _refuse(account: HubSpotCalls, what: str, hint: str) -> NoReturn:
    account.refuse(what, hint, "list")


# ---- as the cursor keeps them


def packed(ids: Iterable[int]) -> str:
    """Return the ids as base64 text, about six characters each: their differences, seven bits a byte."""
    out, last = bytearray(), 0
    for id_ in sorted(ids):
        distance, last = id_ - last, id_
        while distance > 127:
            out.append(distance & 127 | 128)
            distance >>= 7
        out.append(distance)
    return base64.b64encode(bytes(out)).decode("ascii")


def unpacked(text: str) -> frozenset[int]:
    """Return the ids that `packed` wrote."""
    found, last, distance, shift = set(), 0, 0, 0
    for byte in base64.b64decode(text):
        distance |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            last += distance
            found.add(last)
            distance = shift = 0
    return frozenset(found)
