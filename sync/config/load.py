"""Finds the configuration file and loads it: to a validated `Config`, or to all its problems at once."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
from pydantic import BaseModel, ValidationError

from connectors.interface import Cautions
from connectors.registry import connector_type as installed_connector_type
from sync.config.cross import cross_problems, tables
from sync.config.explain import place
from sync.config.joined import FindConnector, ModelT, Validation
from sync.config.mappings import mapping_problems
from sync.config.schema import Config, LeadFields, LeadTable, LedgerOptions, Stream, Wire
from sync.config.value_types import check_constant, is_loopback
from sync.mapping.compile import compile_mapping
from sync.shared.durations import format_duration
from sync.shared.errors import ConfigError, Problem
from sync.shared.secrets import SecretRef

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
        what = "is the ledger's own folder, which already has its receipts"
        yield Problem("ledger.receipts_copy", what, "name another folder, on another disk")


def _digest(raw: dict[str, Any]) -> str:
    """Return a digest of the file's content that ignores comments and the order of tables."""
    try:
        text = orjson.dumps(raw, default=str, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    except TypeError:  # a number of more than 64 bits, which is refused by name
        text = repr(raw).encode(errors="surrogatepass")
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def state_folder(env: Mapping[str, str] = os.environ) -> Path | None:
    """Return the state folder that the service manager passes, the first if there are several; None if there is
    none."""
    # systemd joins the folders of StateDirectory= with colons:
    # https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html#RuntimeDirectory=
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


# ---- the file


CONFIG_VARIABLE = "CLOSINGDEALZ_SYNC_CONFIG"
SYSTEM_FILE = Path("/etc/closingdealz-sync/config.toml")

# Far above any real file: it keeps a device or a wrong path from filling the memory.
_LARGEST = 16 * 2**20
_POSITION = re.compile(r"^(?P<what>.*) \(at (?:(?P<line>line \d+, column \d+)|end of document)\)$", re.DOTALL)


def find_config(explicit: Path | None, env: Mapping[str, str] = os.environ) -> Path:
    """Return the first of -c/--config, $CLOSINGDEALZ_SYNC_CONFIG, ./config.toml, $CONFIGURATION_DIRECTORY, /etc.

    A file that is named by the option or its variable is taken even if it is not there, so that reading it says so.
    Raises ConfigError, saying where it looked.
    """
    if explicit is not None:
        return explicit
    if named := env.get(CONFIG_VARIABLE):
        return Path(named)
    looked = [f"-c/--config (not given), ${CONFIG_VARIABLE} (not set)"]
    for candidate in _candidates(env):
        # A folder named config.toml is passed over like a missing file.
        if os.path.exists(candidate) and not os.path.isdir(candidate):
            return candidate
        looked.append(str(candidate))
    what = f"none found that can be read; looked at: {', '.join(looked)}"
    raise ConfigError([Problem("configuration file", what, "write one with: closingdealz-sync init")])


def _candidates(env: Mapping[str, str]) -> Iterator[Path]:
    yield Path("config.toml").absolute()
    for folder in filter(None, env.get("CONFIGURATION_DIRECTORY", "").split(":")):
        yield Path(folder, "config.toml")
    yield SYSTEM_FILE


def read_toml(path: Path) -> dict[str, Any]:
    """Return the file's tables. Raises ConfigError if it cannot be read or is not TOML; quotes no value."""
    try:
        return tomllib.loads(_read_text(path))
    except RecursionError:
        problem = Problem("file", "is nested too deeply")
    except ValueError as error:
        problem = _syntax_problem(error)
    raise ConfigError([problem], file=str(path))


def _read_text(path: Path) -> str:
    try:
        with open(path, "rb", opener=_unwaiting) as file:
            # A reload reads the file again, which a pipe cannot deliver.
            if stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
                problem = Problem("file", "is a pipe, which cannot be read again", "name a file")
                raise ConfigError([problem], file=str(path))
            # One byte more tells a file at the limit from one that is longer.
            content = file.read(_LARGEST + 1)
    except (OSError, ValueError) as error:
        problem = Problem("file", _reason_of(error), _cure_of(error))
        raise ConfigError([problem], file=str(path)) from error
    if len(content) > _LARGEST:
        raise ConfigError([Problem("file", f"is larger than {_LARGEST // 2**20} MiB")], file=str(path))
    # Editors on Windows put a byte order mark in front, which TOML does not allow.
    return content.decode("utf-8-sig")


def _reason_of(error: Exception) -> str:
    match error:
        case FileNotFoundError():
            return "is not there"
        case OSError():
            return f"cannot be read: {error.strerror}"
        case _:
            return "cannot be read: its name holds a NUL character"


def _cure_of(error: Exception) -> str:
    match error:
        case FileNotFoundError():
            return "name another one with -c, or write it with: closingdealz-sync init"
        case PermissionError():
            return "run this as the user that owns the file, or as root"
        case _:
            return ""


def _unwaiting(path: str, flags: int) -> int:
    """Open a file without blocking: a pipe that nobody writes to would hang the program."""
    return os.open(path, flags | os.O_NONBLOCK)


def _syntax_problem(error: ValueError) -> Problem:
    if isinstance(error, UnicodeDecodeError):
        return Problem("file", f"is not UTF-8 text, from byte {error.start + 1} on")
    if not isinstance(error, tomllib.TOMLDecodeError):
        return Problem("file", "holds a number that is too long")
    match = _POSITION.match(str(error))
    where = (match["line"] or "end of the file") if match else "file"
    what = match["what"] if match else str(error)
    return Problem(where, f"is not valid TOML: {what[:1].lower()}{what[1:]}")


# ---- settings that work and deserve a look


_SECRET_OPTION = re.compile(r"pass|pwd|secret|token|odbc_connect", re.IGNORECASE)


def warnings_of(config: Config) -> tuple[Problem, ...]:
    """Return warnings, none of which stops the program. Reads the file's permissions and nothing else."""
    plain = [Problem(where, "is a secret in plain text", _CURE) for where in _plain_secrets(config)]
    return (*plain, *(_permissions(config) if plain else ()), *_risks(config))


_CURE = 'keep it elsewhere: { env = "NAME" }, { file = "PATH" } or { credential = "NAME" }'


def _permissions(config: Config) -> Iterator[Problem]:
    try:
        mode = config.path.stat().st_mode
    except OSError:
        return
    if mode & 0o044:
        what = f"holds a secret and can be read by other users (mode {mode & 0o777:04o})"
        yield Problem("file", what, f"chmod 600 {config.path}")


def _risks(config: Config) -> Iterator[Problem]:
    for name, workspace in config.workspaces.items():
        if workspace.on_unknown == "resend":
            what = "a batch whose outcome is unknown is sent again: leads may be created twice"
            yield Problem(place("workspaces", name, "on_unknown"), what)
    for name, source in config.sources.items():
        if source.overlap < source.settle:
            what = f"is shorter than settle ({format_duration(source.settle)}): rows that commit late may be missed"
            yield Problem(place("sources", name, "overlap"), what, "only the sweep finds them")
        if isinstance(source.options, Cautions):
            for key, what, hint in source.options.cautions():
                yield Problem(place("sources", name, key), what, hint)
        for stream_name, stream in source.streams.items():
            here = ("sources", name, "streams", stream_name)
            for path in _replaced_names(stream):
                yield Problem(place(*here, *path), _REPLACES, _ADD)
            for what in _matches_nothing(stream):
                yield Problem(place(*here, "match_on"), what)


_REPLACES = "is the older form of `required`: it replaces the name, so leads without one may be sent"
_ADD = "write required = […]: it adds to the name; remove require"


def _replaced_names(stream: Stream) -> Iterator[tuple[int | str, ...]]:
    if stream.lead.require is not None:
        yield ("lead", "require")
    for index, contact in enumerate(stream.lead.contacts):
        if contact.require is not None:
            yield ("lead", "contacts", index, "require")


_MATCHED = {"email": ("emails",), "domain": ("emails", "socials"), "phone": ("phones",)}
"""From which fields the kinds of `match_on` are taken: of a lead, and but for domains of its nested contacts."""


def _matched_tables(stream: Stream, kind: str) -> Iterator[LeadFields]:
    """Yield the tables whose fields a kind of `match_on` compares: domains identify companies only, so no nested
    contacts."""
    yield stream.lead
    if kind != "domain":
        yield from stream.lead.contacts


def _matches_nothing(stream: Stream) -> Iterator[str]:
    for kind in stream.match_on:
        if kind == "domain" and stream.lead.kind == "contact":
            yield 'matches nothing by "domain": domains are compared between companies only'
        elif all(getattr(each, field) is None for each in _matched_tables(stream, kind) for field in _MATCHED[kind]):
            yield f'matches nothing by "{kind}": the lead has no {" or ".join(_MATCHED[kind])}'


def _plain_secrets(config: Config) -> Iterator[str]:
    for name, workspace in config.workspaces.items():
        # A key for this machine opens nothing but a sandbox.
        if workspace.api_key.is_plain and not is_loopback(urlsplit(workspace.base_url).hostname or ""):
            yield place("workspaces", name, "api_key")
    for name, source in config.sources.items():
        yield from _plain_in(source.options, ("sources", name))
        for stream_name, stream in source.streams.items():
            here = ("sources", name, "streams", stream_name)
            yield from _plain_in(stream.options, here)
            yield from _plain_in(stream.children, (*here, "children"))


def _plain_in(value: Any, path: tuple[int | str, ...]) -> Iterator[str]:
    if isinstance(value, SecretRef):
        if value.is_plain and _holds_secret(value.read().reveal()):
            yield place(*path)
        return
    if isinstance(value, BaseModel):
        items: Any = ((key, getattr(value, key)) for key in type(value).model_fields)
    else:
        items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _plain_in(inner, (*path, key))


def _holds_secret(text: str) -> bool:
    """Return False only for a URL with neither a password nor an option that may hold one."""
    try:
        url = urlsplit(text)
        return not url.scheme or url.password is not None or bool(_SECRET_OPTION.search(url.query))
    except ValueError:
        return True
