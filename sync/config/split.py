"""Divides the tables of sources, streams and children between the common schema and the connector's own models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from connectors.interface import ConnectorType
from sync.config.explain import Location, keys_of, place, problems_of, unknown_key
from sync.config.schema import Config, ContactTable, LeadTable, LedgerOptions, Limit, Log, Source, Stream, Workspace
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
"""The table where a key is at home, for those who wrote it into another."""


@dataclass(slots=True)
class Validation:
    """One pass over a file: how connectors are found, where the file lies, and the problems met so far."""

    connector_type: FindConnector
    folder: Path
    problems: list[Problem] = field(default_factory=list)

    def table(self, model: type[ModelT], table: Any, where: Location) -> ModelT | None:
        """The table as its model; None after its problems were noted."""
        try:
            return model.model_validate(table, context={"folder": self.folder})
        except ValidationError as error:
            self.problems += problems_of(error, model, where, _HOMES)
            return None

    def known_keys(
        self, table: dict[str, Any], known: set[str], where: Location, kind: ConnectorType | None = None
    ) -> dict[str, Any]:
        """The table without its unknown keys, which are noted."""
        homes = _homes(kind)
        self.problems += [unknown_key(where, key, known, homes) for key in table if key not in known]
        return {key: value for key, value in table.items() if key in known}


def _homes(kind: ConnectorType | None) -> dict[str, str]:
    if kind is None:
        return _HOMES
    own = (
        (kind.child_options, "[sources.NAME.streams.NAME.children.NAME]"),
        (kind.stream_options, "[sources.NAME.streams.NAME]"),
        (kind.source_options, "[sources.NAME]"),
    )
    return {**_HOMES, **{key: table for model, table in own for key in keys_of(model)}}


def split_file(raw: dict[str, Any], validation: Validation) -> dict[str, Any]:
    """The file's content, ready for the schema: each source, stream and child carries its connector's own model."""
    prepared = validation.known_keys(raw, set(keys_of(Config)), ())
    sources = prepared.get("sources")
    if isinstance(sources, dict):
        prepared["sources"] = {
            name: _split_source(table, ("sources", name), validation) if isinstance(table, dict) else table
            for name, table in sources.items()
        }
    return prepared


def _split_source(source: dict[str, Any], where: Location, validation: Validation) -> dict[str, Any]:
    kind = _connector_of(source, where, validation)
    prepared = _common(source, Source)
    if kind is not None:
        prepared |= _own(source, (Source, kind.source_options), where, kind, validation)
    streams = prepared.get("streams")
    if isinstance(streams, dict):
        prepared["streams"] = {
            name: _split_stream(table, kind, (*where, "streams", name), validation)
            if isinstance(table, dict)
            else table
            for name, table in streams.items()
        }
    return prepared


def _connector_of(source: dict[str, Any], where: Location, validation: Validation) -> ConnectorType | None:
    name = source.get("connector")
    if not isinstance(name, str):
        return None  # the schema says so
    try:
        return validation.connector_type(name)
    except ConfigError as error:
        validation.problems += [
            Problem(f"{place(*where)}.{problem.where}", problem.what, problem.hint) for problem in error.problems
        ]
        return None


def _split_stream(
    stream: dict[str, Any], kind: ConnectorType | None, where: Location, validation: Validation
) -> dict[str, Any]:
    prepared = _common(stream, Stream)
    if kind is not None:
        prepared |= _own(stream, (Stream, kind.stream_options), where, kind, validation)
    children = prepared.get("children")
    if isinstance(children, dict):
        prepared["children"] = {
            name: _child(table, kind, (*where, "children", name), validation) if kind else None
            for name, table in children.items()
        }
    return prepared


def _child(table: Any, kind: ConnectorType, where: Location, validation: Validation) -> BaseModel | None:
    if not isinstance(table, dict):
        validation.problems.append(Problem(place(*where), "must be a table"))
        return None
    model = kind.child_options
    return validation.table(model, validation.known_keys(table, set(keys_of(model)), where, kind), where)


def _common(table: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """The keys that every connector's table may have."""
    common = keys_of(model)
    return {key: value for key, value in table.items() if key in common}


def _own(
    table: dict[str, Any],
    models: tuple[type[BaseModel], type[BaseModel]],
    where: Location,
    kind: ConnectorType,
    validation: Validation,
) -> dict[str, BaseModel]:
    """The connector's own keys, as `options`; unknown are the keys that neither model (the common one, its own) has.

    Without a connector nobody knows which other keys are right, so none is called unknown.
    """
    common, own = (set(keys_of(model)) for model in models)
    known = validation.known_keys(table, common | own, where, kind)
    parsed = validation.table(models[1], {key: value for key, value in known.items() if key in own}, where)
    return {} if parsed is None else {"options": parsed}
