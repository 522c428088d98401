"""A source whose options know what of its API ends: so many days from today on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ConfigDict

from connectors.interface import EndOfSupport, StreamSpec


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AgeingSource(_Options):
    ends_in: tuple[int, ...]

    def endings(self) -> Sequence[EndOfSupport]:
        today = datetime.now(UTC).date()
        return [
            EndOfSupport(today + timedelta(days=days), f'the paths of api = "{days}"', 'set api = "new"')
            for days in self.ends_in
        ]


class AgeingConnector:
    """What ends is known without reading anything: it can only say what it is."""

    def identity(self, stream: StreamSpec) -> Mapping[str, str]:
        return {"connector": "ageing"}

    def close(self) -> None:
        return


class Ageing:
    name = "ageing"
    source_options = AgeingSource
    stream_options = child_options = _Options

    def open(self, source: str, options: BaseModel) -> AgeingConnector:
        return AgeingConnector()


CONNECTOR = Ageing()
