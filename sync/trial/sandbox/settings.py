"""The sandbox's options: set at its start, some of them also while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from sync.config.value_types import is_loopback
from sync.shared.durations import parse_duration
from sync.shared.errors import SyncError
from sync.trial.sandbox.faults import FaultSchedule

Tariff = Literal["basic", "free", "downgraded"]
PLANS: tuple[Tariff, ...] = get_args(Tariff)
CHANGEABLE = ("faults", "script", "seed", "latency", "stall", "hang", "plan")


class SandboxError(SyncError):
    """The sandbox cannot start, or cannot be reached."""

    exit_code = 75


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """The options, checked: the constructor raises ValueError. Durations are seconds.

    `port` 0 picks a free one. `store` None is a temporary file, deleted when the sandbox ends.
    `segments` None is the exact sliding window, a number is ASP.NET's with that many segments, advanced by `heartbeat`.
    `latency` is the (least, greatest) delay each way; `stall` is (length, share of requests) on top of it.
    `hang` is the time a time-out fault holds the connection. `faults` are rates by name; `script` comes before them.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    store: Path | None = None
    keys: tuple[str, ...] = ("sandbox-key",)
    plan: Tariff = "basic"
    limit: int = 100
    per: float = 60.0
    segments: int | None = None
    heartbeat: float = 0.1
    latency: tuple[float, float] = (0.0, 0.0)
    stall: tuple[float, float] = (0.0, 0.0)
    hang: float = 300.0
    faults: Mapping[str, float] = field(default_factory=dict)
    script: str | tuple[str, ...] = ()
    seed: int | None = None

    def __post_init__(self) -> None:
        if not is_loopback(self.host.strip("[]")):
            raise ValueError(f"the sandbox listens on loopback only (127.0.0.1, ::1, localhost), not on {self.host}")
        if not self.keys or not all(self.keys):
            raise ValueError("the sandbox needs at least one API key, and none may be empty")
        if self.plan not in PLANS:
            raise ValueError(f"the plan is one of {', '.join(PLANS)}")
        if self.limit < 1 or self.per <= 0 or self.heartbeat <= 0 or (self.segments is not None and self.segments < 1):
            raise ValueError("limit and segments must be at least 1, per and heartbeat longer than zero")
        low, high = self.latency
        if not 0 <= low <= high:
            raise ValueError("the latency must go from a shorter to a longer duration")
        if not 0 <= self.stall[1] <= 1:
            raise ValueError("the share of stalled requests must be from 0 to 1")
        self.schedule()

    def schedule(self) -> FaultSchedule:
        """Build a schedule of the faults from its beginning. Raises ValueError for wrong names or rates."""
        return FaultSchedule(self.faults, self.script, self.seed)


def parse_latency(text: str) -> tuple[float, float]:
    """Parse `5ms-150ms` into (0.005, 0.15); a single duration is both ends. Raises ValueError."""
    low, _, high = text.partition("-")
    return parse_duration(low).total_seconds(), parse_duration(high or low).total_seconds()


def parse_stall(text: str) -> tuple[float, float]:
    """Parse `3s=0.01` into (3.0, 0.01): one delay in a hundred is 3 seconds longer. Raises ValueError."""
    length, _, share = text.partition("=")
    try:
        return parse_duration(length).total_seconds(), float(share)
    except ValueError:
        raise ValueError("must be a duration and a share, such as 3s=0.01") from None


def parse_seconds(text: str) -> float:
    """Parse a duration into seconds. Raises ValueError."""
    return parse_duration(text).total_seconds()


_PARSED: Mapping[str, Callable[[str], Any]] = {"latency": parse_latency, "stall": parse_stall, "hang": parse_seconds}


def seconds_text(seconds: float) -> str:
    """Format seconds as a duration that `parse_duration` reads back to the microsecond: `0.05s`."""
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


def changed(options: SandboxOptions, document: Any) -> SandboxOptions:
    """Return the options after `POST /_sandbox/faults`: each key of the document replaces one, the others stay.

    Keys: `faults` (rates by name), `script` (text or list), `seed`, `latency`, `stall`, `hang` (texts as on the command
    line), `plan`. Raises ValueError.
    """
    if not isinstance(document, dict):
        raise ValueError(f"must be a JSON object with any of {', '.join(CHANGEABLE)}")
    if unknown := sorted(set(document) - set(CHANGEABLE)):
        raise ValueError(f"does not know {', '.join(unknown)}; it knows {', '.join(CHANGEABLE)}")
    return replace(options, **{name: _changed_value(name, value) for name, value in document.items()})


def _changed_value(name: str, value: Any) -> Any:
    if name in _PARSED:
        if not isinstance(value, str):
            raise ValueError(f"{name} must be text, as on the command line")
        return _PARSED[name](value)
    if name == "script":
        if not isinstance(value, str | list) or not all(isinstance(entry, str) for entry in value):
            raise ValueError("script must be text or a list of texts")
        return value if isinstance(value, str) else tuple(value)
    if name == "faults" and not (isinstance(value, dict) and all(_is_number(rate) for rate in value.values())):
        raise ValueError('faults must be rates by name, such as {"429": 0.05}')
    if name == "seed" and not (value is None or (isinstance(value, int) and not isinstance(value, bool))):
        raise ValueError("seed must be a whole number")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def shown(options: SandboxOptions) -> dict[str, Any]:
    """Return the options that can be changed while it runs, in the form that `changed` takes."""
    low, high = options.latency
    return {
        "faults": dict(options.faults),
        "script": options.script if isinstance(options.script, str) else list(options.script),
        "seed": options.seed,
        "latency": f"{seconds_text(low)}-{seconds_text(high)}",
        "stall": f"{seconds_text(options.stall[0])}={options.stall[1]}",
        "hang": seconds_text(options.hang),
        "plan": options.plan,
    }
