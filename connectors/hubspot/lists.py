"""A HubSpot list (a segment, by its newer name) as the filter of a stream.

Finds the list, reads its members, and reports who joined or left since the last poll, whatever the record's modified
time. Built from HubSpot's reference (docs/sources.md#hubspot-segments); not tried on a real account. A list that cannot
be read whole must not pass for an empty one, so anything doubtful is an error.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NoReturn, cast
from urllib.parse import quote

from connectors.hubspot.answers import Malformed, id_of, next_of, one_of, onward, results_of
from connectors.hubspot.api_paths import type_id
from connectors.hubspot.calls import Call, HubSpotCalls, NotThere
from connectors.hubspot.options import MEMBER, HubspotStream
from connectors.interface import StreamSpec
from sync.shared.clock import Clock
from sync.shared.words import Json, Page, Record

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
        _refuse(account, f"there is no list {wanted!r} of {name}", "check its name in HubSpot, or write its id")
    # HubSpot computes nothing for a manual list, and a deleted list stays in PROCESSING.
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
    # Fewer than promised: members may have changed while paging, or a page was cut short.
    if len(found) < first.total:
        what = f"HubSpot shows {len(found):,} of the {first.total:,} members of the list {of.name!r}"
        account.unavailable(what, "it resumes automatically")
    if not found:
        hint = "the stream waits until it has some; if none are wanted any more, remove the stream"
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

    about = f"members of the list {of.name!r}"
    return account.ask(Call("members", places={"list": of.id}, query=query, about=about), onward(_members, after))


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


# ---- members from poll to poll

LANE = "list"


def without_list(stream: StreamSpec) -> StreamSpec:
    """Return the stream without the field MEMBER, which is no property of the object."""
    fields = stream.wanted.fields
    own = None if fields is None else fields - {(MEMBER,)}
    readers = {path: keys for path, keys in stream.readers.items() if path != (MEMBER,)}
    return replace(stream, wanted=replace(stream.wanted, fields=own), readers=readers)


@dataclass(frozen=True, slots=True)
class Members:
    """The members of a list. `filling` is true while HubSpot still computes them."""

    list_id: str
    ids: frozenset[int]
    filling: bool = False


class Memberships:
    """The lists of a connector's streams, as they were last read."""

    def __init__(self, account: HubSpotCalls, clock: Clock) -> None:
        self._account = account
        self._clock = clock
        # By stream and list: when it was read (seconds since boot), and its members.
        self._kept: dict[tuple[str, str], tuple[float, Members]] = {}

    def known(self, stream: StreamSpec, name: str) -> Members | None:
        """Return the members of the stream's list as the last poll saw them, or None if the stream has no list.

        Between two polls nothing is asked: a member that no poll reported as joined must not count as one elsewhere.
        Raises SourceUnavailable, SourceRefused.
        """
        wanted = cast("HubspotStream", stream.options).list
        if wanted is None:
            return None
        kept = self._kept.get((stream.name, wanted))
        return self._ask(stream.name, name, wanted) if kept is None else kept[1]

    def renew(self, stream: StreamSpec, name: str, *, first: bool) -> None:
        """Read the members again if `list_every` is over.

        `first`: the result becomes the baseline for later polls, so a list that HubSpot is still computing is waited
        for. Raises SourceUnavailable, SourceRefused.
        """
        wanted = cast("HubspotStream", stream.options).list
        if wanted is None:
            return
        kept = self._kept.get((stream.name, wanted))
        every = self._account.options.list_every.total_seconds()
        is_due = kept is None or self._clock.boot() - kept[0] >= every
        members = self._ask(stream.name, name, wanted) if kept is None or is_due else kept[1]
        # As a baseline a half-filled list would let the rest pass as members that joined later.
        if first and members.filling:
            self._account.unavailable(f"HubSpot is still filling the list {wanted!r}", "it resumes automatically")

    def _ask(self, stream: str, name: str, wanted: str) -> Members:
        found = find_list(self._account, name, wanted)
        members = Members(found.id, members_of(self._account, found), found.filling)
        self._kept[stream, wanted] = (self._clock.boot(), members)
        return members


def moves(
    stored: Mapping[str, Json] | None,
    members: Members | None,
    parts: Callable[[Sequence[str]], Iterator[tuple[Sequence[str], list[Record]]]],
) -> Iterator[Page]:
    """Yield the records that joined or left since the lane was `stored`; `parts` reads them.

    A list that is new to the stream moves no record, as an edit of `where` does not: its members come when they change,
    or by `reread`. If another list took the name, those that are not in the new one are reported.
    """
    if members is None:
        if stored is not None:
            yield Page(LANE, None)  # a list that comes back later is a new one
        return
    if stored is None:
        yield Page(LANE, _lane(members.list_id, members.ids))
        return
    reported, same = unpacked(stored["members"]), stored["list"] == members.list_id
    moved = reported ^ members.ids if same else reported - members.ids
    for ids, records in parts([str(id_) for id_ in sorted(moved)]):
        # Page by page, so that a stop repeats at most one page.
        reported ^= {int(id_) for id_ in ids}
        yield Page(LANE, _lane(stored["list"], reported), [replace(record, moved=True) for record in records])
        del records  # the next ones are read without these in memory
    # Last: the lane takes the new list's name only when nobody of the old one is left to report.
    if not same:
        yield Page(LANE, _lane(members.list_id, members.ids))


def _lane(list_id: str, ids: frozenset[int]) -> Json:
    return {"list": list_id, "count": len(ids), "members": packed(ids)}
