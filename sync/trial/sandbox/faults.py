"""Injected faults: their names, and the schedule that picks the next one, from a script first, then by rate."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sync.shared.durations import parse_duration

FaultKind = Literal["ok", "status", "timeout", "reset", "half", "malformed", "not-succeeded", "partly", "refuse"]

KNOWN = """\
  429, 500, 503 ...     that status, nothing created; 503:30 adds Retry-After: 30
  500-after ...         that status, although the leads were created
  timeout-before        no answer, nothing created; timeout-before:5s hangs that long
  timeout-after         no answer, although the leads were created
  reset-before          the connection is reset, nothing created
  reset-after           the connection is reset, although the leads were created
  half                  created, but only half of the answer arrives
  malformed             created, but the answer is a 200 that is not the JSON
  not-succeeded         a 200 with "succeeded": false, nothing created
  not-succeeded-after   a 200 with "succeeded": false, although the leads were created
  partly                the 400 for a batch with an unusable lead, although its other leads were created
  refuse:TEXT           a 400 for each batch with a lead whose JSON contains TEXT
  ok                    no failure (in a script)"""


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """One kind of fault; `created` is True if the leads are stored before it strikes."""

    name: str
    kind: FaultKind
    created: bool = False
    status: int = 200
    seconds: float | None = None
    """For a status: its Retry-After; for a time-out: the time it hangs. None: the default."""
    text: str = ""
    """For `refuse`: the text whose presence in a lead's JSON refuses the batch."""


@dataclass(frozen=True, slots=True)
class Step:
    """One entry of a script; `times` None repeats it for ever."""

    fault: InjectedFault
    times: int | None = 1


@dataclass(frozen=True, slots=True)
class Strike:
    """The fault of one request, and the texts that get a lead of it refused."""

    fault: InjectedFault
    refused: tuple[str, ...] = ()


OK = InjectedFault("ok", "ok", created=True)

_PLAIN: Mapping[str, InjectedFault] = {
    fault.name: fault
    for fault in (
        OK,
        InjectedFault("reset-before", "reset"),
        InjectedFault("reset-after", "reset", created=True),
        InjectedFault("half", "half", created=True),
        InjectedFault("malformed", "malformed", created=True),
        InjectedFault("not-succeeded", "not-succeeded"),
        InjectedFault("not-succeeded-after", "not-succeeded", created=True),
        InjectedFault("partly", "partly", created=True),
    )
}
_STATUS = re.compile(r"(\d{3})(-after)?(?::(\d+))?")
_TIMEOUT = re.compile(r"timeout-(before|after)(?::(.+))?")


def parse_fault(text: str) -> InjectedFault:
    """Parse a fault's name, such as `timeout-after:5s`. Raises ValueError, which lists the known ones."""
    text = text.strip()
    if plain := _PLAIN.get(text):
        return plain
    if match := _STATUS.fullmatch(text):
        status, after, retry = match.groups()
        if not 201 <= int(status) <= 599:
            raise ValueError(f"{status} is not a status that can stand for a failure (201 to 599)")
        return InjectedFault(
            status + (after or ""), "status", bool(after), int(status), float(retry) if retry is not None else None
        )
    if match := _TIMEOUT.fullmatch(text):
        when, hang = match.groups()
        seconds = parse_duration(hang).total_seconds() if hang is not None else None
        return InjectedFault(f"timeout-{when}", "timeout", when == "after", seconds=seconds)
    if text.startswith("refuse:") and len(text) > len("refuse:"):
        return InjectedFault("refuse", "refuse", text=text.removeprefix("refuse:"))
    raise ValueError(f"{text!r} is no known failure; known are:\n{KNOWN}")


def parse_rate(text: str) -> tuple[str, float]:
    """Parse `429=0.05` into (`429`, 0.05); `refuse:TEXT` alone has the rate 1. Raises ValueError."""
    name, _, rate = text.rpartition("=")
    if name and _is_rate(rate):
        return name.strip(), float(rate)
    if text.startswith("refuse:"):
        return text, 1.0
    raise ValueError(f"{text!r} needs a rate from 0 to 1, such as 429=0.05")


def parse_script(script: str | Iterable[str]) -> list[Step]:
    """Parse `"ok,timeout-after,429*3,ok*"`, a list of such entries, or that list as JSON.

    `*` without a number repeats for ever and is allowed on the last entry only. Raises ValueError.
    """
    entries = _entries(script) if isinstance(script, str) else list(script)
    steps = [_step(entry.strip()) for entry in entries if entry.strip()]
    if any(step.times is None for step in steps[:-1]):
        raise ValueError("an entry that repeats for ever (such as ok*) must be the script's last")
    return steps


def _entries(script: str) -> list[str]:
    if not script.lstrip().startswith("["):
        return script.split(",")
    try:
        entries = json.loads(script)
    except ValueError as error:
        raise ValueError(f"the script starts like a JSON list, but is none: {error}") from None
    if not all(isinstance(entry, str) for entry in entries):
        raise ValueError("a script's entries must be texts")
    return list(entries)


def _step(entry: str) -> Step:
    name, star, times = entry.rpartition("*")
    if star and not times:
        return Step(parse_fault(name), None)
    if star and times.isdecimal():
        return Step(parse_fault(name), int(times))
    return Step(parse_fault(entry))


def _is_rate(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False


class FaultSchedule:
    """Picks the fault of each request in order of arrival; the same seed yields the same sequence.

    The script comes first; once it is used up, the rates decide. `refuse:TEXT` with a rate applies beside both.
    Raises ValueError for unknown names, and for rates that add up to more than 1.
    """

    def __init__(
        self, rates: Mapping[str, float] | None = None, script: str | Sequence[str] = (), seed: int | None = None
    ) -> None:
        rated = [(parse_fault(name), rate) for name, rate in (rates or {}).items()]
        if any(not 0 <= rate <= 1 for _, rate in rated):
            raise ValueError("a rate must be from 0 to 1")
        self._refusals = [(fault.text, rate) for fault, rate in rated if fault.kind == "refuse"]
        self._rates = [(fault, rate) for fault, rate in rated if fault.kind != "refuse"]
        if sum(rate for _, rate in self._rates) > 1 + 1e-9:  # ten times 0.1 is a little more than 1
            raise ValueError("the rates add up to more than 1")
        self._script = _unrolled(parse_script(script))
        self._random = random.Random(seed)  # noqa: S311 (repeatable chance, no secret)

    def next(self) -> Strike:
        """Return the fault of the next request, and advance."""
        fault = next(self._script, None) or self._by_rate()
        refused = tuple(text for text, rate in self._refusals if rate >= 1 or self._random.random() < rate)
        if fault.kind == "refuse":
            return Strike(OK, (*refused, fault.text))
        return Strike(fault, refused)

    def _by_rate(self) -> InjectedFault:
        if not self._rates:
            return OK
        drawn = self._random.random()
        for fault, rate in self._rates:
            drawn -= rate
            if drawn < 0:
                return fault
        return OK


def _unrolled(steps: Sequence[Step]) -> Iterator[InjectedFault]:
    for step in steps:
        if step.times is None:
            while True:
                yield step.fault
        for _ in range(step.times):
            yield step.fault
