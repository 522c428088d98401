"""The rejection probe: a good and a bad lead in one request, to see whether a rejected batch is created in part.

The vendor does not document that. `on_rejected = "bisect"` assumes that a rejected batch creates nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from state.rows import Verdict
from sync.config.schema import Wire, Workspace
from sync.mapping.wire_fields import EMPLOYEES, lead_fields
from sync.views.phrases import joined
from sync.views.single_lead import (
    LABEL,
    SentTestLead,
    SingleLead,
    hint_of,
    make_lead,
    outcome_as_json,
    outcome_as_lines,
)

EXIT_CODES: dict[Verdict, int] = {"created": 65, "refused": 75, "rejected": 0, "paused": 77, "in_doubt": 65}
TOO_LONG_BY = 44


@dataclass(frozen=True, slots=True)
class Probe:
    """The leads of a probe, the good one first. `broken` lists the rules that the bad one breaks."""

    good: SingleLead
    bad: SingleLead
    broken: tuple[str, ...]


def make_probe(wire: Wire, at: float) -> Probe:
    """Make a good lead, and a bad one that differs in two values which the vendor's documentation rules out.

    Both values have the right type, so that the server's validation refuses the lead. A wrong type would fail in its
    JSON parser, which refuses the whole request and so proves nothing.
    """
    good, bad = make_lead(wire, at, "good"), make_lead(wire, at, "bad")
    fields = lead_fields(wire)
    name, count = fields["name"], fields["employee_count"]
    length = name.limit + TOO_LONG_BY
    values = {name.name: f"{bad.name} ".ljust(length, "x"), count.name: EMPLOYEES.start - 1}
    broken = (
        f"{count.name} {EMPLOYEES.start - 1} ({EMPLOYEES.start} to {EMPLOYEES[-1]:,} are allowed)",
        f"a {name.name} of {length} characters ({name.limit} are allowed)",
    )
    return Probe(good, replace(bad, document={**bad.document, **values}), broken)


def exit_code(sent: SentTestLead) -> int:
    """Return the exit code of a probe: 0 where its batch was rejected, as it is meant to be."""
    return EXIT_CODES[sent.outcome.verdict]


def what_it_does(probe: Probe, workspace: str, options: Workspace) -> str:
    """Return the text shown before the confirmation."""
    return (
        f"This sends a good and a bad lead in one request to workspace {workspace} at {options.base_url}.\n"
        f"The bad one has {joined(probe.broken)}.\n"
        f'The good one may be created: "{probe.good.name}".'
    )


def probe_as_lines(sent: SentTestLead, probe: Probe, workspace: str) -> list[str]:
    """Return the verdict, what to look for in ClosingDealz now, and what to set in each case."""
    outcome = sent.outcome
    lines = [_HEADS[outcome.verdict], *outcome_as_lines(sent), f"  the bad lead had {joined(probe.broken)}"]
    if hint := hint_of(outcome):
        lines.append(f"  {hint}")
    if outcome.verdict in _THEN:
        lines += ["", f"Look in ClosingDealz for these (label {LABEL}):"]
        lines += [f'  the good one  "{probe.good.name}"', f'  the bad one   "{probe.bad.name} xxx…"']
        lines += [f"{found}: {then}" for found, then in _advice(sent, workspace).items()]
    return lines


def probe_as_json(sent: SentTestLead, probe: Probe, workspace: str, options: Workspace) -> dict[str, Any]:
    """Return the probe as JSON; `then` is empty where nothing was learned."""
    return {
        **outcome_as_json(sent, workspace, options),
        "good": probe.good.document,
        "bad": probe.bad.document,
        "broken": list(probe.broken),
        "then": dict(_advice(sent, workspace)),
        "exit_code": exit_code(sent),
    }


def _advice(sent: SentTestLead, workspace: str) -> Mapping[str, str]:
    """Return what to do, by what is found in ClosingDealz."""
    then = _THEN.get(sent.outcome.verdict, {})
    return {found: text.format(table=f"[workspaces.{workspace}]") for found, text in then.items()}


_HEADS: dict[Verdict, str] = {
    "created": "created: the server took the bad lead too",
    "refused": "refused: nothing was created or learned; try again later",
    "rejected": "rejected, as it was meant to be",
    "paused": "refused: nothing was created or learned, and it needs a person",
    "in_doubt": "in doubt: the server gave no clear answer to a batch with a bad lead",
}
_THEN: dict[Verdict, Mapping[str, str]] = {
    "rejected": {
        "Neither is there": 'a rejected batch creates nothing; leave on_rejected = "bisect" in {table}',
        "The good one is there": "a rejected batch is created in part, and its good leads would be sent twice; "
        'set on_rejected = "hold" in {table}',
    },
    "created": {
        "Both are there": "the server does not enforce its own documentation, so a bad lead is "
        "hardly ever rejected; what a rejected batch creates is still unknown",
        "Only the good one is there": "it drops bad leads without saying so; look at what the mapping sends",
    },
    "in_doubt": {
        "Neither is there": "a batch with a bad lead creates nothing, but its answer does not say so; such batches "
        "stay in doubt until you settle them as absent",
        "The good one is there": "a batch with a bad lead is created in part; such batches stay in doubt until you "
        "settle them lead by lead",
    },
}
