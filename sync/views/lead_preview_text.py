"""A preview as text: where each field comes from, the leads, and what happened to the other records."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import click

from sync.shared.words import Json
from sync.views.lead_preview import Specimen, StreamPreview
from sync.views.phrases import count, json_lines, printable


def preview_as_lines(preview: StreamPreview, most: int, *, by_id: bool) -> Iterator[str]:
    """Yield the fields, then the records: all of them `by_id`, else the leads and at most `most` broken ones."""
    yield click.style(f"{preview.stream} -> workspace {preview.workspace}", bold=True)
    yield from (f"  {line}" for line in _remarks(preview))
    yield ""
    width = max(len(each.wire) for each in preview.fields)
    yield "  where each field comes from"
    yield from (f"    {each.wire:<{width}}  {each.expression}" for each in preview.fields)
    for specimen in preview.specimens if by_id else _worth_showing(preview, most):
        yield ""
        yield from (f"  {line}" for line in _specimen_lines(specimen, preview))
    yield ""
    if not by_id and (lines := [*_rest(preview, most)]):
        yield from (f"  {line}" for line in lines)
        yield ""


def _worth_showing(preview: StreamPreview, most: int) -> Iterator[Specimen]:
    """Yield the leads, and at most `most` records that cannot become one; the rest is only counted."""
    yield from (each for each in preview.specimens if each.fate == "lead")
    yield from [each for each in preview.specimens if each.fate in _BROKEN][:most]


def _rest(preview: StreamPreview, most: int) -> Iterator[str]:
    """Yield a line for each kind of record that was read and is not shown."""
    of = {fate: [each for each in preview.specimens if each.fate == fate] for fate in ("filtered", "deleted", "lead")}
    if filtered := of["filtered"]:
        first = f"; for example {printable(filtered[0].id)}: {_condition(filtered[0])}" if filtered[0].where else ""
        yield f"{count(len(filtered), 'record')} skipped by `where`{first}"
    if of["deleted"]:
        yield f"{count(len(of['deleted']), 'record')} deleted at the source"
    broken = sum(each.fate in _BROKEN for each in preview.specimens)
    if broken > most:
        yield f"{count(broken - most, 'more record')} cannot become a lead"
    yield from _lost_everywhere(of["lead"])
    if len(of["lead"]) < len(preview.specimens):
        end = "; there are more records" if preview.more else ""
        yield f"{count(len(of['lead']), 'lead')} of {count(len(preview.specimens), 'record')} looked at{end}"


def _lost_everywhere(leads: Sequence[Specimen]) -> Iterator[str]:
    """Yield a line for each mapped field that could not be filled in any of several leads."""
    if len(leads) < _SEVERAL:
        return
    for field, rule in leads[0].lost:
        if all(field in dict(each.lost) for each in leads):
            text = f"{field}: none of the source's values can be used in any of these {len(leads)} leads ({rule})"
            yield click.style(text, fg="yellow")


_SEVERAL = 2
_BROKEN = ("unfit", "unusable")


def _remarks(preview: StreamPreview) -> Iterator[str]:
    if preview.start == "now":
        yield 'start = "now": records that are there at the first poll are not sent, only what changes later'
    elif preview.start != "all":
        yield f"start = {preview.start}: records last changed before that day are not sent until they change"
    if preview.label:
        yield f'each lead also gets the label "{preview.label}" when it is sent'
    if preview.ledger:
        yield preview.ledger
    if not preview.specimens and not preview.missing:
        yield "the source has no records to show"
    for missing in preview.missing:
        yield f"the source has no record {printable(missing)}"


def _specimen_lines(specimen: Specimen, preview: StreamPreview) -> Iterator[str]:
    modified = f", modified {specimen.modified}" if specimen.modified else ""
    yield click.style(f"record {printable(specimen.id)}", bold=True) + modified + _known(specimen, preview)
    yield from _fate(specimen, preview.kind)
    yield from (click.style(f"refused: {problem}", fg="red") for problem in specimen.problems)
    if specimen.where and specimen.fate == "unfit":
        yield f"`where` read {_values(specimen)}"
    yield from (click.style(f"warning: {warning}", fg="yellow") for warning in specimen.warnings)
    if specimen.skipped:
        yield f"{count(specimen.skipped, 'contact')} skipped by the `where` of their table"
    if specimen.document is not None:
        yield from json_lines(specimen.document)


def _fate(specimen: Specimen, kind: str) -> Iterator[str]:
    match specimen.fate:
        case "lead" if foreseen := specimen.foreseen:
            what = {"duplicate": "is a duplicate", "known": "is known"}.get(foreseen.state, foreseen.state)
            yield click.style(f"{what}, not sent: {printable(foreseen.because)}", fg="yellow")
        case "lead":
            yield click.style(f"becomes this {kind} lead ({specimen.size:,} bytes)", fg="green")
        case "filtered":
            yield f"skipped: {_condition(specimen)}"
        case "deleted":
            yield "is deleted at the source"
        case _:
            yield click.style("cannot become a lead", fg="red")


def _condition(specimen: Specimen) -> str:
    """Return such as: `where` is false (deleted = true, status = 'old')."""
    return f"`where` is false ({_values(specimen)})" if specimen.where else "`where` is false"


def _values(specimen: Specimen) -> str:
    return ", ".join(f"{printable(path)} = {_spelled(value)}" for path, value in specimen.where)


def _spelled(value: Json) -> str:
    """Return a value as a mapping expression spells it, on one line, shortened."""

    try:
        text = f"'{value}'" if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    except RecursionError:
        return "nested too deeply to be shown"
    return printable(text, _LONGEST_VALUE)


_LONGEST_VALUE = 60


def _known(specimen: Specimen, preview: StreamPreview) -> str:
    known = specimen.known
    if known is None:
        return "" if preview.ledger else ", new to the ledger"
    exists = {"yes": "its lead exists", "maybe": "its lead may exist", "no": "no lead yet"}[known.lead_exists]
    drift = ", changed since" if known.drift else ""
    return f", {known.state.replace('_', ' ')} in the ledger ({exists}{drift})"
