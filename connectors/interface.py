"""The connector interface: the few methods through which the engine reads any source, and the extras a connector may
offer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Literal, Protocol, runtime_checkable

from pydantic import BaseModel

from sync.shared.words import Json, Listing, Page, Record, Wanted


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """One stream as its connector sees it. `options` and `children` (by the child's name) hold the connector's own
    option models; `page_size` is the most records of a page."""

    source: str
    name: str
    options: BaseModel
    children: Mapping[str, BaseModel]
    wanted: Wanted
    overlap: timedelta
    settle: timedelta
    page_size: int = 1000
    readers: Mapping[tuple[str, ...], Sequence[str]] = field(default_factory=dict)
    """The configuration keys that read each path of `wanted`, for messages. A child's paths begin with its name."""

    def read_by(self, *path: str) -> list[str]:
        """Return the configuration keys that read this path, a path above it as a whole, or one below it."""
        found = (keys for read, keys in self.readers.items() if read[: len(path)] == path or path[: len(read)] == read)
        return list(dict.fromkeys(key for keys in found for key in keys))


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `check`: the thing examined, whether it is usable, and the fix if it is not."""

    level: Literal["ok", "warning", "error"]
    text: str
    hint: str = ""


class Connector(Protocol):
    """One configured source, opened. It is used by one thread at a time and kept open between the polls of a stream
    until one of them fails.

    Every method may raise `SourceUnavailable` (try later) or `SourceRefused` (a person must act), both naming source,
    stream and fix. No other exception of a driver leaves a connector. No method logs.
    """

    def identity(self, stream: StreamSpec) -> Mapping[str, str]:
        """Return what makes this stream the one it is: organisation, object, key. The ledger stores it and refuses a
        change. No secrets; offline."""
        ...

    def check(self, stream: StreamSpec) -> Sequence[Finding]:
        """Check the real source: can it be reached and read, do the fields exist, are the columns usable as
        declared?"""
        ...

    def position(self, stream: StreamSpec) -> str:
        """Return the least `Record.modified` that a record written from now on can have: the source's own clock in
        the same canonical form; for a sequence, the number after the greatest. Called once, for a stream that starts
        "now"."""
        ...

    def size(self, stream: StreamSpec) -> int | None:
        """Return about how many records the stream has now; None where counting costs too much. Called once, before the
        first `read`."""
        ...

    def read(self, stream: StreamSpec, lanes: Mapping[str, Json]) -> Iterator[Page]:
        """Yield the pages of one poll, from where `lanes` stand to the end of a closed window; live lanes before the
        backfill.

        `lanes` (each lane's cursor by its name) is empty at the first poll. The caller commits a page's records and its
        lane's cursor together before it takes the next page, and may stop after any page: the next `read` resumes
        there. A record may come more than once (windows overlap); none is ever left out.
        """
        ...

    def fetch(self, stream: StreamSpec, ids: Sequence[str]) -> Sequence[Record]:
        """Return these records as they are now, with children; ids that no longer exist are left out."""
        ...

    def sweep(self, stream: StreamSpec, cursor: Json) -> Iterator[Listing]:
        """Yield all ids with their modified values, resuming after `cursor` (None: from the start)."""
        ...

    def close(self) -> None:
        """Close the connections. May be called twice."""
        ...


@runtime_checkable
class FetchesInParts(Protocol):
    """An extra of connectors whose records may be long: many that are fetched by id need not be in memory together."""

    def fetch_in_parts(self, stream: StreamSpec, ids: Sequence[str]) -> Iterator[Sequence[Record]]:
        """Yield what `fetch` returns, in parts of a bounded size; each is read when it is asked for."""
        ...


@runtime_checkable
class GivesBack(Protocol):
    """An extra of connectors that hold something of the source between polls, such as a connection."""

    def give_back(self) -> None:
        """Give it back, because nothing is read for a while; the next call takes it anew. Raises nothing."""
        ...


@runtime_checkable
class NamesAccount(Protocol):
    """An extra of connectors whose credentials determine which account is read: records of different accounts must not
    mix."""

    def account(self, stream: StreamSpec) -> str:
        """Return the account that the credentials open, as the source itself reports it. Called before anything is
        read; the ledger keeps the first answer and refuses another. Raises SourceUnavailable, SourceRefused."""
        ...


@runtime_checkable
class Respells(Protocol):
    """An extra of connectors whose source may treat two spellings of a key as equal (case, accents, blanks). They are
    one record, which the ledger keeps under the spelling it saw first."""

    def respells(self, stream: StreamSpec) -> bool:
        """Return whether two different texts may be the same key of this stream; False only where that is certain.
        Raises SourceUnavailable, SourceRefused."""
        ...

    def alike(self, id_: str) -> str:
        """Return a form that all spellings of one key share; other keys may share it too. Offline. The ledger stores
        the form, so it must never change between versions."""
        ...

    def same(self, stream: StreamSpec, doubtful: Mapping[str, Sequence[str]]) -> Mapping[str, str]:
        """Return, for ids that were just read, the known id that the source considers the same record. `doubtful` holds
        for each id the known ids of the same `alike` form; an id that equals none of them is left out. Raises
        SourceUnavailable, SourceRefused."""
        ...


@runtime_checkable
class Rewords(Protocol):
    """An extra of connectors whose streams are described by text that may be edited, such as a query."""

    def reworded(self, was: Mapping[str, str], now: Mapping[str, str]) -> bool:
        """Return whether these two identities may be the same records, described differently. The engine then compares
        records with the ledger before it relies on that. Offline."""
        ...


@dataclass(frozen=True, slots=True)
class Discovered:
    """An object of a source, or a field of one: its name in the configuration, its label for users, its type, and a
    remark.

    `choices`: every code and its label, where the field has a fixed list.
    """

    name: str
    label: str
    type: str
    remark: str = ""
    choices: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class Discovers(Protocol):
    """An extra of connectors that can list what there is to read."""

    def discover(self, name: str | None) -> Sequence[Discovered]:
        """Return the objects of the source, or the fields of the object of that name. Raises SourceUnavailable,
        SourceRefused."""
        ...


@runtime_checkable
class Cautions(Protocol):
    """An extra of a source's options: settings that work and still deserve a look. Reported before anything is
    opened."""

    def cautions(self) -> Iterable[tuple[str, str, str]]:
        """Yield the key, the risk and the fix of each."""
        ...


@dataclass(frozen=True, slots=True)
class EndOfSupport:
    """A date from which the vendor no longer supports something that the configuration uses.

    `what` names it in words ("the paths of api = \"legacy\""), `cure` the key and its value to change to.
    """

    date: date
    what: str
    cure: str


@runtime_checkable
class Ages(Protocol):
    """An extra of a source's options: parts of the source's API that the vendor will switch off. Offline, from the
    options alone."""

    def endings(self) -> Sequence[EndOfSupport]:
        """Return every known end of support of what these options use, however far away: the caller decides which are
        near."""
        ...


@runtime_checkable
class Bookkeeping(Protocol):
    """An extra of a stream's options: technical fields of the source that carry no information about the record
    itself."""

    def bookkeeping(self) -> frozenset[str]:
        """Return the names of such fields (key, time of change and the like), in any case of letters. A mapping's
        rest() leaves them out."""
        ...


@runtime_checkable
class Filters(Protocol):
    """An extra of a stream's options: filters beside `where` that only the source can evaluate, such as membership of a
    list.

    Each is a field of the record's data. The connector sets it on every record: true where the record passes, false
    where it does not; a record that fails needs no other data. A record whose result changed since the last poll comes
    with `Record.moved`.
    """

    def filters(self) -> Mapping[str, str]:
        """Return each filter's field (`@list`: an @ and its key) and its setting; editing the setting counts as editing
        `where`. Offline."""
        ...


FieldType = Literal["boolean", "integer", "decimal", "number", "text", "bits", "date", "time", "list"]
"""`number`: with a fraction; `decimal`: arrives as text where a number cannot hold it exactly; `bits`: text of the
digits 0 and 1; `date`: 2026-01-31; `time`: 2026-01-31T12:30:00, with `Z` where the zone is known; `list`: of text, each
item one of the choices if there are any."""


@dataclass(frozen=True, slots=True)
class FieldKind:
    """The values a field can have when they reach the mapping.

    `choices`: codes and their labels (equal where there are no labels); None where any value may come. `several`: a
    value holds several of the choices. `length`: the most characters; None where there is no limit.
    """

    type: FieldType
    choices: Mapping[str, str] | None = None
    several: bool = False
    length: int | None = None


@runtime_checkable
class Describes(Protocol):
    """An extra of connectors that know the possible values of a field: `check` then points out a constant that it can
    never equal."""

    def describe(self, stream: StreamSpec) -> Mapping[tuple[str, ...], FieldKind]:
        """Return the kinds of the wanted fields by path, a child's beginning with its name; fields of unknown kind are
        left out. Raises SourceUnavailable, SourceRefused."""
        ...


@runtime_checkable
class GivesIds(Protocol):
    """An extra of a connector's type: all ids of its sources are assigned by the vendor and reveal nothing about a
    person. The log then shows numbers of any length as they are."""

    vendor_ids: Literal[True]


@dataclass(frozen=True, slots=True)
class LaneProgress:
    """The progress of one lane of a stream's cursor, for people. Positions are canonical modified values.

    Everything up to `through` is read; `until` is the end of the window that is being read; `older_than` is where a
    backfill began, which reads towards the past; `records` is how many ids the lane holds.
    """

    is_complete: bool = False
    through: str | None = None
    until: str | None = None
    older_than: str | None = None
    records: int | None = None


@runtime_checkable
class TellsProgress(Protocol):
    """An extra of a connector's type: it says how far a lane is read. Nobody else looks into a connector's cursor."""

    def progress(self, cursor: Json) -> LaneProgress:
        """Return how far a lane is read whose cursor is this, of any version that a ledger may hold. Offline."""
        ...


@runtime_checkable
class ComparesKeys(Protocol):
    """An extra of a connector's type: rules between tables of a stream that no option model can check by itself."""

    def mismatches(self, stream: Mapping[str, Json]) -> Iterable[tuple[tuple[str, ...], str, str]]:
        """Yield the keys that do not fit each other: (path of the key below the stream, what, cure). Offline.

        `stream` is the file's raw table: keys may be unknown or missing, and values of any type, since problems of
        the schema are reported beside these.
        """
        ...


@runtime_checkable
class Announces(Protocol):
    """An extra of connectors whose source can announce that a stream may have changed. Only a hint to poll at once:
    polls continue on schedule, and find what was never announced."""

    def announced(self, streams: Sequence[StreamSpec], stop: Callable[[], bool]) -> Iterator[str]:
        """Yield the name of a stream each time something is announced, and all of them once at the beginning. Waits in
        between, and asks `stop` every second or so. Raises SourceUnavailable, SourceRefused."""
        ...


@runtime_checkable
class Listens(Protocol):
    """An extra of a stream's options: where the source announces changes of the stream; None if nobody listens."""

    listen: str | None


@runtime_checkable
class HasRhythm(Protocol):
    """An extra of a connector's type: how often its streams are read where `every` is not set, instead of the engine's
    default. As often as costs the source next to nothing."""

    every: timedelta


@runtime_checkable
class NeedsPackages(Protocol):
    """An extra of a connector's type: it needs packages that a plain installation does not have. The program's extra
    of the connector's name installs them."""

    packages: Sequence[str]
    """The modules that must be importable before a source is opened."""


@runtime_checkable
class OffersStarters(Protocol):
    """An extra of a connector's type: `init` writes a file for it to start from."""

    def starters(self) -> Mapping[str, str]:
        """Return whole configuration files to be edited, by the kind of system that each is for, the default first.
        Offline."""
        ...


@dataclass(frozen=True, slots=True)
class DraftCandidate:
    """An object of a source that a stream may read: its name in the configuration, what it is (table, view), about how
    many records it has (None: unknown), and whether it looks like companies or contacts."""

    name: str
    kind: str
    size: int | None
    is_likely: bool


@runtime_checkable
class Drafts(Protocol):
    """An extra of a connector's type: given a URL, `init --from` lets it look at the source and write a stream."""

    def address(self, url: str) -> str:
        """Return the URL as TOML for a file, by an environment variable if it may hold a secret. Raises ValueError,
        without the URL in its text, where this connector cannot read such a URL. Offline."""
        ...

    def candidates(self, url: str) -> Sequence[DraftCandidate]:
        """Return the objects of the source, the likeliest first. Raises SourceUnavailable, SourceRefused."""
        ...

    def draft(self, url: str, address: str, name: str) -> str:
        """Return a whole configuration file with a stream for the object of that name and a guessed mapping; `address`
        is the URL as TOML. Raises SourceUnavailable, SourceRefused."""
        ...


class ConnectorType(Protocol):
    """The object that a connector's module offers under the name `CONNECTOR`."""

    name: str
    source_options: type[BaseModel]
    """Keys of `[sources.X]` that only this connector knows."""
    stream_options: type[BaseModel]
    """Keys of `[sources.X.streams.Y]` that only this connector knows."""
    child_options: type[BaseModel]
    """Keys of `[sources.X.streams.Y.children.Z]`."""

    def open(self, source: str, options: BaseModel) -> Connector:
        """Open the source. Lazy: no network before the first `check`, `read`, `fetch` or `sweep`."""
        ...
