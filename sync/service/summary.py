"""One line on how the daemon fares, for `systemctl status`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sync.engine.engine import Engine
from sync.service.liveness import Stall
from sync.service.witness import Witness

_MOST_NAMES = 3


def summary_of(engine: Engine, witness: Witness, stalls: Sequence[Stall], in_doubt: int) -> str:
    """What is wrong first, then what is done. Names of the configuration and counts, nothing else."""
    return "; ".join([*_wrong(engine, witness, stalls, in_doubt), _done(engine)])


def _wrong(engine: Engine, witness: Witness, stalls: Sequence[Stall], in_doubt: int) -> Iterator[str]:
    yield from map(str, stalls)
    if witness.parts_refused:
        yield f"the new configuration of {_named(witness.parts_refused)} is refused, its old one in force"
    elif witness.config_refused:
        yield "the new configuration is refused, the old one in force"
    if in_doubt:
        yield f"{in_doubt:,} {'batch' if in_doubt == 1 else 'batches'} in doubt"
    failing = [name for name in engine.streams if witness.stream(name).failures]
    if failing:
        yield f"cannot read {_named(failing)}"
    for name, worker in engine.workers.items():
        if worker.pace.rest:
            yield f"{name} rests ({worker.pace.rest})"


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{', '.join(names[:_MOST_NAMES])}{more}"


def _done(engine: Engine) -> str:
    totals = engine.tally.snapshot()
    reading = [name for name, stream in engine.streams.items() if stream.is_busy]
    doing = (
        f"reading {reading[0]}" if len(reading) == 1 else f"reading {len(reading)} streams" if reading else "waiting"
    )
    if engine.in_flight:
        doing += f", {engine.in_flight} in flight"
    return f"{doing}; {totals['pending']:,} pending, {totals['sent']:,} sent since the start"
