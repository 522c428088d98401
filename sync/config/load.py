"""Loads the configuration file: to a validated `Config`, or to all its problems at once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from connectors.registry import connector_type as installed_connector_type
from sync.config.cautions import warnings_of
from sync.config.cross import cross_problems, tables
from sync.config.explain import place
from sync.config.file import find_config, read_toml
from sync.config.joined import FindConnector, ModelT, Validation
from sync.config.mappings import mapping_problems
from sync.config.schema import Config, LeadTable, LedgerOptions, Wire
from sync.config.value_types import check_constant
from sync.mapping.compile import compile_mapping
from sync.shared.errors import ConfigError, Problem

__all__ = ["find_config", "load_config", "warnings_of"]


def load_config(
    path: Path,
    *,
    connector_type: FindConnector = installed_connector_type,
    env: Mapping[str, str] = os.environ,
    now: datetime | None = None,
) -> Config:
    """Return the file's configuration, after a trial compilation of its mappings. Reads no secret, opens no source.

    Raises ConfigError with every problem: syntax alone where it is not TOML, else those of schema, connectors,
    mappings and between keys together. No message quotes a value that could be a secret.
    """
    path = path.absolute()
    raw = read_toml(path)
    validation = Validation(connector_type, path.parent)
    config = validation.config(raw, path=path, digest=_digest(raw), state_folder=state_folder(env))
    cross = tuple(cross_problems(raw, now or datetime.now(UTC)))
    problems = [
        *validation.problems,
        *cross,
        # what is compiled from a sound file is kept for the engine; of a broken one the tables are compiled as they are
        *(_mapping_problems(raw) if config is None or cross or validation.problems else mapping_problems(config)),
        *(_place_problems(config) if config is not None else ()),
    ]
    if problems or config is None:
        # One fault may be found twice, by the schema and between tables; sorted, a report is the same on each run.
        raise ConfigError(sorted(set(problems), key=lambda problem: (problem.where, problem.what)), file=str(path))
    return config


def digest_now(path: Path) -> str:
    """Return the digest of the file's present content, as in `Config`; "" if it cannot be read."""
    try:
        return _digest(read_toml(path))
    except ConfigError:
        return ""


def ledger_named_by(path: Path, *, env: Mapping[str, str] = os.environ) -> Path:
    """Return the ledger's path from a file that may be unusable otherwise; the default path if it names none."""
    path = path.absolute()
    try:
        options = _parsed(LedgerOptions, read_toml(path).get("ledger", {}))
    except ConfigError:
        options = None
    name = (options or LedgerOptions()).path
    return (state_folder(env) or path.parent).joinpath(name).resolve()


def _place_problems(config: Config) -> Iterator[Problem]:
    with suppress(ValueError):  # a path with a NUL, which has a problem of its own
        if config.receipts_copy_path != config.ledger_path.parent:
            return
        what = "is the folder of the ledger itself, where its receipts are already"
        yield Problem("ledger.receipts_copy", what, "name another folder, on another disk")


def _digest(raw: dict[str, Any]) -> str:
    """Return a digest of the file's content that ignores comments and the order of tables."""
    try:
        text = orjson.dumps(raw, default=str, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    except TypeError:  # a number of more than 64 bits, which is refused by name
        text = repr(raw).encode(errors="surrogatepass")
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def state_folder(env: Mapping[str, str] = os.environ) -> Path | None:
    """Return the state folder that the service manager passes; of several, the first is ours. None without one."""
    first = env.get("STATE_DIRECTORY", "").split(":")[0]
    return Path(first).absolute() if first else None


def _mapping_problems(raw: dict[str, Any]) -> Iterator[Problem]:
    """Yield the compiler's problems of every lead table that passes the schema, where the file as a whole does not."""
    workspaces = tables(raw, "workspaces")
    lookups = {name: _constants(table) for name, table in tables(raw, "lookups").items()}
    for source_name, source in tables(raw, "sources").items():
        for name, stream in tables(source, "streams").items():
            # From the raw tables, because an unrelated fault elsewhere leaves no Config to compile from.
            lead = _parsed(LeadTable, stream.get("lead"))
            # A single workspace need not be named.
            workspace = workspaces.get(str(stream.get("workspace", next(iter(workspaces), ""))), {})
            where = place("sources", source_name, "streams", name, "lead")
            children = list(stream["children"]) if isinstance(stream.get("children"), dict) else []
            wire = _parsed(Wire, workspace.get("wire", {})) or Wire()
            try:
                if lead is not None:
                    compile_mapping(lead, where=where, children=children, wire=wire, lookups=lookups)
            except ConfigError as error:
                yield from error.problems


def _parsed(model: type[ModelT], table: Any) -> ModelT | None:
    try:
        return model.model_validate(table)
    except ValidationError:
        return None  # reported with the whole file


def _constants(table: dict[str, Any]) -> dict[str, Any]:
    def usable(value: Any) -> bool:
        try:
            check_constant(value)
        except ValueError:
            return False
        return True

    return {key: value for key, value in table.items() if usable(value)}
