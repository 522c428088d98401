"""The members of a stream's list from poll to poll: who joined or left is read, whatever its own time of change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from connectors.hubspot.answers import chunks
from connectors.hubspot.calls import HubSpotCalls
from connectors.hubspot.lists import find_list, members_of, packed, unpacked
from connectors.hubspot.options import MEMBER, HubspotStream
from connectors.interface import StreamSpec
from sync.shared.clock import Clock
from sync.shared.words import Json, Page, Record

LANE = "list"


def without_list(stream: StreamSpec) -> StreamSpec:
    """Return the stream with the fields that its object itself has: none of its properties says who is in a list."""
    fields = stream.wanted.fields
    own = None if fields is None else fields - {(MEMBER,)}
    readers = {path: keys for path, keys in stream.readers.items() if path != (MEMBER,)}
    return replace(stream, wanted=replace(stream.wanted, fields=own), readers=readers)


@dataclass(frozen=True, slots=True)
class Members:
    """The ids of a list's members, and the list's own. `filling`: HubSpot is still working out who is in it."""

    list_id: str
    ids: frozenset[int]
    filling: bool = False


class Memberships:
    """The lists of a connector's streams, as they were last asked for."""

    def __init__(self, account: HubSpotCalls, clock: Clock) -> None:
        self._account = account
        self._clock = clock
        self._kept: dict[tuple[str, str], tuple[float, Members]] = {}

    def known(self, stream: StreamSpec, name: str) -> Members | None:
        """Return the members of the stream's list, of objects `name`, as the last poll saw them; None without a list.

        Between two polls nothing is asked: what a poll did not tell as joined must not be seen as a member by others.
        Raises SourceUnavailable, SourceRefused.
        """
        wanted = cast("HubspotStream", stream.options).list
        if wanted is None:
            return None
        kept = self._kept.get((stream.name, wanted))
        return self._ask(stream.name, name, wanted) if kept is None else kept[1]

    def renew(self, stream: StreamSpec, name: str, *, first: bool) -> None:
        """Ask for the members again where `list_every` is over. `first`: who is a member now is what others are held
        against, so a list that HubSpot is still filling is waited for. Raises SourceUnavailable, SourceRefused."""
        wanted = cast("HubspotStream", stream.options).list
        if wanted is None:
            return
        kept = self._kept.get((stream.name, wanted))
        every = self._account.options.list_every.total_seconds()
        is_due = kept is None or self._clock.boot() - kept[0] >= every
        members = self._ask(stream.name, name, wanted) if kept is None or is_due else kept[1]
        if first and members.filling:
            self._account.unavailable(f"HubSpot is still filling the list {wanted!r}", "it goes on by itself")

    def _ask(self, stream: str, name: str, wanted: str) -> Members:
        found = find_list(self._account, name, wanted)
        members = Members(found.id, members_of(self._account, found), found.filling)
        self._kept[stream, wanted] = (self._clock.boot(), members)
        return members


def moves(
    stored: Mapping[str, Json] | None,
    members: Members | None,
    fetch: Callable[[Sequence[str]], list[Record]],
    size: int,
) -> Iterator[Page]:
    """Yield those who joined or left since the lane was `stored`, at most `size` on a page.

    A list that is new to the stream moves nobody, like an edit of `where`: its members come when they change, or by
    `reread`. Where another list took the name of the one before, those who are no longer in it are told.
    """
    if members is None:
        if stored is not None:
            yield Page(LANE, None)  # a list that comes back later is a new one
        return
    if stored is None:
        yield Page(LANE, _lane(members.list_id, members.ids))
        return
    told, same = unpacked(stored["members"]), stored["list"] == members.list_id
    moved = told ^ members.ids if same else told - members.ids
    for part in chunks([str(id_) for id_ in sorted(moved)], size):
        told ^= {int(id_) for id_ in part}
        yield Page(LANE, _lane(stored["list"], told), [replace(record, moved=True) for record in fetch(part)])
    if not same:
        yield Page(LANE, _lane(members.list_id, members.ids))


def _lane(list_id: str, ids: frozenset[int]) -> Json:
    return {"list": list_id, "count": len(ids), "members": packed(ids)}
