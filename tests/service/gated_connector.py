"""A source that reads when it is let: for tests of what goes on while something hangs."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict

from connectors.interface import StreamSpec
from sync.shared.secrets import SecretRef
from sync.shared.words import Listing, Page, Record
from tests.patience import PATIENCE

MODIFIED = "2026-01-02T03:04:05.000006Z"


@dataclass
class Gate:
    """A source's records, and a gate on its answers; a request for changes sets `reading`, one for ids `fetching`."""

    records: list[str] = field(default_factory=list)
    let_go: threading.Event = field(default_factory=threading.Event)
    reading: threading.Event = field(default_factory=threading.Event)
    fetching: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None
    opened: int = 0
    closed: int = 0

    def __post_init__(self) -> None:
        self.let_go.set()

    def answer(self) -> None:
        assert self.let_go.wait(PATIENCE)
        if self.error is not None:
            raise self.error


GATES: dict[str, Gate] = {}
"""By the source's name in the configuration."""


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GatedSource(_Options):
    password: SecretRef | None = None
    site: str = "here"


class GatedStream(_Options):
    object: str = "things"


class GatedConnector:
    """Its records are those of its gate; each page holds those that came since the last."""

    def __init__(self, source: str, options: GatedSource) -> None:
        self._gate = GATES.setdefault(source, Gate())
        self._site = options.site
        self._used = False

    def identity(self, stream: StreamSpec) -> Mapping[str, str]:
        assert isinstance(stream.options, GatedStream)
        return {"connector": "gated", "site": self._site, "object": stream.options.object}

    def reworded(self, was: Mapping[str, str], now: Mapping[str, str]) -> bool:
        return True

    def size(self, stream: StreamSpec) -> None:
        return None

    def read(self, stream: StreamSpec, lanes: Mapping[str, Any]) -> Iterator[Page]:
        if not self._used:
            self._used = True
            self._gate.opened += 1
        self._gate.reading.set()
        after = lanes["live"]["through"] if lanes else 0
        fresh = self._gate.records[after:]
        self._gate.answer()
        yield Page("live", {"through": after + len(fresh)}, [self._record(id_) for id_ in fresh])

    def fetch(self, stream: StreamSpec, ids: Sequence[str]) -> Sequence[Record]:
        self._gate.fetching.set()
        self._gate.answer()
        return [self._record(id_) for id_ in ids if id_ in self._gate.records]

    def sweep(self, stream: StreamSpec, cursor: object) -> Iterator[Listing]:
        self._gate.answer()
        yield Listing(None, [(id_, MODIFIED) for id_ in self._gate.records])

    def _record(self, id_: str) -> Record:
        return Record(id_, {"name": f"Firm {id_}", "note": "a note"}, MODIFIED)

    def close(self) -> None:
        if self._used:
            self._used = False
            self._gate.closed += 1


class Gated:
    name = "gated"
    source_options = GatedSource
    stream_options = GatedStream
    child_options = _Options

    def open(self, source: str, options: BaseModel) -> GatedConnector:
        assert isinstance(options, GatedSource)
        return GatedConnector(source, options)


CONNECTOR = Gated()
