"""A list of HubSpot (its newer name: a segment) as a stream's filter: which list it is, and who is a member.

By "Lists (Segments) API" (developers.hubspot.com), whose members come with their ids and the time when they joined; not
tried on a real account. A list that cannot be read whole is no empty one: everything doubtful is an error.
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

    `filling`: HubSpot is still working out who is in it.
    """

    id: str
    name: str
    object_type: str
    filling: bool


def find_list(account: HubSpotCalls, name: str, wanted: str) -> RecordList:
    """Return the list of records of the object `name` that has this id (digits alone) or this name.

    Raises SourceRefused where there is none, or it is archived or of other records.
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
    """Return true where there are any, by one call."""
    return bool(_page(account, of, None).ids)


def members_of(account: HubSpotCalls, of: RecordList) -> frozenset[int]:
    """Return the ids of all members; one call for 250 of them. Raises SourceRefused where there are none: a filter that
    lets nothing pass is a mistake more often than it is meant."""
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
    """Some members; `total` is how many there are in all, 0 where HubSpot does not say."""

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
    """Return the ids as text, about six characters each: their distances, seven bits a byte, in base 64."""
    out, last = bytearray(), 0
    for id_ in sorted(ids):
        distance, last = id_ - last, id_
        while distance > 127:
            out.append(distance & 127 | 128)
            distance >>= 7
        out.append(distance)
    return base64.b64encode(bytes(out)).decode("ascii")


def unpacked(text: str) -> frozenset[int]:
    """Return the ids of `packed`."""
    found, last, distance, shift = set(), 0, 0, 0
    for byte in base64.b64decode(text):
        distance |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            last += distance
            found.add(last)
            distance = shift = 0
    return frozenset(found)
