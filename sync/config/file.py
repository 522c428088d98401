"""Finds and reads the configuration file."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sync.shared.errors import ConfigError, Problem

CONFIG_VARIABLE = "CLOSINGDEALZ_SYNC_CONFIG"
SYSTEM_FILE = Path("/etc/closingdealz-sync/config.toml")

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
    what = f"none found, or none that may be read; looked at: {', '.join(looked)}"
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
