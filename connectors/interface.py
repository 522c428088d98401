"""What a connector is: the few methods through which the engine reads any source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Literal, Protocol, runtime_checkable

from pydantic import BaseModel

from sync.shared.words import Json, Listing, Page, Record, Wanted


@dataclass(frozen=True, slots=True)
class Features:
    """What a connector declares of itself."""

    tombstones: bool = False
    """Deleted records arrive as `Record(deleted=True)`."""
    children_compared_by_sweep: bool = False
    """A child that vanished from the source is noticed only when the sweep re-reads its parent."""


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """One stream as its connector sees it. `options` and `children` hold the connector's own option models."""

    source: str
    name: str
    options: BaseModel
    children: Mapping[str, BaseModel]
    wanted: Wanted
    overlap: timedelta
    settle: timedelta
    page_size: int = 1000
    readers: Mapping[tuple[str, ...], Sequence[str]] = field(default_factory=dict)
    """Which keys of the configuration read a path of `wanted` (a child's paths begin with its name), for messages."""

    def read_by(self, *path: str) -> list[str]:
        """The keys that read this path, what lies above it as a whole, or something below it."""
        found = (keys for read, keys in self.readers.items() if read[: len(path)] == path or path[: len(read)] == read)
        return list(dict.fromkeys(key for keys in found for key in keys))


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `check`: what was looked at, and whether it will do."""

    level: Literal["ok", "warning", "error"]
    text: str
    hint: str = ""


class Connector(Protocol):
    """One configured source, opened: used by one thread at a time, and kept open between the polls of a stream until
    one of them fails.

    Every method may raise `SourceUnavailable` (try later) or `SourceRefused` (a person must act), both naming source,
    stream and cure. No other exception of a driver leaves a connector. No method logs.
    """

    @property
    def features(self) -> Features: ...

    def identity(self, stream: StreamSpec) -> Mapping[str, str]:
        """Return what this stream *is*: organisation, object, key. Stored; a change is refused. No secrets, offline."""
        ...

    def check(self, stream: StreamSpec) -> Sequence[Finding]:
        """Looks at the real source: reachable, allowed, fields there, columns usable as declared."""
        ...

    def position(self, stream: StreamSpec) -> str:
        """The least `Record.modified` that a record written from now on will have: the source's own clock in the same
        canonical form; for a sequence, the number after the greatest. Asked once, for a stream that starts "now"."""
        ...

    def size(self, stream: StreamSpec) -> int | None:
        """About how many records the stream has now; None where it costs too much to know. Asked once, before the first
        `read`."""
        ...

    def read(self, stream: StreamSpec, lanes: Mapping[str, Json]) -> Iterator[Page]:
        """One poll: pages from where `lanes` stand up to a closed window's end; live lanes before the backfill.

        `lanes` is empty at the first poll. The caller commits a page's records and its lane's cursor together before
        it takes the next page, and may stop after any page: the next `read` resumes there. Records may come more than
        once (overlap), never not at all.
        """
        ...

    def fetch(self, stream: StreamSpec, ids: Sequence[str]) -> Sequence[Record]:
        """These records as they are now, with children; ids that are gone are left out."""
        ...

    def sweep(self, stream: StreamSpec, cursor: Json) -> Iterator[Listing]:
        """All ids with their modified values, resuming after `cursor` (None: from the start)."""
        ...

    def close(self) -> None:
        """Gives back connections. May be called twice."""
        ...


@runtime_checkable
class NamesAccount(Protocol):
    """An extra of connectors whose credentials say which account is read: a token of another one must not mix in."""

    def account(self, stream: StreamSpec) -> str:
        """Return the account that the credentials open, as the source itself says. Asked before anything is read; the
        ledger keeps the first answer, and another one is refused. Raises SourceUnavailable, SourceRefused."""
        ...


@runtime_checkable
class Respells(Protocol):
    """An extra of connectors whose source may call two spellings of a key equal (case, accents, blanks): one record,
    which the ledger goes on calling by the spelling that it saw first."""

    def respells(self, stream: StreamSpec) -> bool:
        """Return whether the stream's keys may be equal without being the same text; False only where that is sure.
        Raises SourceUnavailable, SourceRefused."""
        ...

    def alike(self, id_: str) -> str:
        """A form that all spellings of one key share; others may share it too. Offline, and never to change: the ledger
        keeps it."""
        ...

    def same(self, stream: StreamSpec, doubtful: Mapping[str, Sequence[str]]) -> Mapping[str, str]:
        """Of ids that were read just now, each with the known ones that are alike: the known one that the source finds
        the same record by. An id that the source calls equal to none of them is left out. Raises SourceUnavailable,
        SourceRefused."""
        ...


@runtime_checkable
class Rewords(Protocol):
    """An extra of connectors whose streams are described in words that may be edited, such as a query."""

    def reworded(self, was: Mapping[str, str], now: Mapping[str, str]) -> bool:
        """Return whether these two identities may be the same records under other words: the engine then compares
        records with the ledger before it believes that. Offline."""
        ...


@dataclass(frozen=True, slots=True)
class Discovered:
    """An object of a source, or a field of one: its name in the configuration, what users call it, its type, and what
    else is to be known of it.

    `choices`: every code and what users call it, where the field has a fixed list.
    """

    name: str
    label: str
    type: str
    remark: str = ""
    choices: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class Discovers(Protocol):
    """An extra of connectors that can show what there is to be read."""

    def discover(self, name: str | None) -> Sequence[Discovered]:
        """The objects, or the fields of the one of that name. Raises SourceUnavailable, SourceRefused."""
        ...


@runtime_checkable
class Cautions(Protocol):
    """An extra of a source's options: what works and still deserves a look, said before anything is opened."""

    def cautions(self) -> Iterable[tuple[str, str, str]]:
        """Key, what, cure."""
        ...


@dataclass(frozen=True, slots=True)
class EndOfSupport:
    """A day from which something that the configuration uses is no longer supported by its vendor.

    `what` names it in words ("the paths of api = \"legacy\""), `cure` the key and its value to change to.
    """

    date: date
    what: str
    cure: str


@runtime_checkable
class Ages(Protocol):
    """An extra of a source's options: what of the source's API ends, and when. Offline, from the options alone."""

    def endings(self) -> Sequence[EndOfSupport]:
        """Return every known end of what these options use, however far away: the caller says which are near."""
        ...


@runtime_checkable
class Bookkeeping(Protocol):
    """An extra of a stream's options: fields by which the source keeps book, and which say nothing about the record."""

    def bookkeeping(self) -> frozenset[str]:
        """Key, time of change and the like, in any case of letters. A mapping's rest() leaves them out."""
        ...


@runtime_checkable
class Filters(Protocol):
    """An extra of a stream's options: filters beside `where` that only the source can tell, such as a list's members.

    Each is a field of the record's data. The connector gives it with every record: true where the record passes, false
    where it does not; such a record needs no other data. Whoever passes or no longer passes since the last poll comes
    with `Record.moved`."""

    def filters(self) -> Mapping[str, str]:
        """Return each filter's field (`@list`: an @ and its key) and its setting, an edit of which is one of `where`.
        Offline."""
        ...


FieldType = Literal["boolean", "integer", "decimal", "number", "text", "bits", "date", "time", "list"]
"""`number`: with a fraction; `decimal`: beyond what a number can hold exactly it arrives as text; `bits`: text of the
digits 0 and 1; `date`: 2026-01-31; `time`: 2026-01-31T12:30:00, with `Z` where the zone is known;
`list`: of text, each of the choices if there are any."""


@dataclass(frozen=True, slots=True)
class FieldKind:
    """What values of a field can be as they reach the mapping.

    `choices`: its codes and what users call them (equal where there are no labels); None where any value may come.
    `several`: a value holds several of the choices. `length`: the most characters; None where there is no limit.
    """

    type: FieldType
    choices: Mapping[str, str] | None = None
    several: bool = False
    length: int | None = None


@runtime_checkable
class Describes(Protocol):
    """An extra of connectors that know what a field can hold: `check` then points out a constant it never equals."""

    def describe(self, stream: StreamSpec) -> Mapping[tuple[str, ...], FieldKind]:
        """The kinds of the wanted fields by their path, a child's beginning with its name; a field of which nothing is
        known is left out. Raises SourceUnavailable, SourceRefused."""
        ...


@runtime_checkable
class GivesIds(Protocol):
    """An extra of a connector's type: all ids of its sources are the vendor's, and say nothing of a person. The log
    then shows numbers of any length as they are."""

    vendor_ids: Literal[True]


@runtime_checkable
class ComparesKeys(Protocol):
    """An extra of a connector's type: rules between tables of a stream that no option model can check by itself."""

    def mismatches(self, stream: Mapping[str, Json]) -> Iterable[tuple[tuple[str, ...], str, str]]:
        """Yield the keys that do not fit each other: (path of the key below the stream, what, cure). Offline.

        `stream` is the file's raw table: keys may be unknown or missing, and values of any type, since problems of
        the schema are reported beside these.
        """
        ...


class ConnectorType(Protocol):
    """What the module of a connector offers under the name `CONNECTOR`."""

    name: str
    source_options: type[BaseModel]
    """Keys of `[sources.X]` that only this connector knows."""
    stream_options: type[BaseModel]
    """Keys of `[sources.X.streams.Y]` that only this connector knows."""
    child_options: type[BaseModel]
    """Keys of `[sources.X.streams.Y.children.Z]`."""

    def open(self, source: str, options: BaseModel) -> Connector:
        """Opens the source. Lazy: no network before the first `check`, `read`, `fetch` or `sweep`."""
        ...
