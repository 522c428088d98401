"""What `[metrics]` opens: the HTTP server, and the counting of what it serves."""

from __future__ import annotations

from contextlib import ExitStack

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from sync import log
from sync.engine.engine import Engine
from sync.service.http_server import MetricsRenderer, Server
from sync.service.metrics import Watched, registry_of


class Endpoint:
    """Open from when it is made until `close`. Raises ConfigError where the address cannot be had."""

    def __init__(self, listen: str, service: Watched) -> None:
        self.listen = listen
        registry, self._metrics = registry_of(service)
        if service.engine:
            self.know(service.engine)
        self._server = Server(listen, service.health, _figures_of(registry))
        self._ends = ExitStack()
        self._ends.callback(self._server.close)
        self._ends.enter_context(log.heard_by(self._metrics))

    def know(self, engine: Engine) -> None:
        """Which streams and workspaces there are."""
        self._metrics.know(engine.streams, engine.workers)

    def close(self) -> None:
        self._ends.close()


def _figures_of(registry: CollectorRegistry) -> MetricsRenderer:
    def figures(accept: str | None, names: list[str]) -> tuple[bytes, str]:
        encode, kind = choose_encoder(accept or "")
        return encode(registry.restricted_registry(names) if names else registry), kind

    return figures
