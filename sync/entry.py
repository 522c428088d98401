"""Where the command begins. Nothing slow is imported before a SIGHUP is held back that may come at any time."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence


def main() -> None:
    """Run the command line, and end the process. For the daemon a SIGHUP waits from now on until it can be obeyed, as a
    reload; for all other commands it keeps its meaning: the terminal is gone."""
    open_streams()
    if is_daemon(sys.argv[1:]):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    from sync.cli import main as command

    command()


def open_streams() -> None:
    """Open /dev/null in place of standard streams that are closed. Otherwise the next file, such as the receipts, would
    get the number of one, and what is printed there would go into it."""
    while (number := os.open(os.devnull, os.O_RDWR)) < len(_STREAMS):
        pass
    os.close(number)
    for number, (name, mode) in enumerate(_STREAMS):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))
"""By their number."""


def is_daemon(words: Sequence[str]) -> bool:
    """Return whether these words of the command line, but for the program's own options, begin with `run`."""
    rest = iter(words)
    for word in rest:
        if word in ("-c", "--config"):
            next(rest, None)
        elif not word.startswith("-"):
            return word == "run"
    return False
