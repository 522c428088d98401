"""What goes into the ledger and comes out of it, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from state.diagram import LeadExists, State, Version
from sync.shared.words import Json

OnChange = Literal["hold", "resend"]
RetryMode = Literal["judge", "send"]
MatchKind = Literal["email", "domain", "phone"]
PollKind = Literal["poll", "sweep", "remap"]
PollOutcome = Literal["complete", "stopped", "full", "unavailable", "refused", "failed"]


@dataclass(frozen=True, slots=True)
class StreamRow:
    """A registered stream. `mapping` is the ledger's number of the mapping version in force."""

    id: int
    name: str
    identity: Mapping[str, str]
    workspace: str
    on_change: OnChange
    mapping: int
    match_on: tuple[MatchKind, ...] = ()
    """By what its records are matched with leads that exist."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as the ledger has it, without its payload."""

    key: int
    id: str
    state: State
    lead_exists: LeadExists
    latest: Version
    base: Version | None
    base_batch: str | None
    drift: bool
    again: RetryMode | None = None
    """To be judged again, whether or not anything changed."""
    approved: bool = False
    """Queued by a person's word, if it is queued: no poll made it pending."""
    nested: int | None = None
    """How many contacts of the latest version can be recognised; None where nobody has looked."""

    @property
    def resting(self) -> Literal["delivered", "known"]:
        """The state of this record when its lead is as it should be: only a batch of ours makes it `delivered`."""
        return "delivered" if self.base_batch is not None else "known"


@dataclass(frozen=True, slots=True)
class Sampled:
    """A record as the ledger has it, to be compared with its source. `version` is that of its mapping; `payload` its
    latest lead, as far as it is kept."""

    id: str
    modified: str | None
    version: str
    source_fp: bytes | None
    payload: bytes | None


@dataclass(frozen=True, slots=True)
class Contact:
    """A contact nested in a lead: its place in the lead's list, and keyed hashes of what it can be recognised by."""

    place: int
    values: Sequence[tuple[MatchKind, bytes]]


@dataclass(frozen=True, slots=True)
class Origin:
    """What a source made a record of, by the ids of its former records.

    `own` became the record itself; `children` are the children nested in it that others became, as (child, former,
    whether that child was left with the record). `others`: it has children besides, of whom no former record is known
    to have a lead.
    """

    own: Sequence[str] = ()
    children: Sequence[tuple[str, str, bool]] = ()
    others: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """One version of a record, mapped: what the poll hands to the ledger.

    `source` (the values that the mapping reads) and `payload` (the wire JSON) are kept while the record is unsent.
    `reason` is JSON text for people: why it cannot be sent, or None.
    """

    id: str
    version: Version
    source: bytes | None = None
    payload: bytes | None = None
    reason: str | None = None
    values: Sequence[tuple[MatchKind, bytes]] = ()
    """Keyed hashes of what the lead can be recognised by."""
    contacts: Sequence[Contact] | None = None
    """The contacts nested in the lead; None where nobody has looked, because nothing is matched by them."""
    needs_contacts: bool = False
    """The mapping keeps a lead without contacts back."""
    mapped: bool = True
    """False: it is the version that the ledger has, and was not mapped again."""
    merged_into: str | None = None
    """The record of the same stream into which this one, now gone, was merged at its source."""
    moved: bool = False
    """The source says that the record changed since it was last polled, whatever its modified time says."""
    origin: Origin | None = None
    """What its source made it of; None where it says nothing of that."""


@dataclass(frozen=True, slots=True)
class Twin:
    """The record whose lead stands for another one too. Without a `key` it is new, and on the same page."""

    id: str
    key: int | None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A contact that a lead goes without, because another lead stands for it by this value: `owner`'s, or one that was
    imported or is known from the receipts alone. `rule` says so to people."""

    place: int
    kind: MatchKind
    value: bytes
    owner: Twin | None
    rule: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What the engine decided about one reading; the ledger writes it as it stands, unless it is the same lead as
    another record's."""

    reading: Reading
    state: State
    lead_exists: LeadExists
    base: Version | None = None
    base_batch: str | None = None
    drift: bool = False
    batch: str | None = None
    twin: Twin | None = None
    left_out: tuple[LeftOut, ...] | None = None
    """None where it was not asked which contacts are to be left out: what was left out before stays so."""
    inherits: bool = False
    """Its lead is that of a record that it was made from."""


@dataclass(frozen=True, slots=True)
class Links:
    """The children found nested in the records of one page: (child's name, parent's id) -> child ids."""

    of: Mapping[tuple[str, str], Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LaneMove:
    """Where a lane of a stream's cursor stands once a page is committed. A cursor of None forgets the lane."""

    lane: str
    cursor: Json


@dataclass(frozen=True, slots=True)
class Delivery:
    """One frozen lead of a batch. `resend` says that a lead stands for this record already."""

    record: int
    stream: int
    id: str
    payload: bytes
    resend: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """A batch that is in the ledger as `sending`, with its slot: it may be sent now, once."""

    batch: str
    slot: int
    deliveries: Sequence[Delivery]
    deadline: float
    """Seconds since boot at which the request is over at the latest."""
    part: int | None
    label: str | None = None
    """What each of its leads is to bear."""


@dataclass(frozen=True, slots=True)
class NoRoom:
    """The governor's window is full: `seconds` until its oldest slot ends; `in_flight` slots may end sooner."""

    seconds: float
    in_flight: int


@dataclass(frozen=True, slots=True)
class NothingToSend:
    """No batch is due: nothing is pending (`seconds` is None), or it lingers for that long."""

    seconds: float | None


Verdict = Literal["created", "refused", "rejected", "paused", "in_doubt"]


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What became of a batch, counted in leads: where its records went."""

    batch: str
    moved: Mapping[State, int]
    by_stream: Mapping[str, int] = field(default_factory=dict)
