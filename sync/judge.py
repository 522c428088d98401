"""Decides what becomes of one reading of one record. Pure: no clock, no ledger, no source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from state.diagram import ON_THE_WIRE, Version, settle
from state.rows import Change, OnChange, Reading, Stored


@dataclass(frozen=True, slots=True)
class Rules:
    """What the stream's table says of records seen for the first time and of changed ones.

    `since`: a record whose own modified time is earlier (or unknown) is `ignored` until it changes.
    `baseline`: the stream starts `now`, and its first full scan is not over: a record not modified after this point
    was there before, so it becomes `known`.
    """

    on_change: OnChange
    since: str | None = None
    baseline: str | None = None


def judge(reading: Reading, stored: Stored | None, rules: Rules) -> Change | None:
    """The change to write, or None where the ledger says it all already."""
    if stored is None:
        return _first_time(reading, rules)
    latest = reading.version
    if _same(stored.latest, latest):
        return None
    if stored.state in ON_THE_WIRE:
        return Change(
            reading,
            stored.state,
            stored.lead_exists,
            stored.base,
            stored.base_batch,
            drift=stored.drift,
            batch=_KEEP_BATCH,
        )
    if stored.state == "ignored" and not _changed_at_source(stored.latest, latest):
        return Change(reading, "ignored", "no")
    return _judged_again(reading, stored, rules)


def _judged_again(reading: Reading, stored: Stored, rules: Rules) -> Change:
    exists = stored.lead_exists == "yes"
    base = stored.base
    if base is not None and _touched_only(stored.latest, reading.version) and base.source_fp == stored.latest.source_fp:
        # the same content under a newer date: the lead stands for that too
        base = Version(base.fit, reading.version.modified, base.mapping, base.source_fp, base.wire_fp)
    settled = settle(
        reading.version,
        lead_exists=exists,
        base=base,
        previous=stored.latest,
        drift=stored.drift,
        on_change=rules.on_change,
        resting=stored.resting,
    )
    state = settled.state
    if stored.state == "quarantined" and state == "pending" and _touched_only(stored.latest, reading.version):
        state = "quarantined"
    if stored.state == "held" and state == "pending":
        state = "held"
    return Change(reading, state, "yes" if exists else "no", settled.base, stored.base_batch, drift=settled.drift)


def _first_time(reading: Reading, rules: Rules) -> Change:
    version = reading.version
    state = settle(version, lead_exists=False).state
    if state in {"pending", "quarantined"} and rules.since is not None and is_before(version.modified, rules.since):
        return Change(reading, "ignored", "no")
    if (
        state in {"pending", "quarantined"}
        and rules.baseline is not None
        and is_before(version.modified, rules.baseline)
    ):
        return Change(reading, "known", "yes", base=version)
    return Change(reading, state, "no")


def is_before(modified: str | None, point: str) -> bool:
    """Whether a canonical modified value lies before another. Unknown times do; numbers compare as numbers."""
    if modified is None:
        return True
    if modified.isdigit() and point.isdigit():
        return int(modified) < int(point)
    return modified < point


def _same(before: Version, now: Version) -> bool:
    return (
        before.mapping == now.mapping
        and before.source_fp == now.source_fp
        and before.modified == now.modified
        and before.fit == now.fit
    )


def _touched_only(before: Version, now: Version) -> bool:
    """The same content under another modified time."""
    return before.mapping == now.mapping and before.source_fp == now.source_fp and before.fit == now.fit


def _changed_at_source(before: Version, now: Version) -> bool:
    if before.mapping == now.mapping:
        return before.source_fp != now.source_fp
    return before.modified != now.modified


_KEEP_BATCH: Literal["*"] = "*"
"""The record stays in the batch it is in."""
