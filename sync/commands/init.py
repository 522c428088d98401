"""`closingdealz-sync init`: writes a configuration file to start from, and never overwrites one."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from connectors.registry import CONNECTORS
from sync.commands.click_options import config_option
from sync.commands.shipped import shipped

if TYPE_CHECKING:  # --help does without them
    from connectors.interface import DraftCandidate, Drafts

_DEFAULT = next(iter(CONNECTORS))
_SHOWN = 30
"""The most tables in a list."""
_NO_HARD_LINKS = {errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class _StarterKind(click.ParamType[str]):
    """The kinds that the connector named before has files for; loaded only when they are asked for."""

    name = "kind"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return _kinds(ctx).convert(value, param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return _kinds(ctx).shell_complete(ctx, param, incomplete)


def _kinds(ctx: click.Context | None) -> click.Choice[str]:
    connector = _DEFAULT if ctx is None else ctx.params.get("connector", _DEFAULT)
    kinds = [kind for kind in starters(connector) if kind]
    if not kinds:
        raise click.UsageError(f"--database is not for --connector {connector}.")
    return click.Choice(kinds)


def starters(connector: str) -> Mapping[str, str]:
    """Return the files to start from of that connector, by kind. Raises ConfigError, click.UsageError."""
    from connectors.interface import OffersStarters
    from connectors.registry import connector_type

    kind = connector_type(connector)
    if not isinstance(kind, OffersStarters):
        raise click.UsageError(f"The connector {connector} has no file to start from.")
    return kind.starters()


@click.command()
@click.option(
    "--connector",
    type=click.Choice(sorted(CONNECTORS)),
    default=_DEFAULT,
    show_default=True,
    is_eager=True,
    help="The kind of source.",
)
@click.option(
    "--database", type=_StarterKind(), help="The kind of database: sqlite (unless given), postgresql or mysql."
)
@click.option(
    "--from",
    "source",
    metavar="URL",
    help="Look at this database and write a stream for TABLE, with a mapping guessed from its columns. Name an "
    "environment variable that holds the URL to keep the password out of the shell's history.",
)
@click.option("--example", is_flag=True, help="Print an example that shows every option, and write nothing.")
@click.argument("names", nargs=-1, metavar="[TABLE] [PATH]")
@config_option
def init(  # noqa: PLR0917 - click passes them by name
    connector: str, database: str | None, source: str | None, example: bool, names: tuple[str, ...], config: Path | None
) -> None:
    """Write a configuration file to start from: PATH, or what -c names, or ./config.toml.

    TABLE is only for --from; without it, the tables that look like companies or contacts are listed. Only its owner
    can read the file. An existing file is left alone.
    """
    if example:
        click.echo(_example(connector), nl=False)
        return
    if len(names) > (1 if source is None else 2):
        raise click.UsageError(
            f"{names[-1]!r} is one argument too many: TABLE is only for --from, and PATH comes last."
        )
    path = names[-1:] if source is None else names[1:2]
    target = Path(path[0]) if path else config or Path("config.toml")
    if source is None:
        files = starters(connector)
        text = files[database] if database else next(iter(files.values()))
    else:
        kind = _drafting(connector)
        url, address = _url(kind, source)
        if not names:
            click.echo(_listed(kind.candidates(url), source))
            return
        if os.path.lexists(target):  # before the source is asked
            raise _exists(target)
        text = kind.draft(url, address, names[0])
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
            f"Wrote {target}, which only you can read. Adapt its names to your system, and set its secrets:",
            *(f"  export {name}=…" for name in secrets_to_set),
            "Then:",
            f"  {program} check          # is everything in place?",
            f"  {program} preview        # which leads would it create? Sends nothing.",
            f"  {program} {last}",
        ]
    )


# ---- --example


def _example(connector: str) -> str:
    """Return the example file for this connector. Raises click.FileError where it is not installed."""
    # The common example shows the options of the default connector beside the engine's own.
    name = "config.example.toml" if connector == _DEFAULT else f"connectors/{connector}/config.example.toml"
    return shipped(name).read_text(encoding="utf-8")


# ---- --from


def _drafting(connector: str) -> Drafts:
    """Return the connector if it can look at a source. Raises ConfigError, click.UsageError."""
    from connectors.interface import Drafts
    from connectors.registry import connector_type

    kind = connector_type(connector)
    if not isinstance(kind, Drafts):
        raise click.UsageError(f"--from is for databases, not for --connector {connector}.")
    return kind


def _url(kind: Drafts, source: str) -> tuple[str, str]:
    """Return the URL, and its spelling for the file, which never has a password. Raises click.UsageError."""
    is_variable = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", source) is not None
    text = os.environ.get(source, "").strip() if is_variable else source
    if not text:
        raise click.UsageError(f"The environment variable {source} is not set, and {source} is not a URL.")
    try:
        address = kind.address(text)
    except ValueError as error:
        where = f"The environment variable {source}" if is_variable else "What --from names"
        raise click.UsageError(f"{where} {error}.") from None
    return text, f'{{ env = "{source}" }}' if is_variable else address


def _listed(found: Sequence[DraftCandidate], source: str) -> str:
    """Return the objects that look like companies or contacts as text; all where none does."""
    from sync.views.phrases import printable

    likely = [one for one in found if one.is_likely][:_SHOWN]
    shown = likely or found[:_SHOWN]
    if not shown:
        return "This user cannot see any table or view."
    width = max(len(printable(one.name)) for one in shown)
    rows = [f"about {one.size:,} rows" if one.size else "" for one in shown]
    repeated = source if "://" not in source else "URL"  # a URL may hold a password
    example = f"closingdealz-sync init --from {shlex.quote(repeated)} {shlex.quote(printable(shown[0].name))}"
    return "\n".join(
        [
            "These look like companies or contacts:"
            if likely
            else "Nothing looks like companies or contacts. This is what there is:",
            *(
                f"  {printable(one.name).ljust(width)}  {one.kind}  {size}".rstrip()
                for one, size in zip(shown, rows, strict=True)
            ),
            *([f"  and {len(found) - len(shown):,} more"] if len(found) > len(shown) else []),
            f"Then: {example}",
        ]
    )


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
