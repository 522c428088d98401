"""The compiled mappings of a configuration: compiled once, when the file is loaded, and kept with it for the engine."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from connectors.interface import Bookkeeping, Filters
from sync.config.schema import Config, LeadTable, Stream, Wire
from sync.mapping.compile import LeadMapping, compile_mapping
from sync.shared.errors import ConfigError, Problem
from sync.shared.words import Json


@dataclass(frozen=True, slots=True)
class _MappingInputs:
    """Everything that a stream's compiled mapping depends on: the parameters of `compile_mapping`."""

    where: str
    lead: LeadTable
    children: tuple[str, ...]
    wire: Wire
    lookups: Mapping[str, Mapping[str, Json]]
    bookkeeping: Collection[str]
    filters: Mapping[str, str]

    @classmethod
    def of(cls, config: Config, where: str, stream: Stream) -> _MappingInputs:
        wire = config.workspaces[config.workspace_of(stream)].wire
        options = stream.options
        bookkeeping = options.bookkeeping() if isinstance(options, Bookkeeping) else ()
        filters = options.filters() if isinstance(options, Filters) else {}
        return cls(where, stream.lead, tuple(stream.children), wire, config.lookups, bookkeeping, filters)

    def compile(self) -> LeadMapping:
        return compile_mapping(
            self.lead,
            where=self.where,
            children=self.children,
            wire=self.wire,
            lookups=self.lookups,
            bookkeeping=self.bookkeeping,
            filters=self.filters,
        )


def compile_all(config: Config) -> dict[str, LeadMapping]:
    """Return the mapping of each stream, by `source.stream`; those that this configuration, or one that it was copied
    from, has compiled already are not compiled again. Raises ConfigError with the problems of all of them."""
    mappings, problems = _compiled(config)
    if problems:
        raise ConfigError(problems, file=str(config.path))
    return mappings


def mapping_problems(config: Config) -> Sequence[Problem]:
    """Compile all mappings of a configuration; return the compiler's problems, those of all streams."""
    return _compiled(config)[1]


def _compiled(config: Config) -> tuple[dict[str, LeadMapping], list[Problem]]:
    mappings: dict[str, LeadMapping] = {}
    problems: list[Problem] = []
    for source_name, source in config.sources.items():
        for stream_name, stream in source.streams.items():
            where = f"sources.{source_name}.streams.{stream_name}.lead"
            inputs = _MappingInputs.of(config, where, stream)
            try:
                mappings[f"{source_name}.{stream_name}"] = config.memo.get(where, inputs, _MappingInputs.compile)
            except ConfigError as error:
                problems += error.problems
    return mappings, problems
