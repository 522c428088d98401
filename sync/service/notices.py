"""The daemon's notices about itself for `status` and monitors: the configuration in force, incidents, its end.

They go into the ledger; a start that failed is noted in a file beside it, since there may be no ledger, or none that
can be used. A failure to record is ignored: the ledger's own errors end the daemon where it does its work.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from state.incidents import OF_A_DAEMON, Gravity, Incident
from state.ledger import Ledger
from state.lock import holder
from state.receipts.opening import ReceiptsRepair
from sync.config.load import digest_now, ledger_named_by, state_folder
from sync.config.schema import Config
from sync.shared.errors import ConfigError, LedgerBusy, LedgerError, SourceRefused, SourceUnavailable, SyncError

_HINT = "  hint: "
"""The beginning of the line in an error's text that has its cure."""
LEFT_OUT = "it is left out, the others are in force: "
"""The beginning of the cause if a refused source has no former form."""
PART = "sources."
"""The beginning of the subject if one source is refused; the subject of a whole file is its path."""


def digest_of(config: Config, ledger: Ledger) -> str:
    """Return a keyed digest that tells one configuration from another; keyed, since a file may hold secrets."""
    return _keyed(config.digest, ledger)


def _keyed(digest: str, ledger: Ledger) -> str:
    return ledger.hasher.digest("config", digest.encode()).hex()


def in_force(config: Config, ledger: Ledger) -> None:
    """Record that this configuration is in force from now on."""
    with contextlib.suppress(LedgerBusy, LedgerError):
        ledger.incidents.put_in_force(str(config.path), digest_of(config, ledger))


def taken_over(ledger: Ledger) -> None:
    """Record that another process goes on, with the file as it is, after a daemon ended or was killed."""
    with contextlib.suppress(LedgerBusy, LedgerError):
        ledger.incidents.stopped()
        # incidents of a process end with it: its successor finds its own
        for kind in OF_A_DAEMON:
            ledger.incidents.over(kind)


def could_not_begin(config: Config, ledger: Ledger, error: SyncError) -> None:
    """Record that a daemon or a round could not begin with this configuration, until one does."""
    with contextlib.suppress(LedgerBusy, LedgerError):
        ledger.incidents.tell("daemon", str(config.path), f"could not start: {cause_in(error)}", hint_in(error))


def did_not_start(path: Path, error: SyncError) -> None:
    """Record a failed start in the ledger, or else in a note beside it, unless another process is at work with the
    ledger."""
    found = ledger_named_by(path)
    # a daemon at work keeps its own record: this start failed because of it, or beside it
    if found.exists() and (holder(found) is not None or _is_told(found, path, error)):
        return
    note_failed_start(path, cause_in(error), hint_in(error), error.exit_code)


def _is_told(found: Path, path: Path, error: SyncError) -> bool:
    """Return True if the ledger could be told, or knows already how its daemon ended."""
    with contextlib.suppress(SyncError), Ledger(found) as ledger:
        current = ledger.incidents.in_force()
        # the error that ended it is more telling than that it could not start again
        if current is None or not current.error:
            ledger.incidents.tell("daemon", str(path.absolute()), f"could not start: {cause_in(error)}", hint_in(error))
        return True
    return False


def refused(config: Config, ledger: Ledger, problems: Collection[str]) -> None:
    """Record that a reload was refused, and `config` stays in force."""
    cause = "; ".join(each.split("\n", 1)[0] for each in problems)
    # problems arrive as text, as the log has them
    hints = [line.removeprefix(_HINT) for each in problems for line in each.split("\n") if line.startswith(_HINT)]
    hint = "; ".join([*hints, "fix the file, then reload it (SIGHUP; systemctl reload)"])
    with contextlib.suppress(LedgerBusy, LedgerError):
        # of the refused file: once it is put back, the incident is over by itself
        digest = _keyed(digest_now(config.path), ledger)
        ledger.incidents.tell("config", str(config.path), cause, hint, digest=digest)


def is_put_back(incident: Incident, ledger: Ledger) -> bool:
    """Return True if the file whose reload was refused again holds the configuration that is in force. Raises
    LedgerError, LedgerBusy."""
    current = ledger.incidents.in_force()
    if incident.kind != "config" or current is None or current.digest in ("", incident.digest):
        return False
    return incident.subject == current.config and _keyed(digest_now(Path(current.config)), ledger) == current.digest


def part_refused(source: str, error: SyncError, ledger: Ledger, *, was_there: bool) -> None:
    """Record that a source keeps the form that it had before a reload, or is left out if it had none, while the rest of
    the file is in force."""
    cause = f"{KEPT if was_there else LEFT_OUT}{cause_in(error)}"
    with contextlib.suppress(LedgerBusy, LedgerError):
        ledger.incidents.tell("config", f"{PART}{source}", cause, hint_in(error))


KEPT = "its reload was refused, what was before is in force: "
"""The beginning of the cause if a refused source keeps its former form."""


def unread(ledger: Ledger, stream: str, error: SyncError) -> None:
    """Record that a stream could not be read."""
    gravity: Gravity = "certain"
    if isinstance(error, SourceUnavailable | LedgerBusy):
        gravity = "passing"
    elif isinstance(error, SourceRefused):
        gravity = "refused"
    with contextlib.suppress(LedgerBusy, LedgerError):
        ledger.incidents.tell("stream", stream, cause_in(error), hint_in(error), gravity=gravity)


def receipts_rewritten(ledger: Ledger, place: ReceiptsRepair) -> None:
    """Record that receipts were damaged or gone, and were written again from the ledger: a person should find
    out why."""
    had = f"had damaged lines ({place.damaged:,})" if place.damaged else "were gone"
    cause = f"the receipts {place.path} {had}, and were written anew from the ledger"
    ledger.incidents.tell("receipts", str(place.path), cause, "check that disk; once all is sound, this settles it:")


def key_gone(ledger: Ledger, key: Path, error: OSError | None) -> None:
    """Record that the key's file was removed while the daemon runs, and that it was written again, or cannot be."""
    with contextlib.suppress(LedgerBusy, LedgerError):
        if error is None:
            cause, hint = (
                f"{key} was gone, and was written again from memory",
                "find out who removed it; this settles it:",
            )
        else:
            cause = (
                f"{key} is gone, and cannot be written again ({error.strerror}): only this daemon still knows the key"
            )
            hint = "do not stop it before that folder can be written; then it writes the key by itself"
        ledger.incidents.tell("ledger", str(key), cause, hint)


def stalls(ledger: Ledger, parts: Collection[str]) -> None:
    """Record which parts of the program do not move, and that others do again."""
    with contextlib.suppress(LedgerBusy, LedgerError):
        ledger.incidents.keep("stalled", parts)
        for part in parts:
            ledger.incidents.tell("stalled", part, "has not moved for too long", _STALLED)


_STALLED = "systemd restarts the daemon for it; by hand: restart it, and look into its log"


@contextmanager
def life(config: Config, ledger: Ledger, fatal: Callable[[], BaseException | None]) -> Iterator[None]:
    """Record how the daemon's work ends; `fatal` returns the error that ended it if none was raised."""
    in_force(config, ledger)
    try:
        yield
    except BaseException as error:
        _ended(ledger, error)
        raise
    _ended(ledger, fatal())


def _ended(ledger: Ledger, error: BaseException | None) -> None:
    with contextlib.suppress(LedgerBusy, LedgerError):
        if error is None:
            ledger.incidents.stopped()
            # nothing stalls in a process that has ended in order
            ledger.incidents.over("stalled")
        elif isinstance(error, SyncError):
            ledger.incidents.stopped(cause_in(error), hint_in(error))
        else:
            # without its message, which may quote a value of a record
            ledger.incidents.stopped(f"a defect of this program ({type(error).__name__})", "see its log")


def cause_in(error: SyncError) -> str:
    """Return an error's cause in one line."""
    if isinstance(error, ConfigError):
        return "; ".join(f"{problem.where}: {problem.what}" for problem in error.problems)
    return error.message


def hint_in(error: SyncError) -> str:
    """Return an error's cure in one line; "" if it has none."""
    if isinstance(error, ConfigError):
        return "; ".join(dict.fromkeys(problem.hint for problem in error.problems if problem.hint))
    return error.hint


# ---- starts that failed, noted beside the ledger


@dataclass(frozen=True, slots=True)
class FailedStart:
    """A start that failed: when (ms since 1970), why, and what to do about it."""

    config: str
    at: int
    cause: str
    hint: str
    exit_code: int

    @property
    def is_busy(self) -> bool:
        """True if another process had the ledger, which is no problem once there is one."""
        return self.exit_code == LedgerBusy.exit_code


def note_failed_start(path: Path, cause: str, hint: str, exit_code: int) -> None:
    """Write the note to the first place that can be written; if there is none, `status` sees that for itself."""
    found = FailedStart(str(path.absolute()), int(time.time() * 1000), cause, hint, exit_code)
    for place in _places(path):
        fresh = place.with_name(f"{place.name}.new")
        with contextlib.suppress(OSError):
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as file:
                json.dump(asdict(found), file)
            # whoever reads it sees a whole note or none
            os.replace(fresh, place)
            return


def failed_start(path: Path) -> FailedStart | None:
    """Return the last failed start of this configuration, or None."""
    found = [each for place in _places(path) if (each := _read(place)) and each.config == str(path.absolute())]
    return max(found, key=lambda each: each.at, default=None)


def forget_failed_start(path: Path) -> None:
    """Remove the note, because a process has its ledger."""
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
