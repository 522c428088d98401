"""The command `demo`: shows a complete run with a sample database and the sandbox, and checks each claim."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click


@click.command()
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Run in DIR, a new or empty folder, and keep everything there.",
)
@click.option("--yes", "-y", "--no-pause", "no_pause", is_flag=True, help="Do not wait for Enter between the steps.")
@click.option(
    "--sample",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PATH",
    help="Only write the sample database, to PATH: config.example.toml reads it as sample.db.",
)
def demo(keep: Path | None, sample: Path | None, *, no_pause: bool) -> None:
    """Show a whole run with a sample database and the sandbox.

    It needs no account and no file, and nothing leaves this machine: a database of invented companies is read, sent to
    a stand-in for ClosingDealz, read again, changed, and read again. Everything it shows is also checked, against the
    database and against what the stand-in received; if anything disagrees, it exits with 70.
    """
    if sample is not None:
        if keep is not None:
            raise click.UsageError("--sample only writes a database: leave out --keep.")
        _write_sample(sample)
        return
    is_watched = sys.stdin.isatty() and sys.stdout.isatty()
    with _folder(keep) as folder:
        from sync.trial.demo.story import tell

        tell(folder, kept=keep is not None, wait=_pause if is_watched and not no_pause else lambda: None)


def _write_sample(path: Path) -> None:
    from sync.trial.demo.sample import write_sample

    try:
        write_sample(path)
    except FileExistsError:
        raise click.UsageError(f"{path} exists already and was left as it is: name another PATH.") from None
    except OSError as error:
        raise click.FileError(str(path), error.strerror or "cannot be written") from error
    click.echo(f"Wrote {path}: invented companies and their contacts, for config.example.toml to read. Then:")
    click.echo("  closingdealz-sync sandbox                          # in a second terminal")
    click.echo("  closingdealz-sync -c config.example.toml once")


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Yield the demo's folder as an absolute path: a temporary one, deleted at the end, or the one to keep."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="closingdealz-demo-") as scratch:
            yield Path(scratch)
        return
    folder = keep.absolute()
    # The database is named in a URL, where a question mark would start the options.
    if "?" in str(folder) or not str(folder).isprintable():
        raise click.UsageError("a folder with a question mark or a control character in its name cannot be used here.")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_empty = not any(folder.iterdir())
    except OSError as error:
        raise click.FileError(str(folder), error.strerror or "cannot be made") from error
    if not is_empty:
        raise click.UsageError(f"{keep} is not empty and was left as it is: name a new folder.")
    yield folder


def _pause() -> None:
    click.echo()
    click.prompt("   Press Enter to go on", default="", show_default=False, prompt_suffix=" ")
