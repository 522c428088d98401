"""What the log has told so far, as far as health goes by it: when each stream and workspace last did well."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import cast

from sync.events import Level


@dataclass(frozen=True, slots=True)
class StreamNews:
    """`read_at`: when a poll last ended well (seconds since boot; None: not yet); `failures` in a row since, with the
    last one's `kind` (an error's name)."""

    read_at: float | None = None
    failures: int = 0
    kind: str = ""


class Witness:
    """A listener of the log. `news` counts up with every event, so that one knows whether there is any."""

    def __init__(self, now: Callable[[], float]) -> None:
        """`now` tells the seconds since boot."""
        self._now = now
        self._lock = threading.Lock()
        self._streams: dict[str, StreamNews] = {}
        self._delivered: dict[str, float] = {}
        self.news = 0
        self.config_refused = False
        """Whether the last reload was refused, or a part of it."""
        self.parts_refused: tuple[str, ...] = ()
        """The sources that keep their old form, where that is so of a part."""

    def __call__(self, event: str, level: Level, fields: Mapping[str, object]) -> None:
        del level
        with self._lock:
            self.news += 1
            match event:
                case "poll":
                    self._streams[str(fields["stream"])] = StreamNews(self._now())
                case "poll_failed":
                    stream = str(fields["stream"])
                    before = self._streams.get(stream, StreamNews())
                    kind = str(fields["kind"])
                    self._streams[stream] = replace(before, failures=before.failures + 1, kind=kind)
                case "batch" if fields["verdict"] == "created":
                    self._delivered[str(fields["workspace"])] = self._now()
                case "config_refused":
                    self.config_refused, self.parts_refused = True, ()
                case "config_reloaded":
                    self.parts_refused = tuple(cast("list[str]", fields.get("refused") or ()))
                    self.config_refused = bool(self.parts_refused)
                case _:
                    pass

    def stream(self, name: str) -> StreamNews:
        with self._lock:
            return self._streams.get(name, StreamNews())

    def delivered_at(self, workspace: str) -> float | None:
        """When a batch was last created there, in seconds since boot."""
        with self._lock:
            return self._delivered.get(workspace)
