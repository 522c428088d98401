"""Data files that come with the program: the examples and the documentation pages."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import click

_MARK = "config.example.toml"


def shipped(name: str) -> Path:
    """Return the path of a file or folder, in the clone that runs or where an installer put it.

    Raises click.FileError where there is none.
    """
    installed = Path(sysconfig.get_path("data"), "share", "closingdealz-sync")
    for folder in (Path(__file__).parents[2], installed, Path(sys.prefix, "share", "closingdealz-sync")):
        # the mark tells a clone from a folder of packages, where another one may have put a folder `docs`
        if (folder / _MARK).is_file() and (folder / name).exists():
            return folder / name
    raise click.FileError(name, "is not part of this installation; it is in the source distribution")
