"""`closingdealz-sync init`: writes a configuration file to start from, and never overwrites one."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shlex
from pathlib import Path

import click

from sync.commands.click_options import config_option
from sync.commands.shipped import shipped
from sync.config.starter import DATABASES, STARTERS, starter

_NO_HARD_LINKS = {errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


@click.command()
@click.option(
    "--connector", type=click.Choice(sorted(STARTERS)), default="sql", show_default=True, help="The kind of source."
)
@click.option(
    "--database", type=click.Choice(list(DATABASES)), default="sqlite", show_default=True, help="The kind of database."
)
@click.option(
    "--from",
    "source",
    metavar="URL",
    help="Look at this database and write a stream for TABLE, with a mapping guessed from its columns. Name an "
    "environment variable that holds the URL, and no password lands in the shell's history.",
)
@click.option("--example", is_flag=True, help="Print the file that shows every option, and write nothing.")
@click.argument("names", nargs=-1, metavar="[TABLE] [PATH]")
@config_option
def init(  # noqa: PLR0917 - click passes them by name
    connector: str, database: str, source: str | None, example: bool, names: tuple[str, ...], config: Path | None
) -> None:
    """Write a configuration file to start from: PATH, or what -c names, or ./config.toml.

    TABLE is for --from alone; without it, the tables that look like companies or contacts are listed. Only its owner
    can read the file. A file that is there already is left as it is.
    """
    if example:
        click.echo(_example(connector), nl=False)
        return
    if len(names) > (1 if source is None else 2):
        raise click.UsageError(f"{names[-1]!r} is too much: TABLE is for --from alone, and PATH comes last.")
    path = names[-1:] if source is None else names[1:2]
    target = Path(path[0]) if path else config or Path("config.toml")
    if source is None:
        text = starter(database, connector)
    else:
        from sync.commands.init_from import candidates, drafted

        if connector != "sql":
            raise click.UsageError(f"--from is for databases, not for --connector {connector}.")
        if not names:
            click.echo(candidates(source))
            return
        if os.path.lexists(target):  # before the database is asked
            raise _exists(target)
        text = drafted(source, names[0])
    try:
        write_new(target, text.encode())
    except FileExistsError:
        raise _exists(target) from None
    except OSError as error:
        raise click.FileError(str(target), error.strerror or "cannot be written") from error
    click.echo(_next_steps(target, text))


def _exists(target: Path) -> click.UsageError:
    return click.UsageError(f"{target} exists already and was left as it is: name another PATH.")


def _next_steps(target: Path, text: str) -> str:
    program = (
        "closingdealz-sync" if target == Path("config.toml") else f"closingdealz-sync -c {shlex.quote(str(target))}"
    )
    secrets_to_set = re.findall(r'env = "(\w+)"', text)
    last = "once --max 5   # create five, and look at them in ClosingDealz"
    if 'start = "now"' in text:
        last = "once           # takes the rows that exist as known; from then on, changed rows become leads"
    return "\n".join(
        [
            f"Wrote {target}, which only you can read. Put your own names into it, and set its secrets:",
            *(f"  export {name}=…" for name in secrets_to_set),
            "Then:",
            f"  {program} check          # is all in place?",
            f"  {program} preview        # which leads would it create? Sends nothing.",
            f"  {program} {last}",
        ]
    )


# ---- --example


def _example(connector: str) -> str:
    """Return the example file for this connector. Raises click.FileError where it is not installed."""
    name = "config.example.toml" if connector == "sql" else f"connectors/{connector}/config.example.toml"
    return shipped(name).read_text(encoding="utf-8")


# ---- the file


def write_new(path: Path, content: bytes) -> None:
    """Write a new file that only its owner can read, whole or not at all. Raises FileExistsError."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _create(draft, content)
        try:
            # a link fails where the name exists, unlike a rename, and appears whole
            os.link(draft, path)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            _create(path, content)
    finally:
        draft.unlink(missing_ok=True)
    # the name itself is durable only once its folder is synced
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
