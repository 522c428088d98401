"""Streams whose query was edited: decide by samples if they still are the records that the ledger knows.

The text of a query cannot tell, so some records are read by id and compared. Equal ids prove nothing, since small
numbers are in every table: what counts is that the records look the same. Each source is compared in a thread of its
own, so that one that hangs delays no other.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from time import monotonic
from typing import Literal

import orjson

from connectors.interface import FetchesInParts, Rewords, StreamSpec
from state.ledger import Ledger
from state.rows import Reading, Sampled
from state.streams import OBJECT, PAST, DeclaredStream, changed_of
from sync.config.schema import Config, Wire
from sync.engine.compiled_config import CompiledConfig, StreamForm
from sync.engine.stream_specs import open_source
from sync.mapping.compile import LeadMapping
from sync.mapping.wire_fields import texts
from sync.polling.judge import read_record
from sync.polling.spelling import names_of
from sync.shared.errors import LedgerUntrusted, SourceRefused, SourceUnavailable, SyncError
from sync.shared.words import Record, is_number

SAMPLE = 100
"""Records that are read and compared."""
LEAST_SHARE = 0.1
"""The share of the sampled records that must be found: an edit may exclude many records, but hardly all."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The result of a comparison: how many records were asked for, how many of them are there, and how many of those
    look the same."""

    stream: str
    verdict: Literal["same", "others", "unknown"]
    asked: int = 0
    found: int = 0
    same: int = 0


def reworded(plan: CompiledConfig, ledger: Ledger) -> list[Evidence]:
    """Return the streams of a plan whose query was edited and that still have the same records, which are read from
    their sources, beside each other.

    Raises LedgerUntrusted if a stream has other records or nobody can tell; SourceUnavailable, SourceRefused;
    Unanswered after PATIENCE.
    """
    edited = [declared.name for declared in plan.declared if is_edited(declared, ledger)]
    comparisons, until = Comparisons(), monotonic() + PATIENCE
    comparisons.begin(plan, edited, ledger)
    found = []
    for name in edited:
        evidence, error = comparisons.answer(name, until)
        if error is not None:
            raise error
        if evidence is not None:
            found.append(evidence)
    return found


def is_edited(declared: DeclaredStream, ledger: Ledger) -> bool:
    """Return True if the ledger knows the stream by another text for the same place, so that only records can tell."""
    row = ledger.streams.all().get(declared.name)
    return row is not None and row.workspace == declared.workspace and changed_of(row, declared) == [OBJECT]


def evidence_of(
    config: Config, spec: StreamSpec, mapping: LeadMapping, declared: DeclaredStream, ledger: Ledger
) -> Evidence | None:
    """Compare a stream with the ledger. Return None if it is new, unedited, or plainly another one. Raises
    SourceUnavailable, SourceRefused."""
    row = ledger.streams.all().get(declared.name)
    if row is None or not is_edited(declared, ledger):
        return None
    connector = open_source(config, spec.source)
    try:
        if not isinstance(connector, Rewords) or not connector.reworded(row.identity, declared.identity):
            return None
        # nothing was read yet, so nothing can be sent twice
        if ledger.records.knows_none(row.id):
            return Evidence(declared.name, "same")
        # fetched by id with the new query, so a record that it excludes is not there
        sampled = ledger.records.sample(row.id, SAMPLE)
        ids, readings = [each.id for each in sampled], list[Reading]()
        parts: Iterable[Sequence[Record]] = ()
        if ids and isinstance(connector, FetchesInParts):
            parts = connector.fetch_in_parts(spec, ids)
        elif ids:
            parts = [connector.fetch(spec, ids)]
        for records in parts:
            # a new query may spell keys differently: compare under the ledger's ids
            names = names_of(ledger, connector, spec, row.id, [record.id for record in records])
            known = (replace(record, id=names.get(record.id, record.id)) for record in records)
            readings += [read_record(record, mapping, 0, ledger.hasher, None).reading for record in known]
    finally:
        connector.close()
    return compared(declared, sampled, readings, config.workspaces[declared.workspace].wire)


def compared(declared: DeclaredStream, sampled: Sequence[Sampled], readings: Sequence[Reading], wire: Wire) -> Evidence:
    """Return the evidence from pairs of records; pure.

    A record looks the same by its values, or by its own modified time if that tells records apart: many of one time may
    have been written together, and a sequence counts in every table.
    """
    now = {reading.id: reading for reading in readings}
    pairs = [(each, now[each.id]) for each in sampled if each.id in now]
    by_values = [_same_values(before, after, declared.mapping_version, wire) for before, after in pairs]
    times = [
        before.modified
        for (before, after), same in zip(pairs, by_values, strict=True)
        if not same and before.modified == after.version.modified and before.modified is not None
    ]
    # sequence numbers are left out: 1, 2, 3 are in every table
    telling = [each for each in times if not is_number(each)]
    same = by_values.count(True) + (len(telling) if len(set(telling)) > 1 else 0)
    counts = {"asked": len(sampled), "found": len(pairs), "same": same}
    # a majority: some records change between two readings in any source
    looks_the_same = same * 2 > len(pairs)
    if looks_the_same and len(pairs) >= LEAST_SHARE * len(sampled):
        return Evidence(declared.name, "same", **counts)
    # values of some records cannot be compared, and times agree: neither proof nor refutation, a person decides
    incomparable = None in by_values and bool(times)
    return Evidence(declared.name, "unknown" if not pairs or looks_the_same or incomparable else "others", **counts)


def _same_values(before: Sampled, after: Reading, version: str, wire: Wire) -> bool | None:
    """Compare everything that the mapping reads, or else the lead's name; None if neither can be compared."""
    fingerprints = before.version.partition(PAST)[0] == version and None not in (
        before.source_fp,
        after.version.source_fp,
    )
    if fingerprints and before.source_fp == after.version.source_fp:
        return True
    if before.payload and after.payload:
        return _name_of(before.payload, wire) == _name_of(after.payload, wire)
    return False if fingerprints else None


def _name_of(payload: bytes, wire: Wire) -> list[str]:
    return texts(orjson.loads(payload), wire, "name")


def refuse(evidence: Evidence) -> None:
    """Raise LedgerUntrusted unless the evidence says that they are the same records."""
    anyway = f"closingdealz-sync ledger rename-stream {evidence.stream} {evidence.stream}, with the daemon stopped"
    counts = (
        f"of {evidence.asked} of its records {evidence.found} are found by their ids,"
        f" and {evidence.same} of those look the same"
    )
    if evidence.verdict == "others":
        raise LedgerUntrusted(
            f"the query of the stream {evidence.stream} was edited and now has other records than the ledger knows:"
            f" {counts}",
            hint="give other records a stream with a new name; if these are the same records after all, "
            f"and must not be sent again: {anyway}",
        )
    if evidence.verdict == "unknown":
        raise LedgerUntrusted(
            f"the query of the stream {evidence.stream} was edited, and nobody can tell whether it has the same records"
            f" as before: {counts}",
            hint="edit only the query and reload, then edit the mapping, so that values can be compared; if you are "
            f"sure that the records are the same: {anyway}",
        )


# ---- at a start and a reload: source beside source


AT_ONCE = 2.0
"""Seconds that a start or a reload waits for all comparisons together, before it goes on with the rest."""
PATIENCE = 60.0
"""Seconds that `once` waits, which has no later, and a start that could begin nothing else."""

Answer = tuple[Evidence | None, SyncError | None]


class Unanswered(SourceUnavailable):
    """A source has not answered yet; the comparison goes on."""

    def __init__(self, stream: str) -> None:
        self.stream_name = stream
        super().__init__(
            f"the query of the stream {stream} was edited, and its source has not answered yet whether it has the same"
            " records",
            hint="a running daemon puts it into force once the source answers; otherwise run `once` "
            "again; find out why the source is so slow",
        )


class Comparisons:
    """Comparisons under way, and their answers.

    They outlive a reload, so that the next one need not ask again; a stream whose form has changed by then is compared
    again.
    """

    def __init__(self) -> None:
        self._asked: dict[str, tuple[StreamForm, Future[Answer]]] = {}
        self._awaited: list[Future[Answer]] = []

    def look_again(self) -> None:
        """Forget which answers were awaited: only those asked for from now on count for `has_news`."""
        self._awaited = []

    def begin(self, plan: CompiledConfig, names: Sequence[str], ledger: Ledger) -> None:
        """Compare these streams, in a thread for each source."""
        forms, fresh = plan.stream_forms(), dict[str, list[tuple[DeclaredStream, Future[Answer]]]]()
        for declared in plan.declared:
            name = declared.name
            # an answer under way is reused, unless the stream's form has changed since
            if name in names and (name not in self._asked or self._asked[name][0] != forms[name]):
                answer: Future[Answer] = Future()
                self._asked[name] = forms[name], answer
                # one thread a source: its streams are compared one after the other, as one connection allows
                fresh.setdefault(name.split(".", 1)[0], []).append((declared, answer))
        for source, asked in fresh.items():
            given = (plan, asked, ledger)
            threading.Thread(target=self._compare, args=given, name=f"compare-{source}", daemon=True).start()

    def answer(self, name: str, until: float) -> Answer:
        """Return the evidence, or the error in its place, at the latest at `until` (monotonic clock). Raises
        LedgerBusy, LedgerError."""
        try:
            return self._asked[name][1].result(max(0.0, until - monotonic()))
        except TimeoutError:
            self._awaited.append(self._asked[name][1])
            return None, Unanswered(name)

    @property
    def has_news(self) -> bool:
        """True if an answer that was awaited has arrived."""
        return any(answer.done() for answer in self._awaited)

    @staticmethod
    def _compare(plan: CompiledConfig, asked: Sequence[tuple[DeclaredStream, Future[Answer]]], ledger: Ledger) -> None:
        for declared, answer in asked:
            try:
                answer.set_result(_compared(plan, declared, ledger))
            except BaseException as error:  # noqa: BLE001 - a thread's boundary: whoever asked raises it
                answer.set_exception(error)


def unanswered(plan: CompiledConfig, ledger: Ledger, *, patiently: bool = False) -> dict[str, Unanswered]:
    """Return the sources of edited queries that do not answer at once, or `patiently` not within PATIENCE, beside each
    other, with the error to tell.

    A start goes on without them. Raises LedgerBusy, LedgerError.
    """
    edited = [declared.name for declared in plan.declared if is_edited(declared, ledger)]
    comparisons, until = Comparisons(), monotonic() + (PATIENCE if patiently else AT_ONCE)
    comparisons.begin(plan, edited, ledger)
    answers = {name: comparisons.answer(name, until)[1] for name in edited}
    return {name.split(".", 1)[0]: error for name, error in answers.items() if isinstance(error, Unanswered)}


def _compared(plan: CompiledConfig, declared: DeclaredStream, ledger: Ledger) -> Answer:
    name = declared.name
    evidence: Evidence | None = None
    try:
        evidence = evidence_of(plan.config, plan.specs[name], plan.mappings[name], declared, ledger)
        if evidence is not None:
            refuse(evidence)
    except (LedgerUntrusted, SourceUnavailable, SourceRefused) as failure:
        return evidence, failure
    return evidence, None
