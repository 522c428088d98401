"""Values that go into the ledger and come out of it, all frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from state.diagram import LeadExists, State, Version
from sync.shared.values import fast_dataclass
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
    """The kinds of values by which its records are matched with existing leads."""


@fast_dataclass(frozen=True, slots=True)
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
    """If it is queued, a person queued it: no poll made it pending."""
    nested: int | None = None
    """Number of contacts of the latest version that can be recognised; None if they were not looked at."""

    @property
    def resting(self) -> Literal["delivered", "known"]:
        """The state of this record when its lead is up to date: `delivered` only if a batch of ours created it."""
        return "delivered" if self.base_batch is not None else "known"


@dataclass(frozen=True, slots=True)
class Sampled:
    """A record as the ledger has it, for comparison with its source. `version` is its mapping's; `payload` its latest
    lead."""

    id: str
    modified: str | None
    version: str
    source_fp: bytes | None
    payload: bytes | None


@dataclass(frozen=True, slots=True)
class Contact:
    """A contact nested in a lead: its position in the list, and the keyed hashes by which it can be recognised."""

    place: int
    values: Sequence[tuple[MatchKind, bytes]]


@dataclass(frozen=True, slots=True)
class Origin:
    """The former records that a source made a record from, by their ids.

    `own` became the record itself. `children` are the nested children made from others, as (child, former, child was
    left in the record). `others`: it has further children, without a former record that is known to have a lead.
    """

    own: Sequence[str] = ()
    children: Sequence[tuple[str, str, bool]] = ()
    others: bool = False


@fast_dataclass(frozen=True, slots=True)
class Reading:
    """One version of a record, mapped: what the poll hands to the ledger.

    `source` (the values that the mapping reads) and `payload` (the wire JSON) are kept while the record is unsent.
    `reason` is JSON text for people, if it cannot be sent.
    """

    id: str
    version: Version
    source: bytes | None = None
    payload: bytes | None = None
    reason: str | None = None
    values: Sequence[tuple[MatchKind, bytes]] = ()
    """Keyed hashes by which the lead can be recognised."""
    contacts: Sequence[Contact] | None = None
    """The contacts nested in the lead; None if not looked at, because nothing is matched by them."""
    needs_contacts: bool = False
    """The mapping's `required` names contacts: a lead without any is kept back."""
    mapped: bool = True
    """False: it is the version that the ledger has, and was not mapped again."""
    merged_into: str | None = None
    """The record of the same stream into which this one, now gone, was merged at its source."""
    moved: bool = False
    """The source reports that the record changed since the last poll, whatever its modified time."""
    origin: Origin | None = None
    """The records it was made from; None if the source does not tell."""
    fields: tuple[str, ...] | None = None
    """The top-level fields of the payload; None if only the payload itself tells."""


@dataclass(frozen=True, slots=True)
class Twin:
    """The record whose lead stands for another record too. Without a `key` it is new, and on the same page."""

    id: str
    key: int | None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A contact that a lead goes without, because another lead stands for it by this value.

    That lead is `owner`'s, or it was imported, or only the receipts know it. `rule` explains it to people.
    """

    place: int
    kind: MatchKind
    value: bytes
    owner: Twin | None
    rule: str


@fast_dataclass(frozen=True, slots=True)
class Decision:
    """The engine's decision about one reading, written as it is unless another record has the same lead."""

    reading: Reading
    state: State
    lead_exists: LeadExists
    base: Version | None = None
    base_batch: str | None = None
    drift: bool = False
    batch: str | None = None
    twin: Twin | None = None
    left_out: tuple[LeftOut, ...] | None = None
    """None if it was not determined which contacts to leave out: what was left out before stays so."""
    inherits: bool = False
    """Its lead is that of a record that it was made from."""


@dataclass(frozen=True, slots=True)
class Links:
    """The children nested in the records of one page: (child's name, parent's id) -> child ids."""

    of: Mapping[tuple[str, str], Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LaneMove:
    """The cursor of a stream's lane once a page is committed; None deletes the lane."""

    lane: str
    cursor: Json


@fast_dataclass(frozen=True, slots=True)
class Delivery:
    """One frozen lead of a batch, and the version that it stands for. `resend`: a lead already exists for this
    record."""

    record: int
    stream: int
    id: str
    payload: bytes
    resend: bool
    mapping: int
    source_fp: bytes
    wire_fp: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """A batch that is in the ledger as `sending`, with its slot: it may be sent now, once."""

    batch: str
    slot: int
    deliveries: Sequence[Delivery]
    deadline: float
    """Seconds since boot by which the request must be over."""
    part: int | None
    label: str | None = None
    """Put on each of its leads."""


@dataclass(frozen=True, slots=True)
class NoRoom:
    """The governor's window is full: `seconds` until its oldest slot ends; `in_flight` slots may end sooner."""

    seconds: float
    in_flight: int


@dataclass(frozen=True, slots=True)
class NothingToSend:
    """No batch is due: nothing is pending (`seconds` is None), or it lingers that many seconds more."""

    seconds: float | None


Verdict = Literal["created", "refused", "rejected", "paused", "in_doubt"]


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The outcome of a batch, in leads: the states that its records moved to."""

    batch: str
    moved: Mapping[State, int]
    by_stream: Mapping[str, int] = field(default_factory=dict)
