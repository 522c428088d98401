"""From a configuration to what the engine works with: compiled mappings, stream specifications, opened sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from connectors.interface import Bookkeeping, Connector, Filters, GivesIds, StreamSpec
from connectors.registry import connector_type
from sync.config.schema import Config, Source, Stream
from sync.mapping.compile import LeadMapping, compile_mapping
from sync.shared.errors import ConfigError, Problem


def compile_all(config: Config) -> dict[str, LeadMapping]:
    """The mapping of each stream, by `source.stream`. Raises ConfigError with the problems of all of them."""
    mappings: dict[str, LeadMapping] = {}
    problems: list[Problem] = []
    for source_name, _, stream_name, stream in _streams(config):
        try:
            mappings[f"{source_name}.{stream_name}"] = compile_mapping(
                stream.lead,
                where=f"sources.{source_name}.streams.{stream_name}.lead",
                children=tuple(stream.children),
                wire=config.workspaces[config.workspace_of(stream)].wire,
                lookups=config.lookups,
                bookkeeping=stream.options.bookkeeping() if isinstance(stream.options, Bookkeeping) else (),
                filters=stream.options.filters() if isinstance(stream.options, Filters) else {},
            )
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems, file=str(config.path))
    return mappings


def stream_specs(config: Config, mappings: Mapping[str, LeadMapping]) -> dict[str, StreamSpec]:
    """Each stream as its connector sees it, by `source.stream`; it reads what its mapping wants."""
    return {
        f"{source_name}.{stream_name}": StreamSpec(
            source=source_name,
            name=stream_name,
            options=stream.options,
            children=stream.children,
            wanted=mappings[f"{source_name}.{stream_name}"].wanted,
            overlap=source.overlap,
            settle=source.settle,
            page_size=source.page_size,
            readers=mappings[f"{source_name}.{stream_name}"].readers,
        )
        for source_name, source, stream_name, stream in _streams(config)
    }


def open_source(config: Config, name: str) -> Connector:
    """The source of that name, opened by its connector; the caller closes it."""
    source = config.sources[name]
    return connector_type(source.connector).open(name, source.options)


def has_given_ids(config: Config, stream: str) -> bool:
    """Return whether the vendor of the stream's source gives all of its ids."""
    return isinstance(connector_type(config.sources[stream.split(".", 1)[0]].connector), GivesIds)


def _streams(config: Config) -> Iterator[tuple[str, Source, str, Stream]]:
    for source_name, source in config.sources.items():
        for stream_name, stream in source.streams.items():
            yield source_name, source, stream_name, stream
