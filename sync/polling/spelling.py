"""One record, one id: what a source spells anew goes on under the id that the ledger has for it.

Case, accents or blanks of a key may change without the row becoming another one, if the source calls both spellings
equal. That is asked of the source itself; the ledger only finds what is worth asking about.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

import orjson

from connectors.interface import Connector, Respells, StreamSpec
from state.ledger import Ledger
from state.rows import LaneMove
from sync.polling.heirs_and_losers import link_of
from sync.polling.job import ALIKE_LANE, StreamJob
from sync.shared.words import Record, Touch


class Spelling:
    """Of one stream, for one poll. Costs nothing where the source's keys have one spelling."""

    def __init__(self, ledger: Ledger, job: StreamJob, connector: Connector) -> None:
        self._ledger = ledger
        self._job = job
        self._connector = connector
        self._respells: bool | None = None

    @property
    def alike(self) -> Callable[[str], str] | None:
        """What new records are noted with, so that other spellings of their ids are found; None where there are none.
        Known once records were read."""
        return self._connector.alike if self._respells and isinstance(self._connector, Respells) else None

    def known(self, records: Iterable[Record]) -> list[Record]:
        """These records under the ids that the ledger has for them. Raises SourceUnavailable, SourceRefused."""
        read = list(records)
        names = self.names(record.id for record in read)
        return [replace(record, id=names[record.id]) if record.id in names else record for record in read]

    def names(self, ids: Iterable[str]) -> Mapping[str, str]:
        """The ledger's id for each of these that it knows under another spelling. Raises SourceUnavailable,
        SourceRefused."""
        if not isinstance(self._connector, Respells) or not self._is_needed(self._connector):
            return {}
        return names_of(self._ledger, self._connector, self._job.spec, self._job.row.id, ids)

    def fetch(self, ids: Sequence[str]) -> list[Record]:
        """The records of these ids as they are now, each once; what is gone is left out."""
        return one_each(self.known(self._connector.fetch(self._job.spec, ids))) if ids else []

    def parents(self, touched: Sequence[Touch]) -> list[Record]:
        """The records that changed children belong to now and belonged to when last read."""
        if not touched:
            return []
        links = [replace(touch, id=self.link(touch.id)) for touch in touched]
        return self.fetch(self._ledger.records.parents_of(self._job.row.id, [*touched, *links]))

    def link(self, child: str) -> str:
        """By what a child is remembered, however its key is spelled. A form that others share too re-reads a parent too
        many, nothing else."""
        return link_of(self._connector, child)

    def _is_needed(self, connector: Respells) -> bool:
        """Asked once. What the ledger knew before can then be found by other spellings too."""
        if self._respells is None:
            self._respells = connector.respells(self._job.spec)
            noted = ALIKE_LANE in self._ledger.streams.lanes(self._job.row.id)
            if self._respells and not noted:
                self._note_all(connector.alike)
            elif noted and not self._respells:
                # what comes from now on is not noted
                self._ledger.streams.move(self._job.row.id, LaneMove(ALIKE_LANE, None))
        return self._respells

    def _note_all(self, alike: Callable[[str], str]) -> None:
        stream, after = self._job.row.id, self._ledger.records.note_alike(self._job.row.id, alike, 0)
        while after is not None:
            after = self._ledger.records.note_alike(stream, alike, after)
        self._ledger.streams.move(stream, LaneMove(ALIKE_LANE, {"noted": True}))


def names_of(
    ledger: Ledger, connector: Connector, spec: StreamSpec, stream: int, ids: Iterable[str]
) -> Mapping[str, str]:
    """The ledger's id for each of these that it knows under another spelling, as far as it noted how its records are
    found by them. Raises SourceUnavailable, SourceRefused."""
    if not isinstance(connector, Respells):
        return {}
    forms = {id_: connector.alike(id_) for id_ in ids}
    doubtful = _doubtful(forms, ledger.records.alike(stream, dict.fromkeys(forms.values())))
    return connector.same(spec, doubtful) if doubtful else {}


def _doubtful(forms: Mapping[str, str], known: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The ids that the ledger does not know, each with those that may be the same: known ones, or the first of the new
    ones where several are alike."""
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
            before = before or [id_]
    return doubtful


def one_each(records: Iterable[Record]) -> list[Record]:
    """Each id once. Where a source shows several rows under one key, it is always the same one of them: the latest, or
    the greatest by its values. A tombstone and what is there again count in their order."""
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
        data = b""
    return record.rank, data
