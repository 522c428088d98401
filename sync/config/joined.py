"""Joins the schema of sources and streams with a connector's own options, so that a table is validated as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from connectors.interface import ComparesKeys, ConnectorType, HasRhythm
from sync.config.cross import tables
from sync.config.explain import Location, keys_of, place, problems_of, unknown_key
from sync.config.schema import (
    OWN_KEYS,
    Config,
    ContactTable,
    LeadTable,
    LedgerOptions,
    Limit,
    Log,
    Name,
    Source,
    Stream,
    Workspace,
)
from sync.shared.durations import Duration
from sync.shared.errors import ConfigError, Problem

ModelT = TypeVar("ModelT", bound=BaseModel)
FindConnector = Callable[[str], ConnectorType]

_TABLES: tuple[tuple[type[BaseModel], str], ...] = (
    (Source, "[sources.NAME]"),
    (Stream, "[sources.NAME.streams.NAME]"),
    (LeadTable, "[sources.NAME.streams.NAME.lead]"),
    (ContactTable, "[[sources.NAME.streams.NAME.lead.contacts]]"),
    (Workspace, "[workspaces.NAME]"),
    (Limit, "limit of [workspaces.NAME]"),
    (LedgerOptions, "[ledger]"),
    (Log, "[log]"),
    (Config, "the top of the file"),
)
_HOMES = {key: table for model, table in reversed(_TABLES) for key in keys_of(model)}
"""The table where a key belongs, for a key that was written into another."""

_OPTIONS = Field(alias=OWN_KEYS, exclude=True)


@cache
def source_model(
    source: type[BaseModel], stream: type[BaseModel], child: type[BaseModel], every: timedelta | None = None
) -> type[Source]:
    """Return the model of `[sources.X]` for a connector with these option models; `every` is its own rhythm, if any.

    Raises TypeError if the connector names a key that the engine's schema has.
    """
    for common, own in ((Source, source), (Stream, stream)):
        if clash := keys_of(common).keys() & keys_of(own).keys():
            raise TypeError(f"{own.__name__} has keys of the engine's own: {', '.join(sorted(clash))}")
    # The fields are copied, so that those of the engine's own models stay as they are.
    joined_stream = create_model(
        "JoinedStream",
        __base__=Stream,
        options=(stream, _OPTIONS),
        children=(Mapping[Name, child], copy(Stream.model_fields["children"])),  # type: ignore[valid-type]  # made here
    )
    rhythm = copy(Source.model_fields["every"])
    if every is not None:
        rhythm.default = every
    return create_model(
        "JoinedSource",
        __base__=Source,
        options=(source, _OPTIONS),
        every=(Duration, rhythm),
        streams=(Mapping[Name, joined_stream], copy(Source.model_fields["streams"])),
    )


class _UnknownStream(Stream):
    model_config = ConfigDict(extra="ignore")


class _UnknownSource(Source):
    """A source whose connector is unknown: so are its connector's keys, and none is called a mistake."""

    model_config = ConfigDict(extra="ignore")
    streams: Mapping[Name, _UnknownStream] = Field(min_length=1)


@dataclass(slots=True)
class Validation:
    """One pass over a file: how connectors are found, its folder, and the problems met so far."""

    connector_type: FindConnector
    folder: Path
    problems: list[Problem] = field(default_factory=list)

    def config(self, raw: Mapping[str, Any], **facts: Any) -> Config | None:
        """Return the file as a Config, with `facts` that are not in it; None if that is impossible.

        All problems are noted. Where there are some, sources of the result may be empty stand-ins.
        """
        known = keys_of(Config)
        self.problems += [unknown_key((), key, known, _HOMES) for key in raw if key not in known]
        prepared = {key: value for key, value in raw.items() if key in known} | facts
        if isinstance(sources := raw.get("sources"), dict):
            prepared["sources"] = {
                name: self._source(name, table) if isinstance(table, dict) else table for name, table in sources.items()
            }
        return self._table(Config, prepared, (), _HOMES)

    def _source(self, name: str, table: dict[str, Any]) -> Source:
        where = ("sources", name)
        kind = self._connector_of(table, where)
        found: Source | None
        if kind is None:
            found = self._table(_UnknownSource, table, where, _HOMES)
        else:
            rhythm = kind.every if isinstance(kind, HasRhythm) else None
            model = source_model(kind.source_options, kind.stream_options, kind.child_options, rhythm)
            found = self._table(model, table, where, _homes(kind))
        self.problems += _mismatches(kind, table, where)
        return Source.model_construct(connector="", streams={}) if found is None else found

    def _connector_of(self, source: dict[str, Any], where: Location) -> ConnectorType | None:
        name = source.get("connector")
        if not isinstance(name, str):
            return None  # the schema reports it
        try:
            return self.connector_type(name)
        except ConfigError as error:
            self.problems += [
                Problem(f"{place(*where)}.{problem.where}", problem.what, problem.hint) for problem in error.problems
            ]
            return None

    def _table(self, model: type[ModelT], table: Any, where: Location, homes: Mapping[str, str]) -> ModelT | None:
        try:
            return model.model_validate(table, context={"folder": self.folder})
        except ValidationError as error:
            self.problems += problems_of(error, model, where, homes)
            return None


def _mismatches(kind: object, source: dict[str, Any], where: Location) -> Iterator[Problem]:
    """Yield the problems between keys that only the connector knows to fit each other."""
    if isinstance(kind, ComparesKeys):
        for name, stream in tables(source, "streams").items():
            for keys, what, hint in kind.mismatches(stream):
                yield Problem(place(*where, "streams", name, *keys), what, hint)


def _homes(kind: ConnectorType) -> Mapping[str, str]:
    """Return where keys belong, the connector's own included; the outermost table that has a key wins."""
    own = (
        (kind.child_options, "[sources.NAME.streams.NAME.children.NAME]"),
        (kind.stream_options, "[sources.NAME.streams.NAME]"),
        (kind.source_options, "[sources.NAME]"),
    )
    return {**_HOMES, **{key: table for model, table in own for key in keys_of(model)}}
