"""`closingdealz-sync init`: writes a configuration file to start from, and never over another."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shlex
from pathlib import Path

import click

from sync.commands.options import config_option
from sync.config.starter import DATABASES, STARTERS, starter

_NO_HARD_LINKS = {errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


@click.command()
@click.option(
    "--connector", type=click.Choice(sorted(STARTERS)), default="sql", show_default=True, help="The kind of source."
)
@click.option(
    "--database", type=click.Choice(list(DATABASES)), default="sqlite", show_default=True, help="The kind of database."
)
@click.argument("path", type=click.Path(path_type=Path), required=False)
@config_option
def init(connector: str, database: str, path: Path | None, config: Path | None) -> None:
    """Write a configuration file to start from: PATH, or what -c names, or ./config.toml.

    Only its owner can read the file. A file that is there already is left as it is.
    """
    target = path or config or Path("config.toml")
    try:
        text = starter(database, connector)
        write_new(target, text.encode())
    except FileExistsError:
        raise click.UsageError(f"{target} exists already and was left as it is: name another PATH.") from None
    except OSError as error:
        raise click.FileError(str(target), error.strerror or "cannot be written") from error
    click.echo(_next_steps(target, text))


def _next_steps(target: Path, text: str) -> str:
    program = (
        "closingdealz-sync" if target == Path("config.toml") else f"closingdealz-sync -c {shlex.quote(str(target))}"
    )
    secrets_to_set = re.findall(r'env = "(\w+)"', text)
    return "\n".join(
        [
            f"Wrote {target}, which only you can read. Put your own names into it, and set its secrets:",
            *(f"  export {name}=…" for name in secrets_to_set),
            "Then:",
            f"  {program} check          # is all in place?",
            f"  {program} preview        # which leads would it create? Sends nothing.",
            f"  {program} once --max 5   # create five, and look at them in ClosingDealz",
        ]
    )


def write_new(path: Path, content: bytes) -> None:
    """Writes a file that nobody else can read, whole or not at all. Raises FileExistsError where there is one."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _create(draft, content)
        try:
            os.link(draft, path)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            _create(path, content)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _create(path: Path, content: bytes) -> None:
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
