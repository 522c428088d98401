"""The streams of a configuration as their connectors see them, and the opening of their sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from connectors.interface import Connector, GivesIds, StreamSpec
from connectors.registry import connector_type
from sync.config.schema import Config, Source, Stream
from sync.mapping.compile import LeadMapping


def stream_specs(config: Config, mappings: Mapping[str, LeadMapping]) -> dict[str, StreamSpec]:
    """Return each stream as its connector sees it, by `source.stream`; it reads what its mapping wants."""
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
    """Open the source of that name by its connector; the caller closes it. Raises ConfigError."""
    source = config.sources[name]
    return connector_type(source.connector).open(name, source.options)


def has_given_ids(config: Config, stream: str) -> bool:
    """Return True if the vendor of the stream's source assigns all of its ids."""
    return isinstance(connector_type(config.sources[stream.split(".", 1)[0]].connector), GivesIds)


def _streams(config: Config) -> Iterator[tuple[str, Source, str, Stream]]:
    for source_name, source in config.sources.items():
        for stream_name, stream in source.streams.items():
            yield source_name, source, stream_name, stream
