"""A reload: compare a new configuration with the one in force, and decide what changes, what goes on, what is refused.

A part is refused alone: its source and the workspaces that it feeds keep their old form, and the rest is put in force.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from state.ledger import Ledger
from state.streams import DeclaredStream
from sync.config.load import load_config
from sync.config.schema import Config
from sync.engine.compiled_config import CompiledConfig
from sync.engine.edited_queries import AT_ONCE, Answer, Comparisons, Evidence, Unanswered, is_edited
from sync.engine.engine import Engine, PreparedPlan
from sync.engine.missing_secrets import missing_secrets, pinned, without
from sync.service.notices import cause_in, hint_in
from sync.shared.errors import ConfigError, LedgerBusy, LedgerUntrusted, SourceRefused, SourceUnavailable, SyncError


@dataclass(frozen=True, slots=True)
class RefusedPart:
    """A source whose new form cannot be used, because of one of its streams (or of a secret: then `stream` is empty),
    and the workspaces that keep their old form with it.

    `was_there` is False if the source has no old form, and is left out.
    """

    source: str
    stream: str
    workspaces: tuple[str, ...]
    error: SyncError
    was_there: bool

    @property
    def is_awaited(self) -> bool:
        """True while its source may still answer."""
        return isinstance(self.error, Unanswered)

    def as_fields(self) -> dict[str, object]:
        """Return the fields of the event `part_refused`."""
        return {
            "source": self.source,
            "stream": self.stream or None,
            "workspaces": list(self.workspaces) or None,
            "error": cause_in(self.error),
            "hint": hint_in(self.error) or None,
        }


@dataclass(frozen=True, slots=True)
class Accepted:
    """The plan to put in force; `edited` are the streams whose query was edited and still has the same records."""

    plan: CompiledConfig
    edited: Sequence[Evidence]
    refused: Sequence[RefusedPart]

    @property
    def awaits(self) -> bool:
        """True while sources may still answer, so that more can be put in force."""
        return any(each.is_awaited for each in self.refused)


class Reload:
    """The preparation of a new configuration in a thread of its own, while the one in force is at work.

    Once it `is_over` there is one to adopt (`accepted`, `fresh`) or a `refusal`; neither if the engine stops meanwhile,
    or if it gives way. Sources that did not answer at once keep their old form: `go_on` once the rest is in force.
    """

    def __init__(self, path: Path, engine: Engine, former: Reload | None = None) -> None:
        """Begin at once: read the file, or go on with what a former reload read."""
        self._path = path
        self._engine = engine
        # answers that arrive late are not asked for again
        self._comparisons: Comparisons = former._comparisons if former else Comparisons()
        # the file as it was read then: a later edit needs a SIGHUP of its own
        self._config: Config | None = former._config if former else None
        self._gives_way = threading.Event()
        self.accepted: Accepted | None = None
        self.fresh: PreparedPlan | None = None
        self.refusal: SyncError | None = None
        self._thread = threading.Thread(target=self._run, name="reload", daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def go_on(self) -> Reload:
        """Return the reload that waits for the sources which this one did not wait for."""
        return Reload(self._path, self._engine, self)

    def give_way(self) -> None:
        """Stop waiting for a source, because another reload is wanted."""
        self._gives_way.set()

    def _run(self) -> None:
        try:
            self._prepare()
        except BaseException as error:  # noqa: BLE001 - a thread's boundary: the program must hear of it, whatever it is
            self._engine.fail(error)

    def _prepare(self) -> None:
        try:
            accepted = self._accept()
        except REFUSALS as error:
            self.refusal = error
            return
        # nothing was registered yet, so there is nothing to take back
        if accepted is None or self._engine.is_stopping:
            return
        try:
            self.fresh = self._engine.prepare(accepted.plan, accepted.edited)
            self.accepted = accepted
        except REFUSALS as error:
            self.refusal = error
            self.take_back()

    def _accept(self) -> Accepted | None:
        waits = self._config is not None
        config = self._config = self._config or load_config(self._path)
        while True:
            if waits and not self._hears():
                return None
            try:
                return accept(config, self._engine.plan, self._engine.ledger, self._comparisons)
            except Unanswered:
                waits = True

    def _hears(self) -> bool:
        """Wait until a source answers; return False if the engine stops or another reload is wanted."""
        while not self._comparisons.has_news:
            if self._engine.is_stopping or self._gives_way.wait(LOOK):
                return False
        return True

    def take_back(self) -> None:
        """Discard what was prepared and cannot be adopted: the mappings of the plan in force count again."""
        if self.fresh is not None:
            self.fresh.discard()
        with contextlib.suppress(LedgerBusy, LedgerUntrusted):
            self._engine.restore()


LOOK = 0.05
"""Seconds between two checks if the wait for a source ended for another reason."""
REFUSALS = (ConfigError, LedgerUntrusted, LedgerBusy, SourceUnavailable, SourceRefused)
"""Errors that leave the plan in force as it is."""


def accept(config: Config, old: CompiledConfig, ledger: Ledger, comparisons: Comparisons) -> Accepted:
    """Ask the ledger and the sources of what was edited whether a new configuration may be put in force.

    Raises ConfigError with all secrets that are missing; LedgerUntrusted where another ledger is named, or where no
    source is left that could be put in force (SourceUnavailable, SourceRefused likewise; Unanswered where one may be
    yet); LedgerBusy, LedgerError.
    """
    # the engine's workers hold the open ledger; another one would not know what they sent
    if config.ledger_path != old.config.ledger_path:
        raise LedgerUntrusted("[ledger] path cannot change while the daemon runs", hint="restart it instead")
    missing = missing_secrets(config)
    refused = {name: _refused(name, "", error, old.config) for name, error in missing.sources.items()}
    _spread(refused, config, old.config)
    without(config, missing)
    evidence = _Answers(ledger, old, comparisons)
    plan = CompiledConfig.of(mixed(old.config, config, refused.values(), missing.workspaces), in_force=old)
    # each refusal makes another plan, which is checked again until nothing more is refused
    while found := _refusals(plan, old, ledger, evidence):
        refused |= {each.source: each for each in found if each.source not in refused}
        _spread(refused, config, old.config)
        is_refused_twice = any(refused[each.source] is not each for each in found)  # in its old form, too
        if is_refused_twice or not config.sources.keys() - refused.keys():
            # an awaited source first: the reload can go on once it answers
            raise next((each.error for each in refused.values() if each.is_awaited), found[0].error)
        try:
            plan = CompiledConfig.of(mixed(old.config, config, refused.values(), missing.workspaces), in_force=old)
        except ConfigError:  # old and new do not go together, as where a kept workspace's key is another's now
            raise found[0].error from None
    return Accepted(plan, evidence.of(plan), tuple(refused.values()))


def _spread(refused: dict[str, RefusedPart], new: Config, old: Config) -> None:
    """Refuse whatever else feeds a workspace that keeps an old form: its leads are meant for the new one, which may be
    another account."""
    while True:
        kept = {name: each for each in refused.values() for name in each.workspaces}
        changed = {name for name in kept if new.workspaces.get(name) != old.workspaces[name]}
        found = {
            source: _refused(source, kept[workspace].stream, kept[workspace].error, old)
            for source, options in new.sources.items()
            for workspace in {new.workspace_of(stream) for stream in options.streams.values()} & changed
            if source not in refused
        }
        # a fixed point: no further source feeds a workspace that keeps its old form
        if not found:
            return
        refused |= found


def mixed(old: Config, new: Config, refused: Collection[RefusedPart], keyless: Collection[str] = ()) -> Config:
    """Return the new configuration, in which refused parts, and workspaces whose key is missing, keep their old form or
    are left out.

    Look-up tables and `[guard]` belong to no source: they are the new ones. An old look-up table stays if the new file
    has none of that name.
    """
    kept = {*keyless, *(name for each in refused for name in each.workspaces)}
    workspaces = {name: each for name, each in new.workspaces.items() if name not in keyless}
    # the old form wins: the refused source was checked with it
    workspaces = {**workspaces, **{name: old.workspaces[name] for name in kept if name in old.workspaces}}
    sources = {name: pinned(new, name) for name in new.sources}
    for each in refused:
        sources.pop(each.source, None)
        if each.was_there:
            sources[each.source] = pinned(old, each.source)
    return new.model_copy(
        update={
            "sources": sources,
            "workspaces": workspaces,
            "lookups": {**old.lookups, **new.lookups},
        }
    )


def _refusals(plan: CompiledConfig, old: CompiledConfig, ledger: Ledger, evidence: _Answers) -> list[RefusedPart]:
    """Return a refusal for each source that cannot be used as it is in this plan, and for those that its streams had
    before."""
    evidence.gather(plan)
    errors: dict[str, tuple[str, SyncError]] = {}
    for declared in plan.declared:
        if _source(declared.name) not in errors and (error := evidence.against(declared)) is not None:
            errors[_source(declared.name)] = declared.name, error
    edited = [each.stream for each in evidence.of(plan)]
    found = {source: _refused(source, *error, old.config) for source, error in errors.items()}
    for name, refusal in ledger.streams.refusals(plan.declared, reworded=edited).items():
        streams = {name, refusal.known_as} if refusal.known_as in old.specs else {name}
        for source in map(_source, sorted(streams)):
            found.setdefault(source, _refused(source, name, refusal.error, old.config))
    return list(found.values())


def _refused(source: str, stream: str, error: SyncError, old: Config) -> RefusedPart:
    streams = old.sources[source].streams.values() if source in old.sources else ()
    workspaces = dict.fromkeys(old.workspace_of(each) for each in streams)
    return RefusedPart(source, stream, tuple(workspaces), error, was_there=source in old.sources)


def _source(stream: str) -> str:
    return stream.split(".", 1)[0]


class _Answers:
    """The answers of sources about edited queries, asked once for each form of a stream. A stream that is declared as
    in the plan in force needs none."""

    def __init__(self, ledger: Ledger, in_force: CompiledConfig, comparisons: Comparisons) -> None:
        self._ledger = ledger
        self._comparisons = comparisons
        # only sources that this attempt asks count as awaited
        comparisons.look_again()
        self._until = monotonic() + AT_ONCE
        self._found: dict[str, tuple[DeclaredStream, Answer]] = {
            it.name: (it, (None, None)) for it in in_force.declared
        }

    def gather(self, plan: CompiledConfig) -> None:
        """Ask for what is not known yet, source beside source. Raises LedgerBusy, LedgerError."""
        unknown = [it for it in plan.declared if it.name not in self._found or self._found[it.name][0] != it]
        edited = [it.name for it in unknown if is_edited(it, self._ledger)]
        self._comparisons.begin(plan, edited, self._ledger)
        for it in unknown:
            answer = self._comparisons.answer(it.name, self._until) if it.name in edited else (None, None)
            self._found[it.name] = it, answer

    def against(self, declared: DeclaredStream) -> SyncError | None:
        """Return the reason why the stream cannot be the one that the ledger knows, or None."""
        return self._found[declared.name][1][1]

    def of(self, plan: CompiledConfig) -> list[Evidence]:
        """Return the evidence for the edited streams of the plan."""
        found = (self._found[declared.name][1] for declared in plan.declared)
        return [evidence for evidence, error in found if evidence is not None and error is None]
