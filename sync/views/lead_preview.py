"""Preview: records of a source, read and mapped to leads. Writes and sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Literal

import orjson
from pydantic import Field, PlainSerializer

from connectors.interface import Connector, StreamSpec
from state.diagram import State, Version
from state.ledger import Ledger
from state.matching.terms import Terms
from state.matching.twins import Twins
from state.rows import LeftOut, Origin, Reading, Stored
from sync.config.mappings import compile_all
from sync.config.schema import Config, Stream
from sync.engine.ledger_opening import open_ledger, refuse_lost
from sync.engine.stream_specs import open_source, stream_specs
from sync.mapping.compile import LeadMapping
from sync.mapping.result import Filtered, Lead, Note, Unfit
from sync.mapping.wire_fields import encode, without_contacts
from sync.polling.intake import nested_of, origin_among, without_children
from sync.polling.judge import contacts_of, hashed
from sync.polling.spelling import link_of, names_of
from sync.shared.errors import SyncError
from sync.shared.words import Json, Record
from sync.views.json_form import HIDDEN, TextOrNull

LOOKED_AT = 1000
"""The most records that a preview reads if hardly any of them becomes a lead."""
_PAGE = 100

PreviewFate = Literal["lead", "filtered", "unfit", "unusable", "deleted"]


@dataclass(frozen=True, slots=True)
class KnownRecord:
    """A record as the ledger has it. `lead_exists`: no, maybe, yes; `drift`: it changed since its lead was created."""

    state: State
    lead_exists: str
    drift: bool


@dataclass(frozen=True, slots=True)
class Foreseen:
    """The state that a record would get instead of being sent, and why; holds no value of a record."""

    state: State
    because: str
    left_out: Annotated[tuple[LeftOut, ...], HIDDEN] = ()
    """The contacts that the lead would be sent without."""


@dataclass(frozen=True, slots=True)
class Specimen:
    """One record and what the mapping makes of it.

    `document` is the lead as it goes over the wire, without the labels that are added on sending; `size` its bytes.
    `known` is None where the ledger does not have the record. `where` holds what the mapping's `where` read, as (path,
    value), for a filtered record or a failed `where`. `skipped` counts contacts that the `where` of their table left
    out. `origin` says which records it was merged or converted from. `lost` are mapped fields of whose values not one
    could be used, each with the reason.
    """

    id: str
    modified: str | None
    fate: PreviewFate
    document: Annotated[dict[str, Json] | None, Field(serialization_alias="lead")] = None
    size: Annotated[int, Field(serialization_alias="bytes")] = 0
    where: Annotated[tuple[tuple[str, Json], ...], PlainSerializer(dict)] = ()
    skipped: Annotated[int, Field(serialization_alias="contacts_skipped")] = 0
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    known: KnownRecord | None = None
    foreseen: Foreseen | None = None
    origin: Annotated[Origin | None, HIDDEN] = None
    lost: Annotated[tuple[tuple[str, str], ...], HIDDEN] = ()


@dataclass(frozen=True, slots=True)
class MappedField:
    """A mapped field: its path on the wire, the expression, and the key in the mapping's table."""

    wire: str
    expression: str
    key: str


@dataclass(frozen=True, slots=True)
class StreamPreview:
    """A stream's mapping and the `specimens`: all records that were looked at.

    `more`: reading stopped before enough leads were found, and there may be more records. `ledger` says that there is
    no ledger yet, or why it could not be read; else it is empty.
    """

    stream: str
    workspace: str
    start: str
    kind: str
    label: str | None
    ledger: TextOrNull
    fields: Sequence[MappedField]
    missing: Sequence[str]
    looked_at: int
    more: bool
    specimens: Annotated[Sequence[Specimen], Field(serialization_alias="records")]


@dataclass(frozen=True, slots=True)
class Choice:
    """The records to show: these `ids`, or those of a first poll until `most` of them became leads."""

    ids: Sequence[str] = ()
    most: int = 5

    @property
    def bound(self) -> int:
        """Return the most records that are read to find them."""
        return max(LOOKED_AT, 2 * self.most)


def preview_streams(config: Config, names: Sequence[str], choice: Choice) -> Iterator[StreamPreview]:
    """Yield the preview of each of these streams (`source.stream`), as it is read.

    Raises ConfigError, SourceUnavailable, SourceRefused.
    """
    mappings = compile_all(config)
    specs = stream_specs(config, mappings)
    with _ledger_of(config) as (ledger, said):
        for name in names:
            connector = open_source(config, name.split(".", 1)[0])
            try:
                look = partial(_specimen, mapping=mappings[name], prepare=_prepared(ledger, connector, name))
                read, more = _specimens(connector, specs[name], look, choice)
                # while the connector is open: it may have to ask the source how keys compare
                bare = _under_known_ids(ledger, connector, specs[name], read)
            finally:
                connector.close()
            known = _known(ledger, name, bare)
            specimens = [replace(each, known=_as_known(known.get(each.id))) for each in bare]
            if ledger:
                specimens = _matched(ledger, _terms(ledger, config, name), mappings[name], known, specimens)
            found = {specimen.id for specimen in (*read, *bare)}
            missing = [each for each in choice.ids if each not in found]
            yield _preview(config, name, mappings[name], specimens=specimens, missing=missing, said=said, more=more)


def _preview(
    config: Config,
    name: str,
    mapping: LeadMapping,
    *,
    specimens: list[Specimen],
    missing: list[str],
    said: str,
    more: bool,
) -> StreamPreview:
    stream = _stream(config, name)
    workspace = config.workspace_of(stream)
    return StreamPreview(
        stream=name,
        workspace=workspace,
        start=str(stream.start),
        kind=stream.lead.kind,
        label=config.workspaces[workspace].label,
        ledger=said,
        fields=[MappedField(*each) for each in mapping.explain()],
        missing=missing,
        looked_at=len(specimens),
        more=more,
        specimens=specimens,
    )


def _stream(config: Config, name: str) -> Stream:
    source, stream = name.split(".", 1)
    return config.sources[source].streams[stream]


def _specimens(
    connector: Connector, spec: StreamSpec, look: Callable[[Record], Specimen], choice: Choice
) -> tuple[list[Specimen], bool]:
    """Map the records in the order they are read; also return whether reading stopped before enough leads were found. A
    record that a later page brings again counts as that page has it."""
    if choice.ids:
        return [look(record) for record in connector.fetch(spec, choice.ids)], False
    # whole pages are read, so a small page spares the source what is not shown
    size = min(spec.page_size, max(_PAGE, choice.most))
    # an empty cursor: what a first poll would read
    pages = connector.read(replace(spec, page_size=size), {})
    found: dict[str, Specimen] = {}
    leads: set[str] = set()
    for record in (record for page in pages for record in page.records):
        found[record.id] = specimen = look(record)
        # counted by id: a record that comes twice is one lead, or none if it changed meanwhile
        (leads.add if specimen.fate == "lead" else leads.discard)(record.id)
        if len(leads) == choice.most or len(found) == choice.bound:
            break
    return list(found.values()), len(leads) < choice.most and len(found) == choice.bound


def _under_known_ids(
    ledger: Ledger | None, connector: Connector, spec: StreamSpec, records: list[Specimen]
) -> list[Specimen]:
    """Return the specimens under the ids that the ledger uses: a key may be spelled differently by now."""
    row = ledger.streams.all().get(f"{spec.source}.{spec.name}") if ledger else None
    if ledger is None or row is None:
        return records
    names = names_of(ledger, connector, spec, row.id, [record.id for record in records])
    return [replace(record, id=names.get(record.id, record.id)) for record in records]


@contextmanager
def _ledger_of(config: Config) -> Iterator[tuple[Ledger | None, str]]:
    """Open the ledger if there is one that can be read, else yield None and why; a preview works without."""
    said, ledger = "", None
    try:
        # a lost ledger is reported like one that cannot be read: a preview goes on without it
        refuse_lost(config)
        if config.ledger_path.exists():
            ledger = open_ledger(config)
        else:
            said = "there is no ledger yet"
    except SyncError as error:
        said = f"the ledger is left out: {error.message}"
    with ledger or nullcontext():
        yield ledger, said


def _known(ledger: Ledger | None, name: str, records: Sequence[Specimen]) -> dict[str, Stored]:
    row = ledger.streams.all().get(name) if ledger else None
    if ledger is None or row is None:
        return {}
    return ledger.records.look_up(row.id, [record.id for record in records])


def _matched(
    ledger: Ledger, terms: Terms, mapping: LeadMapping, known: Mapping[str, Stored], specimens: list[Specimen]
) -> list[Specimen]:
    """Add to each lead that would not be sent, or not whole, why."""
    leads = {
        each.id: (each.document, each.origin)
        for each in specimens
        if each.document is not None and _is_open(known.get(each.id))
    }
    found = _foresee(ledger, terms, mapping, leads, known)
    return [_as_foreseen(each, found[each.id]) if each.id in found else each for each in specimens]


def _foresee(
    ledger: Ledger,
    terms: Terms,
    mapping: LeadMapping,
    leads: Mapping[str, tuple[Mapping[str, Json], Origin | None]],
    known: Mapping[str, Stored],
) -> dict[str, Foreseen]:
    """Return, by record id, the leads that would not be sent, or not with all their contacts. Writes nothing.

    `leads` maps a record's id to its document and its origin.
    """
    readings = [
        replace(_reading(ledger, mapping, id_, document), origin=origin) for id_, (document, origin) in leads.items()
    ]
    changes = Twins(ledger.file, ledger.hasher).foresee(terms, readings, known)
    return {
        id_: Foreseen(change.state, _because(change.reading.reason), change.left_out or ())
        for id_, change in changes.items()
        if change.state != "pending" or change.left_out
    }


def _reading(ledger: Ledger, mapping: LeadMapping, id_: str, document: Mapping[str, Json]) -> Reading:
    values = hashed(mapping.identities(document), ledger.hasher)
    contacts = contacts_of(document, mapping, ledger.hasher) if mapping.nests else None
    # a stand-in: twins are found by values and contacts alone
    version = Version("eligible", None, 0, None, None)
    return Reading(id_, version, values=values, contacts=contacts, needs_contacts=mapping.needs_contacts)


def _because(reason: str | None) -> str:
    (note,) = orjson.loads(reason or "[{}]")
    return f"{note.get('field', '')} {note.get('rule', '')}".strip()


def _as_foreseen(specimen: Specimen, foreseen: Foreseen) -> Specimen:
    """Return the specimen with its lead as it would be sent, without the contacts that would be left out."""
    if foreseen.state != "pending" or specimen.document is None:
        return replace(specimen, foreseen=foreseen)
    # encoded again, so that `size` is what would be sent
    wire = without_contacts(encode(specimen.document), {each.place for each in foreseen.left_out})
    said = tuple(f"a contact is left out: its {each.kind} {each.rule}" for each in foreseen.left_out)
    return replace(specimen, document=orjson.loads(wire), size=len(wire), warnings=(*specimen.warnings, *said))


def _is_open(stored: Stored | None) -> bool:
    """Return whether the record may still be sent as a new lead."""
    return stored is None or (stored.lead_exists == "no" and stored.state not in {"ignored", "forgotten"})


def _terms(ledger: Ledger, config: Config, name: str) -> Terms:
    """Return `match_on` as the file has it now, which the ledger need not know yet."""
    row, stream = ledger.streams.all().get(name), _stream(config, name)
    return Terms(row.id if row else 0, name, config.workspace_of(stream), frozenset(stream.match_on))


def _as_known(stored: Stored | None) -> KnownRecord | None:
    return KnownRecord(stored.state, stored.lead_exists, stored.drift) if stored else None


Prepare = Callable[[Record], tuple[Record, Origin | None]]
"""Turns a record into the one that is mapped, with its origin if it was merged or converted."""


def _prepared(ledger: Ledger | None, connector: Connector, name: str) -> Prepare:
    """Return a function that leaves out children whose former record has a lead, as a poll does."""
    row = ledger.streams.all().get(name) if ledger else None

    def prepare(record: Record) -> tuple[Record, Origin | None]:
        # without a ledger nobody knows which former records have leads
        if ledger is None or row is None or not record.former:
            return record, None
        link = partial(link_of, connector)
        seen = ledger.heirs.seen(row.id, nested_of([record], link))
        bare = without_children(record, seen.left_out, link)
        return bare, origin_among(record, seen, bare)

    return prepare


def _specimen(read: Record, mapping: LeadMapping, prepare: Prepare) -> Specimen:
    record, origin = prepare(read)
    bare = Specimen(record.id, record.modified, "deleted", origin=origin)
    if record.deleted:
        return bare
    if record.problem:
        return replace(bare, fate="unusable", problems=(record.problem,))
    match mapping.apply(record.data):
        case Filtered():
            return replace(bare, fate="filtered", where=tuple(mapping.read_by_where(record.data)))
        case Unfit(problems=problems):
            # what `where` read helps only if `where` is what failed
            where = tuple(mapping.read_by_where(record.data)) if any(each.field == "where" for each in problems) else ()
            return replace(bare, fate="unfit", problems=_said(problems), where=where)
        case Lead(wire=wire, warnings=warnings, document=document, skipped=skipped, lost=lost):
            whole = replace(bare, fate="lead", document=document, size=len(wire), skipped=skipped, lost=lost)
            return replace(whole, warnings=_said(warnings))


def _said(notes: Sequence[Note]) -> tuple[str, ...]:
    return tuple(str(note) for note in notes)
