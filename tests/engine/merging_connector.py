"""A connector whose source merges its records: a list of what happened, read from where the cursor stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict

from connectors.interface import Finding, StreamSpec
from sync.shared.words import Json, Listing, Page, Record


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(slots=True)
class Crm:
    """The source: who is there, and every change in its order."""

    people: dict[str, Record] = field(default_factory=dict)
    changes: list[Record] = field(default_factory=list)

    def save(self, id_: str, email: str = "", name: str = "") -> None:
        self._add(Record(id_, {"name": name or f"Person {id_}", "email": email or None}, self._now()))

    def merge(self, loser: str, survivor: str) -> None:
        self._add(Record(loser, {}, self._now(), deleted=True, merged_into=survivor))

    def _add(self, record: Record) -> None:
        self.people[record.id] = record
        self.changes.append(record)

    def _now(self) -> str:
        return f"2026-01-01T00:00:00.{len(self.changes):06d}Z"


CRM = Crm()


class MergingConnector:
    def identity(self, stream: StreamSpec) -> Mapping[str, str]:
        return {"connector": "merging", "stream": stream.name}

    def check(self, stream: StreamSpec) -> Sequence[Finding]:
        return ()

    def position(self, stream: StreamSpec) -> str:
        return "2026-01-02T00:00:00.000000Z"

    def size(self, stream: StreamSpec) -> int | None:
        return None

    def read(self, stream: StreamSpec, lanes: Mapping[str, Json]) -> Iterator[Page]:
        begin = lanes.get("live", 0)
        yield Page("live", len(CRM.changes), CRM.changes[begin:])

    def fetch(self, stream: StreamSpec, ids: Sequence[str]) -> Sequence[Record]:
        return [CRM.people[id_] for id_ in ids if id_ in CRM.people and not CRM.people[id_].deleted]

    def sweep(self, stream: StreamSpec, cursor: Json) -> Iterator[Listing]:
        yield Listing(None, [(each.id, each.modified) for each in CRM.people.values() if not each.deleted])

    def close(self) -> None:
        return


class Merging:
    name = "merging"
    source_options = stream_options = child_options = _Options

    def open(self, source: str, options: BaseModel) -> MergingConnector:
        return MergingConnector()


CONNECTOR = Merging()
