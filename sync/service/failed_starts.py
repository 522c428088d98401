"""A start of the daemon that failed, noted beside where the ledger belongs: there may be none to tell, or none that can
be told. The next process that gets its ledger takes the note away."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from sync.config.load import ledger_named_by, state_folder
from sync.shared.errors import LedgerBusy


@dataclass(frozen=True, slots=True)
class FailedStart:
    """When it was (ms since 1970), why, and what to do about it."""

    config: str
    at: int
    cause: str
    hint: str
    exit_code: int

    @property
    def is_busy(self) -> bool:
        """Whether another process had the ledger, which is no trouble once there is one."""
        return self.exit_code == LedgerBusy.exit_code


def note(path: Path, cause: str, hint: str, exit_code: int) -> None:
    """Write it to the first place that takes it. Where none does, `status` sees from there that nothing can be
    written."""
    found = FailedStart(str(path.absolute()), int(time.time() * 1000), cause, hint, exit_code)
    for place in _places(path):
        fresh = place.with_name(f"{place.name}.new")
        with contextlib.suppress(OSError):
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as file:
                json.dump(asdict(found), file)
            os.replace(fresh, place)
            return


def noted(path: Path) -> FailedStart | None:
    """Return the last one of this configuration; None where there is none."""
    found = [each for place in _places(path) if (each := _read(place)) and each.config == str(path.absolute())]
    return max(found, key=lambda each: each.at, default=None)


def forget(path: Path) -> None:
    """Take the note away: a process has its ledger."""
    for place in _places(path):
        with contextlib.suppress(OSError):
            place.unlink()


def _places(path: Path) -> Iterator[Path]:
    ledger = ledger_named_by(path)
    yield ledger.with_name(f".{ledger.name}.failed-start")
    yield (state_folder() or path.absolute().parent) / f".{path.name}.failed-start"


def _read(place: Path) -> FailedStart | None:
    try:
        return FailedStart(**json.loads(place.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
