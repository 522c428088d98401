"""Never over the limit, and yet most of it used: with latency, stalls, a kill and a second sender on the same key."""

from __future__ import annotations

from pathlib import Path

from tests.proof.soak import Load, soak


def test_no_429_and_a_window_well_used(tmp_path: Path) -> None:
    """The short form of `python -m tests.long.governor`, which measures; this one leaves room for a busy machine."""
    load = Load(
        window=1.5,
        limit=50,
        batches=250,
        latency=(0.001, 0.035),
        stall=(0.75, 0.01),
        kills=1,
        in_flight=8,
        timeout=2.0,
    )
    result = soak(tmp_path, load)
    assert result.too_many == 0
    assert result.busiest <= load.limit
    assert result.utilisation > 0.25, result.windows
    assert (result.twice, result.missing) == (0, 0)
    assert result.beside["created"] > 0
    assert result.beside.keys() == {"created"}
