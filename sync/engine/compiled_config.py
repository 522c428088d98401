"""A configuration made ready for the engine, without touching a source, ClosingDealz or the ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

import httpx

from connectors.interface import StreamSpec
from state.key_files import Hasher
from state.ledger import Ledger
from state.rows import StreamRow
from state.slots import RateLimit
from state.streams import ADDRESS, DeclaredStream
from sync.config.mappings import compile_all
from sync.config.schema import Config, Guard, Limit, Source, Stream, Workspace
from sync.config.value_types import is_loopback
from sync.delivery.client import LeadsClient
from sync.delivery.sender import Destination
from sync.engine.stream_specs import has_given_ids, open_source, stream_specs
from sync.mapping.compile import LeadMapping
from sync.polling.job import StreamJob
from sync.shared.errors import ConfigError, Problem
from sync.shared.secrets import Secret, secrets_in


@dataclass(frozen=True, slots=True)
class StreamForm:
    """Everything about a stream that its running polls depend on: if two plans agree on it, its polls go on untouched.

    The workspace's `max_pending` and limit are not part of it.
    """

    source: Source
    """The source's options, without its streams."""
    stream: Stream
    guard: Guard
    secrets: tuple[Secret, ...]
    declared: DeclaredStream


@dataclass(frozen=True, slots=True)
class WorkspaceForm:
    """Everything about a workspace that its delivery depends on, except for the streams that it takes leads from."""

    options: Workspace
    api_key: Secret


@dataclass(frozen=True, slots=True)
class CompiledConfig:
    """A configuration that can be put in force. Streams are named `source.stream`."""

    config: Config
    mappings: Mapping[str, LeadMapping]
    specs: Mapping[str, StreamSpec]
    api_keys: Mapping[str, Secret]
    declared: tuple[DeclaredStream, ...]
    secrets: Mapping[str, tuple[Secret, ...]]
    """The secrets in each source's own options, as they were read."""

    @classmethod
    def of(cls, config: Config, *, in_force: CompiledConfig | None = None) -> CompiledConfig:
        """Compile the mappings and read the secrets. Raises ConfigError with all problems.

        Parts that are the same as in `in_force` keep their secrets if those cannot be read any more.
        """
        # first of all: the specifications need what the mappings read
        mappings = compile_all(config)
        specs = stream_specs(config, mappings)
        api_keys = _api_keys(config, in_force)
        secrets = _secrets(config, in_force)
        # a source whose secret is gone cannot be opened to be declared anew: what was declared before still holds
        known = {each.name: each for each in in_force.declared} if in_force else {}
        declared = tuple(
            known[name] if secrets.is_kept(name) and name in known else declare(config, name, spec, mappings[name])
            for name, spec in specs.items()
        )
        return cls(config, mappings, specs, api_keys, declared, secrets.found)

    def stream(self, name: str) -> Stream:
        """Return the options of a stream. Raises KeyError."""
        source, stream = name.split(".", 1)
        return self.config.sources[source].streams[stream]

    def without_parts(self) -> CompiledConfig:
        """Return a plan of no stream and no workspace: the one before the first."""
        nothing = self.config.model_copy(update={"sources": {}, "workspaces": {}})
        return CompiledConfig(nothing, {}, {}, {}, (), {})

    def stream_forms(self) -> dict[str, StreamForm]:
        """Return the form of each stream."""
        return {
            each.name: StreamForm(
                source=self.source_of(each.name).model_copy(update={"streams": {}}),
                stream=self.stream(each.name).model_copy(update={"workspace": each.workspace}),
                guard=self.config.guard_of(self.stream(each.name)),
                secrets=self.secrets[each.name.split(".", 1)[0]],
                declared=each,
            )
            for each in self.declared
        }

    def workspace_forms(self) -> dict[str, WorkspaceForm]:
        """Return the form of each workspace."""
        return {name: WorkspaceForm(options, self.api_keys[name]) for name, options in self.config.workspaces.items()}

    def workspaces_of(self, streams: Collection[str]) -> set[str]:
        """Return the workspaces that these streams feed."""
        return {each.workspace for each in self.declared if each.name in streams}

    def source_of(self, stream: str) -> Source:
        """Return the options of the source that a stream is read from."""
        return self.config.sources[stream.split(".", 1)[0]]

    def on_unknown(self, workspace: str) -> Literal["hold", "resend"]:
        """Return the setting `on_unknown` of a workspace; "hold" for one that is no longer configured."""
        options = self.config.workspaces.get(workspace)
        return options.on_unknown if options else "hold"

    def jobs(self, rows: Mapping[str, StreamRow]) -> dict[str, StreamJob]:
        """Return the input of each stream's polls, once the ledger has registered the streams as `rows`."""
        return {
            name: StreamJob(
                row=rows[name],
                spec=spec,
                mapping=self.mappings[name],
                start=start_point(self.stream(name).start),
                sweep_every=self.stream(name).sweep.total_seconds(),
                max_pending=self.config.workspaces[rows[name].workspace].max_pending,
                guard=self.config.guard_of(self.stream(name)),
                leads_per_second=self.config.workspaces[rows[name].workspace].leads_per_second,
                # they share the outbox: `max_pending` is the workspace's, not the stream's
                neighbours=self._streams_to(rows[name].workspace, rows),
                given_ids=has_given_ids(self.config, name),
            )
            for name, spec in self.specs.items()
        }

    def _streams_to(self, workspace: str, rows: Mapping[str, StreamRow]) -> tuple[str, ...]:
        return tuple(stream for stream in self.specs if rows[stream].workspace == workspace)

    def destinations(self, ledger: Ledger, rows: Mapping[str, StreamRow]) -> dict[str, Destination]:
        """Return each workspace as its delivery needs it."""
        given_ids = frozenset(rows[name].id for name in self.specs if has_given_ids(self.config, name))
        labels = {rows[name].id: label for name in self.specs if (label := self.stream(name).resend_label) is not None}
        return {
            name: Destination(
                name,
                options,
                self.api_keys[name],
                rule_of(options.limit, self.api_keys[name], ledger.hasher),
                self._streams_to(name, rows),
                labels,
                given_ids,
            )
            for name, options in self.config.workspaces.items()
        }


def rule_of(limit: Limit, api_key: Secret, hasher: Hasher) -> RateLimit:
    """Return the rate limit of a workspace's API key, which the ledger knows by a keyed hash only."""
    digest = hasher.digest("api-key", api_key.reveal().encode())
    return RateLimit(digest, limit.requests, limit.per.total_seconds())


def start_point(start: str | date) -> str:
    """Return `all`, `now`, or midnight UTC of a date in the canonical form of a record's modified time."""
    if isinstance(start, str):
        return start
    return datetime(start.year, start.month, start.day, tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _api_keys(config: Config, in_force: CompiledConfig | None) -> dict[str, Secret]:
    """Read the keys of all workspaces. Raises ConfigError with all that cannot be read or that two workspaces share."""
    problems: list[Problem] = []
    keys: dict[str, Secret] = {}
    for name, workspace in config.workspaces.items():
        where = f"workspaces.{name}.api_key"
        try:
            key = workspace.api_key.read(key=where, base=config.path.parent)
            LeadsClient.check_key(key, where)
        except ConfigError as error:
            if in_force is None or in_force.config.workspaces.get(name) != workspace:
                problems += error.problems
                continue
            key = in_force.api_keys[name]
        # a key stands for one workspace at the vendor: both of ours would feed the same one, under one limit
        for other, known in keys.items():
            if known == key:
                problems.append(
                    Problem(
                        where,
                        f"is the same key as that of workspaces.{other}",
                        "one key is one workspace and one limit",
                    )
                )
        keys[name] = key
    if problems:
        raise ConfigError(problems, file=str(config.path))
    return keys


@dataclass(frozen=True, slots=True)
class _Secrets:
    """The secrets of each source; `kept` are the sources whose secrets cannot be read any more."""

    found: Mapping[str, tuple[Secret, ...]]
    kept: Collection[str]

    def is_kept(self, stream: str) -> bool:
        return stream.split(".", 1)[0] in self.kept


def _secrets(config: Config, in_force: CompiledConfig | None) -> _Secrets:
    """Read the secrets of all sources. Raises ConfigError with all that cannot be read."""
    problems: list[Problem] = []
    found: dict[str, tuple[Secret, ...]] = {}
    kept: list[str] = []
    for name, source in config.sources.items():
        try:
            found[name] = tuple(ref.read(key=key) for key, ref in secrets_in(source.options, f"sources.{name}"))
        except ConfigError as error:
            former = in_force.config.sources.get(name) if in_force else None
            if in_force is None or former is None or former.options != source.options:
                problems += error.problems
                continue
            found[name] = in_force.secrets[name]
            kept.append(name)
    if problems:
        raise ConfigError(problems, file=str(config.path))
    return _Secrets(found, kept)


def declare(config: Config, name: str, spec: StreamSpec, mapping: LeadMapping) -> DeclaredStream:
    """Return a stream's identity and settings for the ledger to compare. Reads the source's own secrets, offline."""
    source, stream_name = name.split(".", 1)
    stream = config.sources[source].streams[stream_name]
    # opening is offline; it reads the source's own secrets, so a missing one is reported here
    connector = open_source(config, source)
    try:
        identity = dict(connector.identity(spec))
    finally:
        connector.close()
    workspace, match_on = config.workspace_of(stream), tuple(stream.match_on)
    if is_loopback(httpx.URL(config.workspaces[workspace].base_url).host):
        # what a sandbox took is not in ClosingDealz
        identity[ADDRESS] = "this machine"
    return DeclaredStream(name, identity, workspace, stream.on_change, _version(mapping, spec), match_on, mapping.nests)


def _version(mapping: LeadMapping, spec: StreamSpec) -> str:
    """Return the version of a mapping with its children: other children make other leads of the same records."""
    if not spec.children:
        return mapping.version
    # in the order of names: a file whose tables are moved around must not count as edited
    children = "".join(f"{name}={spec.children[name].model_dump_json()};" for name in sorted(spec.children))
    return hashlib.blake2b((mapping.version + children).encode(), digest_size=16).hexdigest()
