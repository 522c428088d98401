"""`closingdealz-sync check`: verifies everything the daemon needs, leaves nothing behind, sends nothing."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from sync.commands.click_options import all_option, config_option, json_option, scope_options
from sync.commands.output import print_json
from sync.shared.errors import ConfigError, SyncError

if TYPE_CHECKING:  # --help does without them
    from connectors.interface import Connector, FieldKind, StreamSpec
    from state.ledger import Ledger
    from sync.config.schema import Config, Workspace
    from sync.mapping.compile import LeadMapping
    from sync.shared.secrets import Secret


_EXIT_CONFIG, _EXIT_REFUSED, _EXIT_IO, _EXIT_UNAVAILABLE = 78, 77, 74, 75
_NAMED = 5
"""The most workspaces named that share one address."""


@click.command()
@click.option(
    "--file",
    "file_only",
    is_flag=True,
    help="Check only the file and the ledger's version: no secrets, no network.",
)
@scope_options
@all_option
@json_option
@config_option
def check(
    *,
    file_only: bool,
    workspaces: Sequence[str],
    streams: Sequence[str],
    whole: bool,
    as_json: bool,
    config: Path | None,
) -> int:
    """Check the file, the secrets, each source and the connection to ClosingDealz. Sends nothing.

    It also writes a test file where the ledger, its receipts and copies go, and removes it again.

    --workspace and --stream limit the check to these, but the file is always checked as a whole.

    Exit code: 0 all is well (there may be warnings), 78 the file or a secret is wrong, 77 a source or server refuses,
    74 a place cannot be written, 75 a source or server is not answering.
    """
    lines: list[CheckLine] = []
    for line in look(config, file_only=file_only, workspaces=workspaces, streams=streams):
        if line not in lines:  # two checks may meet the same fault, such as a missing secret
            lines.append(line)
        if not as_json:
            _pass_by(line)
    exit_code = exit_code_of(lines)
    if as_json:
        findings = [{"level": line.level, "where": line.where, "text": line.text, "hint": line.hint} for line in lines]
        print_json({"exit_code": exit_code, "findings": findings})
    else:
        _pass_by(None)
        show(lines, whole=whole, config=config)
    return exit_code


def _pass_by(line: CheckLine | None) -> None:
    """Show on a terminal which check runs now: a source may take a while."""
    if sys.stderr.isatty():
        click.echo("\r\x1b[2K" + (f"{line.where} …" if line else ""), nl=False, err=True)


def exit_code_of(lines: list[CheckLine]) -> int:
    """Return the gravest exit code: what a person must fix comes before what may pass."""
    codes = {line.exit_code for line in lines}
    gravest = (_EXIT_CONFIG, _EXIT_REFUSED, _EXIT_IO, _EXIT_UNAVAILABLE)
    return next((code for code in gravest if code in codes), max(codes))


def look(
    explicit: Path | None, *, file_only: bool, workspaces: Sequence[str] = (), streams: Sequence[str] = ()
) -> Iterator[CheckLine]:
    """Run all checks in order and yield what each finds; an unusable file ends them.

    Of streams and workspaces only those named are checked, if any are. Raises click.UsageError.
    """
    from sync.config.ages import near_ends
    from sync.config.load import find_config, load_config, warnings_of
    from sync.config.mappings import compile_all
    from sync.engine.stream_specs import stream_specs
    from sync.shared.clock import SystemClock

    try:
        path = find_config(explicit)
        config = load_config(path)
        mappings = compile_all(config)
    except ConfigError as error:
        yield from _problems(error)
        return
    from sync.commands.choose import choose_scope
    from sync.views.scope import scope_of

    scope = scope_of(config, None, *choose_scope(config, workspaces, streams))
    yield CheckLine("ok", "file", f"{config.path}: {_contents(config)}")
    yield from _in_force(config)
    for caution in warnings_of(config):
        yield CheckLine("warning", caution.where, caution.what, caution.hint)
    for age in near_ends(config, SystemClock().wall()):
        yield CheckLine("warning", f"sources.{age.source}", age.what, age.ending.cure)
    for key in scope.streams:
        yield CheckLine("ok", key, _reads(mappings[key]))
    # before the network: an upgrade asks for this with --file
    yield from _newer_ledger(config)
    if file_only:
        for key in scope.streams:
            yield from _constants(mappings[key], {})
        return
    yield from _writable(config)
    yield from _tasks(config)
    yield from _workspaces(config, scope.workspaces)
    specs = stream_specs(config, mappings)
    for key in scope.streams:
        yield from _stream(config, specs[key], mappings[key])
    yield from _remembered(config, specs, mappings, scope.streams)


def _in_force(config: Config) -> Iterator[CheckLine]:
    """Yield whether a daemon runs with the file's configuration. A ledger that cannot be read is reported elsewhere."""
    from state.lock import holder
    from sync.engine.ledger_opening import open_ledger
    from sync.service.notices import digest_of
    from sync.views.phrases import moment

    if not config.ledger_path.exists():
        return
    try:
        with open_ledger(config) as ledger:
            in_force, pid = ledger.incidents.in_force(), holder(ledger.path)
            refused = next((each for each in ledger.incidents.all() if each.kind == "config"), None)
            digest = digest_of(config, ledger)
    except SyncError:
        return
    # after a daemon that ended the file may differ as it likes
    if in_force is None or pid is None or in_force.stopped is not None:
        return
    running = f"running (pid {pid}) with the configuration of {moment(in_force.since)}"
    if refused is not None:
        text = f"{running}: its reload has been refused since {moment(refused.since)}: {refused.cause}"
        yield CheckLine("warning", "daemon", text, refused.hint)
    elif in_force.config != str(config.path):
        yield CheckLine("warning", "daemon", f"{running}, from another file: {in_force.config}")
    elif in_force.digest != digest:
        yield CheckLine(
            "warning", "daemon", f"{running}; the file has changed since", "reload it (SIGHUP; systemctl reload)"
        )
    else:
        yield CheckLine("ok", "daemon", f"{running}, as it stands in the file")


def _problems(error: ConfigError) -> Iterator[CheckLine]:
    for problem in error.problems:
        yield CheckLine("error", problem.where, problem.what, problem.hint, _EXIT_CONFIG)


def _contents(config: Config) -> str:
    streams = sum(len(source.streams) for source in config.sources.values())
    counts = ((len(config.workspaces), "workspace"), (len(config.sources), "source"), (streams, "stream"))
    return ", ".join(f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts)


def _reads(mapping: LeadMapping) -> str:
    fields = mapping.wanted.fields
    if fields is None:
        return "the mapping compiles and reads whole records"
    return f"the mapping compiles and reads {len(fields)} field{'' if len(fields) == 1 else 's'} of each record"


def _newer_ledger(config: Config) -> Iterator[CheckLine]:
    """Yield an error if the ledger is of a newer version: asked of the file alone, before an upgrade or downgrade."""
    from state.migrate import refuse_newer

    try:
        if config.ledger_path.exists():
            refuse_newer(config.ledger_path)
    except SyncError as error:
        yield CheckLine("error", "ledger", error.message, error.hint, error.exit_code)


def _writable(config: Config) -> Iterator[CheckLine]:
    """Write to each place and yield whether that worked, as the daemon does before it is ready."""
    from sync.service.writable import cure, fault, places_of, prove

    for place in places_of(config):
        try:
            prove(place)
        except OSError as error:
            yield CheckLine("error", f"ledger.{place.key}", fault(place, error), cure(place, error), _EXIT_IO)
        else:
            yield CheckLine("ok", f"ledger.{place.key}", f"{place.folder} can be written")


def _tasks(config: Config) -> Iterator[CheckLine]:
    """Yield a warning if the service may not have as many threads as this configuration needs."""
    from sync.service.systemd import tasks_allowed

    needed, allowed = tasks_needed(config), tasks_allowed()
    if allowed is not None and needed > allowed:
        what = f"these workspaces and streams need about {needed:,} threads, and the service may have {allowed:,}"
        more = f"let it have more, such as TasksMax={2 * needed} in [Service] (systemctl edit)"
        yield CheckLine("warning", "service", what, f"{more}, or spread the workspaces over several instances")


def tasks_needed(config: Config) -> int:
    """Return about how many threads a daemon with this configuration has at the most; each poll and request that hangs
    takes one more."""
    from sync.delivery import request_places
    from sync.service import turn_threads

    streams, workspaces = sum(len(source.streams) for source in config.sources.values()), len(config.workspaces)
    requests = min(workspaces * _REQUESTS, request_places.AT_ONCE)
    return _OTHER_THREADS + workspaces + requests + min(streams, turn_threads.AT_ONCE)


_REQUESTS = 8
"""Requests of one workspace that are on the wire together; more only where the API is slow."""
_OTHER_THREADS = 32
"""Scheduler, HTTP, socket, listeners, reload, name resolution."""


def _workspaces(config: Config, names: Collection[str]) -> Iterator[CheckLine]:
    keys: dict[Secret, str] = {}
    chosen = {name: config.workspaces[name] for name in names}
    for name, workspace in chosen.items():
        yield from _key(name, workspace, config.path.parent, keys)
    from sync.commands.reach import reach

    # each server once, however many workspaces share it
    for base_url in dict.fromkeys(workspace.base_url for workspace in chosen.values()):
        users = _some([name for name, workspace in chosen.items() if workspace.base_url == base_url])
        found = reach(base_url)
        if found.ok:
            yield CheckLine("ok", f"workspaces.{users}", found.text)
        else:
            code = _EXIT_UNAVAILABLE if found.later else _EXIT_REFUSED
            yield CheckLine("error", f"workspaces.{users}", found.text, found.hint, code)


def _some(names: list[str]) -> str:
    """Join the first few of many names."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _key(name: str, workspace: Workspace, folder: Path, keys: dict[Secret, str]) -> Iterator[CheckLine]:
    where = f"workspaces.{name}.api_key"
    try:
        key = workspace.api_key.read(key=where, base=folder)
    except ConfigError as error:
        yield from _problems(error)
        return
    text = key.reveal()
    # a header cannot carry it, and the request would fail with an error that hides this
    if not text.isascii() or not text.isprintable() or " " in text:
        what = "contains characters that an API key cannot have"
        yield CheckLine("error", where, what, "copy the key again", _EXIT_CONFIG)
    elif key in keys:
        what = f"is the same key as that of workspaces.{keys[key]}: one API key is one workspace, with one rate limit"
        yield CheckLine("error", where, what, "remove one of the workspaces", _EXIT_CONFIG)
    else:
        yield CheckLine("ok", where, f"read from {workspace.api_key.where}")
    # the first name stays, so that all others point to it
    keys.setdefault(key, name)


def _constants(mapping: LeadMapping, kinds: Mapping[tuple[str, ...], FieldKind]) -> Iterator[CheckLine]:
    """Yield a warning for each constant that the field it is compared with never equals."""
    from sync.mapping.literals import doubts

    for doubt in doubts(mapping.compared, kinds):
        yield CheckLine("warning", doubt.where, doubt.what, doubt.hint)


def _kinds(connector: Connector, spec: StreamSpec) -> Mapping[tuple[str, ...], FieldKind]:
    """Return what the fields can hold; empty where the source cannot tell, which is no error."""
    from connectors.interface import Describes

    try:
        return connector.describe(spec) if isinstance(connector, Describes) else {}
    except SyncError:
        return {}


def _stream(config: Config, spec: StreamSpec, mapping: LeadMapping) -> Iterator[CheckLine]:
    from sync.engine.stream_specs import open_source

    where = f"{spec.source}.{spec.name}"
    kinds: Mapping[tuple[str, ...], FieldKind] = {}
    try:
        connector = open_source(config, spec.source)
        try:
            # before the kinds: a source that cannot be reached says so here
            findings = connector.check(spec)
            kinds = _kinds(connector, spec)
        finally:
            connector.close()
    except ConfigError as error:
        yield from _problems(error)
    except SyncError as error:
        text = f"field {error.field!r}: {error.message}" if error.field else error.message
        yield CheckLine("error", where, text, error.hint, error.exit_code)
    else:
        for finding in findings:
            code = _EXIT_REFUSED if finding.level == "error" else 0
            yield CheckLine(finding.level, where, finding.text, finding.hint, code)
    yield from _constants(mapping, kinds)


def _remembered(
    config: Config, specs: Mapping[str, StreamSpec], mappings: Mapping[str, LeadMapping], chosen: Collection[str]
) -> Iterator[CheckLine]:
    """Yield, for each stream, whether the ledger knows another stream under its name, which `once` and `run` would
    refuse. A ledger that is missing or cannot be read now is left to them."""
    from sync.engine.ledger_opening import open_ledger

    if not config.ledger_path.exists():
        return
    try:
        with open_ledger(config) as ledger:
            for name in chosen:
                yield from _as_remembered(config, ledger, specs, mappings, name)
    except SyncError:
        return


def _as_remembered(
    config: Config,
    ledger: Ledger,
    specs: Mapping[str, StreamSpec],
    mappings: Mapping[str, LeadMapping],
    name: str,
) -> Iterator[CheckLine]:
    from sync.engine.compiled_config import declare
    from sync.engine.edited_queries import evidence_of, refuse

    try:
        declared = {each: declare(config, each, specs[each], mappings[each]) for each in specs}
        evidence = evidence_of(config, specs[name], mappings[name], declared[name], ledger)
        if evidence is None:
            # all of them: a renamed stream is recognised by the one that vanished
            ledger.streams.refuse(list(declared.values()), declared[name])
            return
        refuse(evidence)
    except ConfigError as error:
        yield from _problems(error)
    except SyncError as error:
        yield CheckLine("error", name, error.message, error.hint, error.exit_code)
    else:
        compared = f"{evidence.same} of {evidence.found} records compared look the same; nothing is sent again"
        yield CheckLine("ok", name, f"the query was edited: {compared}")


# ---- as text


MANY = 40
"""With more lines of the level `ok` than this, only their number is printed."""
_LEVELS = {"error": "red", "warning": "yellow", "ok": "green"}
_INDENT = 9


class CheckLine(NamedTuple):
    """One finding: its level (`ok`, `warning` or `error`), and the exit code that it calls for."""

    level: str
    where: str
    text: str
    hint: str = ""
    exit_code: int = 0


def show(lines: Sequence[CheckLine], *, whole: bool, config: Path | None = None) -> None:
    """Print all findings; of many that are well only the number, unless `whole`. Commands have -c if `config` was
    given."""
    from sync.views.phrases import program, typed

    command = program(config)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    click.echo(summary(lines))
    for level in _LEVELS:
        found = [line for line in lines if line.level == level]
        if level == "ok" and len(found) > MANY and not whole:
            click.echo(f"{_mark('ok')} {len(found):,} more things were checked: --all lists them")
            return
        for line in found:
            told = line._replace(text=typed(line.text, command), hint=typed(line.hint, command))
            for text in _lines(told, width):
                click.echo(text)


def _lines(line: CheckLine, width: int) -> Iterator[str]:
    first, *rest = _broken(f"{line.where}: {line.text}", width, "  ")
    yield f"{_mark(line.level)} {first}"
    yield from (f"{'':<{_INDENT}}{each}" for each in rest)
    if line.hint:
        yield from (f"{'':<{_INDENT}}  {each}" for each in _broken(line.hint, width, ""))


def _broken(text: str, width: int, indent: str) -> list[str]:
    """Break a line between words where a terminal would break it within a word."""
    if not width or len(text) + _INDENT + 2 <= width:
        return [text]
    room = max(width - _INDENT - 2, 20)
    return textwrap.wrap(text, room, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)


def _mark(level: str) -> str:
    return click.style(f"{level:<8}", fg=_LEVELS[level], bold=level != "ok" or None)


def summary(lines: Sequence[CheckLine]) -> str:
    """Return `all is well`, or such as `2 errors, 1 warning`."""
    counts = {level: sum(line.level == level for line in lines) for level in ("error", "warning")}
    said = [f"{n:,} {level}{'' if n == 1 else 's'}" for level, n in counts.items() if n]
    return ", ".join(said) or "all is well"
