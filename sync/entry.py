"""The entry point. Imports nothing slow before SIGHUP is blocked, which may arrive at any time."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence


def main() -> None:
    """Run the command line, and end the process.

    For the daemon SIGHUP is blocked until it can be handled as a reload; it still ends all other commands, whose
    terminal is gone.
    """
    open_streams()
    # pydantic would read the metadata of every installed package for plug-ins, which nobody has here
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    if is_daemon(sys.argv[1:]):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    from sync.foreign_files import foreign_file, foreign_package

    _refuse_foreign(foreign_package())
    try:
        from sync.cli import main as command
    except Exception:
        _refuse_foreign(foreign_file())
        raise
    command()


def _refuse_foreign(said: str) -> None:
    """End the process where its files are another program's: nothing can be relied on."""
    if said:
        print(said, file=sys.stderr)
        sys.exit(78)  # a wrong installation, like a wrong configuration, is not tried again


def open_streams() -> None:
    """Open /dev/null in place of standard streams that are closed. Otherwise the next file opened, such as the
    receipts, would get a stream's number, and what is printed would be written into it."""
    while (number := os.open(os.devnull, os.O_RDWR)) < len(_STREAMS):
        pass
    os.close(number)
    for number, (name, mode) in enumerate(_STREAMS):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))
"""In the order of their file descriptors."""


def is_daemon(words: Sequence[str]) -> bool:
    """Return whether the command line, apart from the program's own options, begins with `run`."""
    rest = iter(words)
    for word in rest:
        if word in ("-c", "--config"):
            next(rest, None)
        elif not word.startswith("-"):
            return word == "run"
    return False
