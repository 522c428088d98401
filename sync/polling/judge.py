"""Decides what becomes of one reading of one record. Pure: no clock, no ledger, no source."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from state.diagram import ON_THE_WIRE, State, Version, same_content, settle
from state.rows import Decision, OnChange, Reading, Stored
from sync.shared.words import is_number

_TIME = re.compile(r"\d{4}-\d\d-\d\dT", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the stream's table says of records seen for the first time and of changed ones.

    `since`: a record whose own modified time is earlier (or unknown) is `ignored` until it changes.
    `began`: the stream starts `now`, and this is its T0; while its first full scan is not over (`baseline`), a record
    not modified after T0 was there before, so it becomes `known`; likewise one whose time is `ahead` of the source's
    present, which no clock but a wrong one (or zone) has written.
    """

    on_change: OnChange
    since: str | None = None
    began: str | None = None
    baseline: bool = False
    ahead: str | None = None


def judge(reading: Reading, stored: Stored | None, rules: Rules) -> Decision | None:
    """The change to write, or None where the ledger says it all already."""
    if stored is None:
        return _first_time(reading, rules)
    latest = reading.version
    if _same(stored.latest, latest) and (stored.again is None or not reading.mapped):
        # what came to be judged again since it was read waits for the stream's next turn
        return None
    if stored.state in ON_THE_WIRE:
        return Decision(
            reading,
            stored.state,
            stored.lead_exists,
            stored.base,
            stored.base_batch,
            drift=stored.drift,
            batch=_KEEP_BATCH,
        )
    if not reading.moved and _stays_left_out(stored, latest, rules):
        state: State = "forgotten" if stored.state == "forgotten" else "ignored"
        return Decision(reading, state, "yes" if stored.lead_exists == "yes" else "no", stored.base, stored.base_batch)
    if not reading.moved and _was_there_before(stored, latest, rules):
        return Decision(reading, "known", "yes", base=latest)
    return _judged_again(reading, stored, rules)


def _stays_left_out(stored: Stored, latest: Version, rules: Rules) -> bool:
    """Whether the stream's start or a person's word leaves this record out, and nothing but its date or the mapping
    changed since."""
    if stored.again is not None or _changed_at_source(stored.latest, latest):
        return False
    if stored.state in {"ignored", "forgotten"}:
        return True
    would_be_a_lead = stored.state == "filtered" and stored.lead_exists == "no" and latest.fit in {"eligible", "unfit"}
    return would_be_a_lead and rules.since is not None and is_before(latest.modified, rules.since)


def _was_there_before(stored: Stored, latest: Version, rules: Rules) -> bool:
    """A record that `where` left out when the stream started `now`, and that only an edit of the mapping lets in."""
    would_be_a_lead = stored.state == "filtered" and stored.lead_exists == "no" and latest.fit == "eligible"
    return (
        would_be_a_lead
        and rules.began is not None
        and not _changed_at_source(stored.latest, latest)
        and is_before(latest.modified, rules.began)
    )


def _judged_again(reading: Reading, stored: Stored, rules: Rules) -> Decision:
    exists = stored.lead_exists == "yes"
    settled = settle(
        reading.version,
        lead_exists=exists,
        base=stored.base,
        previous=stored.latest,
        drift=stored.drift,
        on_change=rules.on_change,
        resting=stored.resting,
    )
    state = settled.state
    if stored.again == "send":
        # a person's word, also for a lead that exists; not for one that stands for this very version by now
        wanted = reading.version.fit == "eligible" and (settled.drift or not exists)
        state = "pending" if wanted else state
    elif stored.again is None and _stays_where_it_is(stored, reading.version, rules):
        state = stored.state
    elif stored.state == "held" and state == "pending":
        state = "held"
    return Decision(reading, state, "yes" if exists else "no", settled.base, stored.base_batch, drift=settled.drift)


def _stays_where_it_is(stored: Stored, latest: Version, rules: Rules) -> bool:
    """Touched only: what waits goes on waiting, what the server rejected would be rejected again, a change that is
    listed as drift stays there. A person's word on the lead that was there still holds for it."""
    if not same_content(stored.latest, latest):
        return False
    if stored.state in {"delivered", "known"}:
        return stored.drift
    may_be_sent = stored.approved or rules.on_change == "resend" or stored.lead_exists == "no"
    return stored.state in {"pending", "quarantined", "held"} and may_be_sent


def _first_time(reading: Reading, rules: Rules) -> Decision:
    version = reading.version
    state = settle(version, lead_exists=False).state
    if state in {"pending", "quarantined"} and rules.since is not None and is_before(version.modified, rules.since):
        return Decision(reading, "ignored", "no")
    if rules.baseline and _is_of_the_baseline(version.modified, rules) and state in {"pending", "quarantined"}:
        return Decision(reading, "known", "yes", base=version)
    return Decision(reading, state, "no")


def _is_of_the_baseline(modified: str | None, rules: Rules) -> bool:
    if rules.began is None or is_before(modified, rules.began):
        return True
    return rules.ahead is not None and modified is not None and not is_before(modified, rules.ahead)


def is_before(modified: str | None, point: str) -> bool:
    """Whether a canonical modified value lies before another. Unknown and unreadable ones do; numbers compare as
    numbers."""
    if modified is None:
        return True
    if is_number(point):
        return not is_number(modified) or Decimal(modified) < Decimal(point)
    return _TIME.match(modified) is None or modified < point


def _same(before: Version, now: Version) -> bool:
    return same_content(before, now) and before.modified == now.modified


def _changed_at_source(before: Version, now: Version) -> bool:
    if before.mapping == now.mapping:
        return before.source_fp != now.source_fp
    return before.modified != now.modified


_KEEP_BATCH: Literal["*"] = "*"
"""The record stays in the batch it is in."""
