"""`closingdealz-sync check`: looks at everything the daemon will need, leaves nothing behind, sends nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from sync.commands.options import config_option, json_option
from sync.errors import ConfigError, SyncError

if TYPE_CHECKING:  # --help does without them
    from connectors.interface import Connector, FieldKind, StreamSpec
    from state.ledger import Ledger
    from sync.config.schema import Config, Workspace
    from sync.mapping.compile import LeadMapping
    from sync.secrets import Secret

_EXIT_CONFIG, _EXIT_REFUSED, _EXIT_IO, _EXIT_UNAVAILABLE = 78, 77, 74, 75
_COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


class Line(NamedTuple):
    """One thing that was looked at: `ok`, `warning` or `error`, and the exit code that it calls for."""

    level: str
    where: str
    text: str
    hint: str = ""
    exit_code: int = 0


@click.command()
@click.option(
    "--file",
    "file_only",
    is_flag=True,
    help="Look at the file, and the ledger's version, only: no secrets, no network.",
)
@json_option
@config_option
def check(file_only: bool, as_json: bool, config: Path | None) -> int:
    """Check the file, the secrets, each source and the way to ClosingDealz, and write to where the ledger, its
    receipts and copies go (a file that is removed again). Sends nothing.

    Exit code: 0 all is well (there may be warnings), 78 the file or a secret is wrong, 77 a source or server refuses,
    74 a place cannot be written, 75 a source or server does not answer now.
    """
    lines: list[Line] = []
    for line in look(config, file_only=file_only):
        lines.append(line)
        if not as_json:
            _print(line)
    exit_code = exit_code_of(lines)
    if as_json:
        findings = [{"level": line.level, "where": line.where, "text": line.text, "hint": line.hint} for line in lines]
        click.echo(json.dumps({"exit_code": exit_code, "findings": findings}, indent=2, ensure_ascii=False))
    else:
        click.echo(_summary(lines))
    return exit_code


def exit_code_of(lines: list[Line]) -> int:
    """The gravest of the exit codes: what a person must mend comes before what passes."""
    codes = {line.exit_code for line in lines}
    gravest = (_EXIT_CONFIG, _EXIT_REFUSED, _EXIT_IO, _EXIT_UNAVAILABLE)
    return next((code for code in gravest if code in codes), max(codes))


def look(explicit: Path | None, *, file_only: bool) -> Iterator[Line]:
    """Everything that is looked at, in order; without a usable file nothing follows it."""
    from sync.clock import SystemClock
    from sync.config.ages import near_ends
    from sync.config.load import find_config, load_config, warnings_of
    from sync.streams import compile_all, stream_specs

    try:
        path = find_config(explicit)
        config = load_config(path)
        mappings = compile_all(config)
    except ConfigError as error:
        yield from _problems(error)
        return
    yield Line("ok", "file", f"{config.path}: {_contents(config)}")
    for caution in warnings_of(config):
        yield Line("warning", caution.where, caution.what, caution.hint)
    for age in near_ends(config, SystemClock().wall()):
        yield Line("warning", f"sources.{age.source}", age.what, age.ending.cure)
    for key, mapping in mappings.items():
        yield Line("ok", key, _reads(mapping))
    yield from _newer_ledger(config)
    if file_only:
        for mapping in mappings.values():
            yield from _constants(mapping, {})
        return
    yield from _writable(config)
    yield from _workspaces(config)
    specs = stream_specs(config, mappings)
    for key, spec in specs.items():
        yield from _stream(config, spec, mappings[key])
    yield from _remembered(config, specs, mappings)


def _problems(error: ConfigError) -> Iterator[Line]:
    for problem in error.problems:
        yield Line("error", problem.where, problem.what, problem.hint, _EXIT_CONFIG)


def _contents(config: Config) -> str:
    streams = sum(len(source.streams) for source in config.sources.values())
    counts = ((len(config.workspaces), "workspace"), (len(config.sources), "source"), (streams, "stream"))
    return ", ".join(f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts)


def _reads(mapping: LeadMapping) -> str:
    fields = mapping.wanted.fields
    if fields is None:
        return "the mapping compiles and reads whole records"
    return f"the mapping compiles and reads {len(fields)} field{'' if len(fields) == 1 else 's'} of each record"


def _newer_ledger(config: Config) -> Iterator[Line]:
    """Whether this version may use the ledger: asked of the file alone, before a version takes another's place."""
    from state.migrate import refuse_newer

    try:
        if config.ledger_path.exists():
            refuse_newer(config.ledger_path)
    except SyncError as error:
        yield Line("error", "ledger", error.message, error.hint, error.exit_code)


def _writable(config: Config) -> Iterator[Line]:
    """Whether each place can be written, found out by writing: the daemon does the same before it is ready."""
    from sync.writable import cure, fault, places_of, prove

    for place in places_of(config):
        try:
            prove(place)
        except OSError as error:
            yield Line("error", f"ledger.{place.key}", fault(place, error), cure(place, error), _EXIT_IO)
        else:
            yield Line("ok", f"ledger.{place.key}", f"{place.folder} can be written")


def _workspaces(config: Config) -> Iterator[Line]:
    keys: dict[Secret, str] = {}
    for name, workspace in config.workspaces.items():
        yield from _key(name, workspace, config.path.parent, keys)
    from sync.commands.reach import reach

    for base_url in dict.fromkeys(workspace.base_url for workspace in config.workspaces.values()):
        users = ", ".join(name for name, workspace in config.workspaces.items() if workspace.base_url == base_url)
        found = reach(base_url)
        if found.ok:
            yield Line("ok", f"workspaces.{users}", found.text)
        else:
            code = _EXIT_UNAVAILABLE if found.later else _EXIT_REFUSED
            yield Line("error", f"workspaces.{users}", found.text, found.hint, code)


def _key(name: str, workspace: Workspace, folder: Path, keys: dict[Secret, str]) -> Iterator[Line]:
    where = f"workspaces.{name}.api_key"
    try:
        key = workspace.api_key.read(key=where, base=folder)
    except ConfigError as error:
        yield from _problems(error)
        return
    text = key.reveal()
    if not text.isascii() or not text.isprintable() or " " in text:
        yield Line("error", where, "holds characters that no API key has", "copy the key again", _EXIT_CONFIG)
    elif key in keys:
        what = f"is the same key as that of workspaces.{keys[key]}: one API key is one workspace, with one rate limit"
        yield Line("error", where, what, "remove one of the workspaces", _EXIT_CONFIG)
    else:
        yield Line("ok", where, f"read from {workspace.api_key.where}")
    keys.setdefault(key, name)


def _constants(mapping: LeadMapping, kinds: Mapping[tuple[str, ...], FieldKind]) -> Iterator[Line]:
    """Constants of the mapping that their field never equals."""
    from sync.mapping.literals import doubts

    for doubt in doubts(mapping.compared, kinds):
        yield Line("warning", doubt.where, doubt.what, doubt.hint)


def _kinds(connector: Connector, spec: StreamSpec) -> Mapping[tuple[str, ...], FieldKind]:
    """What the fields can hold; nothing where that cannot be told, which is no reason to fail."""
    from connectors.interface import Describes

    try:
        return connector.describe(spec) if isinstance(connector, Describes) else {}
    except SyncError:
        return {}


def _stream(config: Config, spec: StreamSpec, mapping: LeadMapping) -> Iterator[Line]:
    from sync.streams import open_source

    where = f"{spec.source}.{spec.name}"
    kinds: Mapping[tuple[str, ...], FieldKind] = {}
    try:
        connector = open_source(config, spec.source)
        try:
            findings = connector.check(spec)
            kinds = _kinds(connector, spec)
        finally:
            connector.close()
    except ConfigError as error:
        yield from _problems(error)
    except SyncError as error:
        text = f"field {error.field!r}: {error.message}" if error.field else error.message
        yield Line("error", where, text, error.hint, error.exit_code)
    else:
        for finding in findings:
            code = _EXIT_REFUSED if finding.level == "error" else 0
            yield Line(finding.level, where, finding.text, finding.hint, code)
    yield from _constants(mapping, kinds)


def _remembered(config: Config, specs: Mapping[str, StreamSpec], mappings: Mapping[str, LeadMapping]) -> Iterator[Line]:
    """Whether each stream is what the ledger remembers under its name: what `once` and `run` would refuse. Where there
    is no ledger, or none that can be read now, that is theirs to say."""
    from sync.ledgers import open_ledger

    if not config.ledger_path.exists():
        return
    try:
        with open_ledger(config) as ledger:
            for name in specs:
                yield from _as_remembered(config, ledger, specs, mappings, name)
    except SyncError:
        return


def _as_remembered(
    config: Config,
    ledger: Ledger,
    specs: Mapping[str, StreamSpec],
    mappings: Mapping[str, LeadMapping],
    name: str,
) -> Iterator[Line]:
    from sync.plan import declare
    from sync.rewording import evidence_of, refuse

    try:
        declared = {each: declare(config, each, specs[each], mappings[each]) for each in specs}
        evidence = evidence_of(config, specs[name], mappings[name], declared[name], ledger)
        if evidence is None:
            ledger.streams.refuse(list(declared.values()), declared[name])
            return
        refuse(evidence)
    except ConfigError as error:
        yield from _problems(error)
    except SyncError as error:
        yield Line("error", name, error.message, error.hint, error.exit_code)
    else:
        compared = f"{evidence.same} of {evidence.found} records compared look the same; nothing is sent again"
        yield Line("ok", name, f"the query was edited: {compared}")


def _print(line: Line) -> None:
    mark = click.style(f"{line.level:<8}", fg=_COLOURS[line.level], bold=line.level != "ok" or None)
    click.echo(f"{mark} {line.where}: {line.text}")
    if line.hint:
        click.echo(f"{'':<8}   {line.hint}")


def _summary(lines: list[Line]) -> str:
    errors, warnings = (sum(line.level == level for line in lines) for level in ("error", "warning"))
    if not errors and not warnings:
        return "all is well"
    counts = [
        f"{count} {word}{'' if count == 1 else 's'}"
        for count, word in ((errors, "error"), (warnings, "warning"))
        if count
    ]
    return ", ".join(counts)
