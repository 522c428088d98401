"""The states of a record, the moves between them, and what becomes of a record once its latest version is known.

                         ┌────────────── refused, or absent by a person's word ──────────────┐
                         ▼                                                                   │
    (read) ──► pending ──claim──► sending ──created──► delivered          sending ──unknown──► in_doubt
       │          ▲  ▲               │                    │  ▲                                   │
       │          │  │               └─rejected─► quarantined  └──────────── landed ─────────────┘
       │          │  └── on_change = "resend" ────────────┘
       └──► filtered · quarantined · held · duplicate · known · ignored · withdrawn ──(judged again)──► any of these

`lead_exists` says whether a lead stands in ClosingDealz for this record. Only a refusal, a rejection or a person's
"absent" turns maybe back into no; nothing turns yes back. A record whose lead exists stays `delivered` (or `known`)
when it is filtered or gone later: its `fit` says so, and it is *orphaned*, listed for a person.

Everything here is pure. The same rules stand in the schema as CHECKs and a trigger.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Literal, get_args

from sync.shared.values import fast_dataclass

State = Literal[
    "pending",
    "sending",
    "delivered",
    "in_doubt",
    "quarantined",
    "held",
    "filtered",
    "duplicate",
    "known",
    "ignored",
    "withdrawn",
    "forgotten",
]
STATES: tuple[State, ...] = get_args(State)
LeadExists = Literal["no", "maybe", "yes"]
Fit = Literal["eligible", "filtered", "unfit", "deleted"]
"""The mapping's verdict on a version, whatever was sent before: sendable, excluded by `where`, unusable, gone at the
source."""

GONE: frozenset[Fit] = frozenset({"filtered", "deleted"})
"""If a lead was created for such a record it is orphaned: the API can neither delete nor change it."""

ON_THE_WIRE: frozenset[State] = frozenset({"sending", "in_doubt"})
RESTING: frozenset[State] = frozenset(STATES) - ON_THE_WIRE

OWNERS: frozenset[State] = frozenset({"pending", "held", "sending", "in_doubt", "delivered", "known"})
"""A record in one of these states stands for a lead, so another record with the same e-mail address is its duplicate.
The same holds for any record whose lead exists, or may exist, whatever its state is now: see `stands_for_a_lead`."""

MOVES: dict[State, frozenset[State]] = {
    **{state: RESTING | {"sending"} if state == "pending" else RESTING for state in RESTING},
    "sending": frozenset({"delivered", "in_doubt", *RESTING}),
    "in_doubt": RESTING,
}
"""The states that a record may move to from each state. The only way into `sending` is from `pending`."""

LEAD_EXISTS: dict[State, frozenset[LeadExists]] = {
    "pending": frozenset({"no", "yes"}),
    "sending": frozenset({"maybe", "yes"}),
    "delivered": frozenset({"yes"}),
    "in_doubt": frozenset({"maybe", "yes"}),
    "quarantined": frozenset({"no", "yes"}),
    "held": frozenset({"no", "yes"}),
    "filtered": frozenset({"no", "yes"}),
    "duplicate": frozenset({"no"}),
    "known": frozenset({"yes"}),
    "ignored": frozenset({"no"}),
    "withdrawn": frozenset({"no", "yes"}),
    "forgotten": frozenset({"no", "yes"}),
}


def stands_for_a_lead(state: State, lead_exists: LeadExists) -> bool:
    """Return True if others can be duplicates of this record: its lead exists, may exist, or waits to be sent."""
    return lead_exists != "no" or state in OWNERS


@fast_dataclass(frozen=True, slots=True)
class Version:
    """One version of a record as one mapping saw it. `mapping` is the ledger's number of the mapping version.

    As a *base* (the version that the existing lead stands for) it may lack fingerprints: the record and the mapping
    changed together, so the two versions cannot be compared.
    """

    fit: Fit
    modified: str | None
    mapping: int
    source_fp: bytes | None
    wire_fp: bytes | None


@fast_dataclass(frozen=True, slots=True)
class RecordStanding:
    """The outcome for a record: its state, the version its lead stands for, and whether it has drifted from that."""

    state: State
    base: Version | None
    drift: bool


def differs(base: Version, latest: Version) -> bool:
    """Return True if both fingerprints differ: what was read, and what would be sent. Only then is it a change."""
    return base.source_fp != latest.source_fp and base.wire_fp != latest.wire_fp


def same_content(before: Version, now: Version) -> bool:
    """Return True if one mapping saw the same content twice, perhaps with another modified time."""
    return before.mapping == now.mapping and before.source_fp == now.source_fp and before.fit == now.fit


def settle(
    latest: Version,
    *,
    lead_exists: bool,
    base: Version | None = None,
    previous: Version | None = None,
    drift: bool = False,
    on_change: Literal["hold", "resend"] = "hold",
    resting: Literal["delivered", "known"] = "delivered",
) -> RecordStanding:
    """Decide the state of a record that is not on the wire, from its latest version. Pure.

    `base` is the version that the lead stands for, `previous` the version before `latest`, `resting` the state of a
    record whose lead is up to date.
    """
    if not lead_exists:
        return RecordStanding(_WITHOUT_A_LEAD[latest.fit], None, drift=False)
    if latest.fit in GONE:
        return RecordStanding(resting, base, drift)
    if base is None or base.mapping != latest.mapping:
        return _new_base_line(latest, base, drift, resting)
    comparable = base.source_fp is not None
    if comparable and not differs(base, latest):
        # the lead stands for this version too: a later edit of the mapping must not take its date for a change
        return RecordStanding(resting, replace(base, modified=latest.modified), drift=False)
    changed_now = comparable or _changed_since(previous, latest)
    if on_change == "hold" or not changed_now:
        return RecordStanding(resting, base, drift=True)
    return RecordStanding("quarantined" if latest.fit == "unfit" else "pending", base, drift=True)


def _changed_since(previous: Version | None, latest: Version) -> bool:
    """Return True if two versions are comparable and differ; a version that could not be read shows no change."""
    if previous is None or previous.source_fp is None or previous.mapping != latest.mapping:
        return False
    return differs(previous, latest)


def _new_base_line(
    latest: Version, base: Version | None, drift: bool, resting: Literal["delivered", "known"]
) -> RecordStanding:
    """Handle the first reading under an edited mapping, which never sends: set a new baseline, or show drift."""
    moved = base is not None and base.modified != latest.modified
    if not moved and not drift:
        return RecordStanding(resting, latest, drift=False)
    unknown = Version(latest.fit, latest.modified, latest.mapping, None, None)
    return RecordStanding(resting, unknown, drift=True)


_WITHOUT_A_LEAD: dict[Fit, State] = {
    "eligible": "pending",
    "filtered": "filtered",
    "unfit": "quarantined",
    "deleted": "withdrawn",
}


def one_of(names: Collection[str]) -> str:
    """Return `('a', 'b')`, for the IN of a query or a CHECK."""
    return "(" + ", ".join(f"'{name}'" for name in sorted(names)) + ")"
