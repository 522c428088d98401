"""Listens to sources that announce changes, in a thread of each such source: a hint to poll before the next turn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from connectors.interface import Announces, Listens, StreamSpec
from sync.config.schema import Source
from sync.engine.compiled_config import CompiledConfig
from sync.engine.stream_specs import open_source
from sync.log import emit
from sync.shared.errors import ConfigError, SourceRefused, SourceUnavailable, SyncError

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0
"""Seconds until a source that could not be listened to is tried again: from the first, doubling to the second."""

Announced = Callable[[str, float], None]
"""Takes the stream's name and its `settle` in seconds."""


class Announcements:
    """The listeners of the plan in force."""

    def __init__(self, announced: Announced) -> None:
        """Call `announced`, in threads of the listeners, for each stream that may have changed."""
        self._announced = announced
        self._listeners: dict[str, _ListeningThread] = {}

    def follow(self, plan: CompiledConfig) -> None:
        """Listen as this plan says from now on; listeners whose source is the same go on."""
        wanted = {name: specs for name, source in plan.config.sources.items() if (specs := _listening(plan, name))}
        for name in [*self._listeners]:
            listener = self._listeners[name]
            if name not in wanted or listener.source != plan.config.sources[name]:
                listener.stop()
                del self._listeners[name]
        for name in wanted.keys() - self._listeners.keys():
            self._listeners[name] = _ListeningThread(plan, name, wanted[name], self._announced)

    def stop(self) -> None:
        """Let all listeners end; they are not waited for."""
        for listener in self._listeners.values():
            listener.stop()


def _listening(plan: CompiledConfig, source: str) -> Sequence[StreamSpec]:
    specs = (spec for spec in plan.specs.values() if spec.source == source)
    return [spec for spec in specs if isinstance(spec.options, Listens) and spec.options.listen is not None]


class _ListeningThread:
    """One source's thread. Whatever goes wrong is logged once for each outage: polls go on without it."""

    def __init__(self, plan: CompiledConfig, name: str, specs: Sequence[StreamSpec], announced: Announced) -> None:
        self.source: Source = plan.config.sources[name]
        self._plan = plan
        self._name = name
        self._specs = specs
        self._announced = announced
        self._settle = self.source.settle.total_seconds()
        self._stopped = threading.Event()
        self._failures = 0
        threading.Thread(target=self._run, name=f"listen-{name}", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._listen()
            except (SourceUnavailable, SourceRefused, ConfigError) as error:
                self._say(error)
            except Exception as error:  # noqa: BLE001 - a thread's boundary: a hint must not end the program
                self._say(SyncError(f"a defect of this program ({type(error).__name__})"))
            self._stopped.wait(min(FIRST_PAUSE * 2.0 ** min(self._failures, 10), LONGEST_PAUSE))
            self._failures += 1

    def _listen(self) -> None:
        connector = open_source(self._plan.config, self._name)
        try:
            if not isinstance(connector, Announces):
                raise SourceRefused("its source announces nothing", hint="remove listen", source=self._name)
            for stream in connector.announced(self._specs, self._stopped.is_set):
                self._failures = 0
                self._announced(f"{self._name}.{stream}", self._settle)
        finally:
            connector.close()

    def _say(self, error: SyncError) -> None:
        if self._failures == 0 and not self._stopped.is_set():
            emit("listen_failed", source=self._name, error=error.message, hint=error.hint or None)
