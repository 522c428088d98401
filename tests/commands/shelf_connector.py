"""A connector whose `check` comes out as its options say."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from connectors.interface import Finding, StreamSpec
from sync.shared.errors import SourceRefused, SourceUnavailable
from sync.shared.secrets import SecretRef


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ShelfSource(_Options):
    url: SecretRef | None = None


class ShelfStream(_Options):
    verdict: Literal["ok", "warning", "error", "refused", "unavailable", "bug"]


class ShelfConnector:
    closed = 0

    def __init__(self, options: ShelfSource) -> None:
        self.options = options

    def check(self, stream: StreamSpec) -> Sequence[Finding]:
        if self.options.url:
            self.options.url.read(key=f"sources.{stream.source}.url")
        assert isinstance(stream.options, ShelfStream)
        match stream.options.verdict:
            case "refused":
                raise SourceRefused("may not read", hint="grant it", source="s", stream="t", field="name")
            case "unavailable":
                raise SourceUnavailable("does not answer", hint="wait", source="s")
            case "bug":
                raise ZeroDivisionError("HUNTER2")
            case level:
                return [Finding(level, f"looked at {stream.name}", "a hint" if level != "ok" else "")]

    def size(self, stream: StreamSpec) -> int | None:
        return None

    def close(self) -> None:
        type(self).closed += 1


class Shelf:
    name = "shelf"
    source_options = ShelfSource
    stream_options = ShelfStream
    child_options = _Options

    def open(self, source: str, options: ShelfSource) -> ShelfConnector:
        return ShelfConnector(options)


CONNECTOR = Shelf()
