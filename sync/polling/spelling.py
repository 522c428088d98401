"""One record, one id: a record whose key is spelled differently now keeps the id that the ledger has for it.

Case, accents or blanks of a key may change without the row becoming another one, if the source treats both spellings as
equal. Only the source can tell; the ledger finds the candidates worth asking about.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

import orjson

from connectors.interface import Connector, FetchesInParts, Respells, StreamSpec
from state.ledger import Ledger
from sync.polling.job import StreamJob
from sync.polling.progress import progress_of, save_progress
from sync.shared.words import Record, Touch


class Spelling:
    """The spellings of one stream's ids, for one poll. Costs nothing where the source's keys have one spelling."""

    def __init__(self, ledger: Ledger, job: StreamJob, connector: Connector) -> None:
        self._ledger = ledger
        self._job = job
        self._connector = connector
        self._respells: bool | None = None

    @property
    def alike(self) -> Callable[[str], str] | None:
        """The connector's function from an id to a form that all its spellings share, to be noted with new records.

        None where ids have one spelling. Known only once records were read.
        """
        return self._connector.alike if self._respells and isinstance(self._connector, Respells) else None

    def known(self, records: Iterable[Record]) -> list[Record]:
        """Return these records under the ids that the ledger has for them. Raises SourceUnavailable, SourceRefused."""
        read = list(records)
        names = self.names(record.id for record in read)
        return [replace(record, id=names[record.id]) if record.id in names else record for record in read]

    def names(self, ids: Iterable[str]) -> Mapping[str, str]:
        """Return the ledger's id for each of these ids that it knows under another spelling.

        Raises SourceUnavailable, SourceRefused.
        """
        # nearly all sources: ids are text that is compared exactly
        if not isinstance(self._connector, Respells) or not self._is_needed(self._connector):
            return {}
        return names_of(self._ledger, self._connector, self._job.spec, self._job.row.id, ids)

    def fetch(self, ids: Sequence[str]) -> list[Record]:
        """Return the records of these ids as they are now, each once; those that are gone are left out."""
        return one_each(self.known(self._connector.fetch(self._job.spec, ids))) if ids else []

    def fetch_in_parts(self, ids: Sequence[str]) -> Iterator[list[Record]]:
        """Yield what `fetch` returns, in parts that are not in memory together, where the source can do so."""
        if not ids:
            return
        if isinstance(self._connector, FetchesInParts):
            # no name here keeps a part in memory while the next one is read
            parts = map(self.known, self._connector.fetch_in_parts(self._job.spec, ids))
            yield from filter(None, map(one_each, parts))
        elif found := self.fetch(ids):
            yield found

    def parents(self, touched: Sequence[Touch]) -> Iterator[list[Record]]:
        """Yield, in parts, the records that changed children belong to now, and those they belonged to when last
        read."""
        # the ledger may remember a child by its id or by the form of its spellings: ask by both
        links = [replace(touch, id=self.link(touch.id)) for touch in touched]
        ids = self._ledger.records.parents_of(self._job.row.id, [*touched, *links]) if touched else ()
        return self.fetch_in_parts(ids)

    def link(self, child: str) -> str:
        """Return the form of a child's id by which the ledger remembers it, the same for all spellings.

        If unrelated ids share a form, one parent too many is read again, nothing worse.
        """
        return link_of(self._connector, child)

    def _is_needed(self, connector: Respells) -> bool:
        """Return True if ids may have several spellings; asked once a poll.

        The first time, the forms of all ids that the ledger knows already are noted.
        """
        if self._respells is None:
            self._respells = connector.respells(self._job.spec)
            progress = progress_of(self._ledger, self._job.row.id)
            if self._respells and not progress.has_spellings:
                self._note_all(connector.alike)
            if progress.has_spellings != self._respells:
                # where ids have one spelling now, new ones are not noted: a later change must note all again
                noted = replace(progress, has_spellings=self._respells)
                save_progress(self._ledger, self._job.row.id, progress, noted)
        return self._respells

    def _note_all(self, alike: Callable[[str], str]) -> None:
        stream, after = self._job.row.id, self._ledger.records.note_alike(self._job.row.id, alike, 0)
        while after is not None:
            after = self._ledger.records.note_alike(stream, alike, after)


def link_of(connector: Connector, child: str) -> str:
    """Return the form of a child's id that all of its spellings share; the id itself where it has one spelling."""
    return connector.alike(child) if isinstance(connector, Respells) else child


def names_of(
    ledger: Ledger, connector: Connector, spec: StreamSpec, stream: int, ids: Iterable[str]
) -> Mapping[str, str]:
    """Return the ledger's id for each of these ids that it knows under another spelling, if that spelling was noted.

    Raises SourceUnavailable, SourceRefused.
    """
    if not isinstance(connector, Respells):
        return {}
    forms = {id_: connector.alike(id_) for id_ in ids}
    doubtful = _doubtful(forms, ledger.records.alike(stream, dict.fromkeys(forms.values())))
    # only the source knows its collation
    return connector.same(spec, doubtful) if doubtful else {}


def _doubtful(forms: Mapping[str, str], known: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the ids that the ledger does not know, each with those that may be the same record.

    `forms` maps an id to its form, `known` a form to the ledger's ids. Where several new ids share a form and the
    ledger knows none, they are compared with the first of them.
    """
    exact = {id_ for ids in known.values() for id_ in ids}
    new: defaultdict[str, list[str]] = defaultdict(list)
    for id_, form in forms.items():
        if id_ not in exact:
            new[form].append(id_)
    doubtful: dict[str, list[str]] = {}
    for form, ids in new.items():
        before = list(known.get(form, ()))
        for id_ in ids:
            if before:
                doubtful[id_] = before
            # the first of several new ids that are alike is the one that the others are compared with
            before = before or [id_]
    return doubtful


def one_each(records: Iterable[Record]) -> list[Record]:
    """Return each id once.

    Where a source shows several rows under one key, always the same one is taken, the latest or else the greatest by
    its values: otherwise the record would seem to change at each poll. Of a tombstone and a later row the later counts.
    """
    found: dict[str, Record] = {}
    for record in records:
        before = found.get(record.id)
        if before is None or before.deleted or record.deleted or _rank(before) <= _rank(record):
            found[record.id] = record
    return list(found.values())


def _rank(record: Record) -> tuple[tuple[Decimal, str], bytes]:
    try:
        data = orjson.dumps(record.data, option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONEncodeError, RecursionError):
        data = b""  # not representable as JSON: the mapping refuses it by name later
    return record.rank, data
