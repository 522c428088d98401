"""Secrets that cannot be had: each holds up the source or workspace that needs it, and no other."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sync.config.schema import Config, Source
from sync.delivery.client import LeadsClient
from sync.shared.errors import ConfigError, Problem
from sync.shared.secrets import secrets_in

_THEN = "then reload (a file), or restart (an environment variable, a credential)"


@dataclass(frozen=True, slots=True)
class MissingSecrets:
    """The secrets that stop sources from being read or delivered, and workspaces from being delivered to."""

    sources: Mapping[str, ConfigError]
    workspaces: Mapping[str, ConfigError]


def missing_secrets(config: Config) -> MissingSecrets:
    """Look for each secret; a source cannot do without its own and the keys of the workspaces that it feeds."""
    keys = {name: problems for name in config.workspaces if (problems := list(_problems_of_key(config, name)))}
    sources = {}
    for name, source in config.sources.items():
        # a source whose workspace has no key is left out as a whole: its leads could not be sent
        fed = dict.fromkeys(config.workspace_of(stream) for stream in source.streams.values())
        problems = [*_problems_of_source(name, source), *(each for key in fed for each in keys.get(key, ()))]
        if problems:
            sources[name] = _error(config, problems)
    return MissingSecrets(sources, {name: _error(config, problems) for name, problems in keys.items()})


def without(config: Config, missing: MissingSecrets) -> Config:
    """Return what can begin. Raises ConfigError with all that is missing where nothing could be read."""
    # a daemon without any source would look healthy and do nothing
    if missing.sources and not config.sources.keys() - missing.sources.keys():
        problems = dict.fromkeys(problem for error in missing.sources.values() for problem in error.problems)
        raise ConfigError([*problems], file=str(config.path))
    workspaces = {name: each for name, each in config.workspaces.items() if name not in missing.workspaces}
    return without_sources(config, missing.sources).model_copy(update={"workspaces": workspaces})


def without_sources(config: Config, names: Collection[str]) -> Config:
    """Return the configuration without these sources, while each of the others feeds the workspaces that it did."""
    sources = {name: pinned(config, name) for name in config.sources if name not in names}
    return config.model_copy(update={"sources": sources})


def pinned(config: Config, name: str) -> Source:
    """Return the source with its streams' workspaces named, since another configuration may have another default."""
    source = config.sources[name]
    streams = {
        key: stream.model_copy(update={"workspace": config.workspace_of(stream)})
        for key, stream in source.streams.items()
    }
    return source.model_copy(update={"streams": streams})


def _problems_of_key(config: Config, name: str) -> Iterable[Problem]:
    where = f"workspaces.{name}.api_key"
    try:
        LeadsClient.check_key(config.workspaces[name].api_key.read(key=where, base=config.path.parent), where)
    except ConfigError as error:
        return error.problems
    return ()


def _problems_of_source(name: str, source: Source) -> Iterable[Problem]:
    for key, ref in secrets_in(source.options, f"sources.{name}"):
        try:
            ref.read(key=key)
        except ConfigError as error:
            yield from error.problems


def _error(config: Config, problems: Iterable[Problem]) -> ConfigError:
    found = [
        Problem(each.where, each.what, f"{each.hint}, {_THEN}" if each.hint else f"supply it, {_THEN}")
        # one missing key may hold up several sources: it is listed once
        for each in dict.fromkeys(problems)
    ]
    return ConfigError(found, file=str(config.path))
