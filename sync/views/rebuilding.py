"""The result of `ledger rebuild` as text and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from state.rebuilding.rebuild import Rebuilt
from sync.views.phrases import count, joined, number


def rebuilt_as_json(done: Rebuilt) -> dict[str, Any]:
    """Return the result as JSON; all keys are always there."""
    return {
        "is_new": done.is_new,
        "kept": str(done.kept) if done.kept else None,
        "streams": list(done.streams),
        "batches": done.batches,
        "remembered": dict(done.remembered),
        "told": asdict(done.told),
        "damaged": done.damaged,
        "beginning_lost": done.is_tail,
    }


def rebuilt_as_lines(done: Rebuilt, program: str) -> list[str]:
    """Return what was made, what it holds now, and what comes next."""
    lines = [_made(done)]
    lines.append(f"streams     {joined(done.streams) if done.streams else 'none'}")
    lines.append(f"batches     {number(done.batches)} that it did not know")
    unsent = {state: n for state, n in asdict(done.told).items() if n}
    if unsent:
        lines.append(f"records     {_figures(unsent)}: it took them for unsent")
    if done.remembered:
        lines.append(f"remembered  {_figures(done.remembered)}: recognised when their source shows them again")
    if done.damaged:
        lines.append(
            f"lost        what stood in {count(done.damaged, 'damaged line')}: leads of theirs may be sent again"
        )
    if done.is_tail:
        lines.append("lost        what was sent before these receipts begin: it may be sent again")
    sent = "what is remembered here" if done.damaged or done.is_tail else "what was sent"
    return [
        *lines,
        "",
        f"The next poll reads each stream; {sent} is not sent again, and an unusual number of new leads is held.",
        f"Next: {program} once, then {program} status",
    ]


def _made(done: Rebuilt) -> str:
    if not done.is_new:
        return f"the ledger was brought up to its receipts; as it was before it is kept as {done.kept}"
    kept = f"; the one that could not be read is kept as {done.kept}" if done.kept else ""
    return f"a new ledger was made from the receipts{kept}"


def _figures(counts: Any) -> str:
    return joined(f"{number(n)} {state.replace('_', ' ')}" for state, n in counts.items())
