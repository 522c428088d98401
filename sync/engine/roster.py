"""The parts of a running engine by name, replaced one by one: a changed part ends, then its successor begins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


@dataclass(frozen=True, slots=True)
class Changes:
    """The difference between two plans, as names: `begun` are new or changed, `ended` changed or gone, `kept`
    the same."""

    begun: frozenset[str]
    ended: frozenset[str]
    kept: frozenset[str]

    @classmethod
    def between(cls, old: Mapping[str, object], new: Mapping[str, object]) -> Changes:
        """Compare two plans by the form that each gives a name."""
        kept = frozenset(name for name, form in new.items() if name in old and old[name] == form)
        return cls(frozenset(new) - kept, frozenset(old) - kept, kept)


class EnginePart(Protocol):
    """A stream's or a workspace's worker: it works until it is stopped, and may then still have something under way."""

    @property
    def name(self) -> str: ...

    @property
    def is_over(self) -> bool:
        """True if nothing is under way, once it is stopped."""
        ...

    @property
    def patience(self) -> float:
        """Seconds that its successor waits for its end at the most."""
        ...

    def stop(self) -> None: ...


PartT = TypeVar("PartT", bound=EnginePart)


class Roster(Generic[PartT]):
    """The parts of one kind. Any thread may read it; one thread exchanges parts and asks which are ready."""

    def __init__(self) -> None:
        self.parts: Mapping[str, PartT] = {}
        self.retired: Sequence[PartT] = ()
        """Parts that were stopped and may still have something under way."""
        self._begin_by: dict[str, float] = {}

    def exchange(self, names: Iterable[str], fresh: Mapping[str, PartT], changes: Changes, now: float) -> None:
        """Stop what is ended, and have these names from now on, in their order: `fresh` parts, not begun yet, and those
        that go on. `now` in seconds since boot."""
        ended = [self.parts[name] for name in sorted(changes.ended)]
        for part in ended:
            # all are told before any is waited for
            part.stop()
        self.retired = [*self.retired, *ended]
        waiting = {name: until for name, until in self._begin_by.items() if name in changes.kept}
        # a successor begins at the latest when its predecessor has had all the time it may take
        self._begin_by = {**waiting, **{name: now + self._patience(name) for name in fresh}}
        self.parts = {name: fresh.get(name) or self.parts[name] for name in names}

    def _patience(self, name: str) -> float:
        return max((part.patience for part in self.retired if part.name == name), default=0.0)

    def ready(self, now: float) -> list[PartT]:
        """Return the parts that may begin now, each once: those before them of the same name are over, or were waited
        for long enough."""
        self.retired = [part for part in self.retired if not part.is_over]
        ready = [name for name, until in self._begin_by.items() if now >= until or not self.awaits(name)]
        for name in ready:
            # each comes once: whoever calls starts it
            del self._begin_by[name]
        return [self.parts[name] for name in ready]

    def awaits(self, name: str) -> bool:
        """Return True if a former part of that name still has something under way."""
        return any(part.name == name for part in self.retired)
