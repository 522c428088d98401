"""What a daemon tells the ledger of itself, for `status` and monitors: what is in force, its stalls, its end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from state.incidents import OF_A_DAEMON, Gravity, Incident
from state.ledger import Ledger
from state.lock import holder
from state.receipts.opening import ReceiptsRepair
from sync.config.load import digest_now, ledger_named_by
from sync.config.schema import Config
from sync.service import failed_starts as starts
from sync.shared.errors import ConfigError, LedgerBusy, LedgerError, SourceRefused, SourceUnavailable, SyncError

_HINT = "  hint: "
"""How an error's text begins the line of its cure."""
LEFT_OUT = "it is left out, the others are in force: "
"""The cause of a refusal of a source that has no former form begins with it."""
PART = "sources."
"""The subject of a refusal of one source begins with it; that of a whole file is its path."""


def digest_of(config: Config, ledger: Ledger) -> str:
    """Return what tells one configuration from another; keyed, since a file may hold secrets."""
    return _keyed(config.digest, ledger)


def _keyed(digest: str, ledger: Ledger) -> str:
    return ledger.hasher.digest("config", digest.encode()).hex()


def in_force(config: Config, ledger: Ledger) -> None:
    """Tell that this configuration is in force from now on."""
    with contextlib.suppress(LedgerBusy, LedgerError):
        ledger.incidents.put_in_force(str(config.path), digest_of(config, ledger))


def taken_over(ledger: Ledger) -> None:
    """Tell that another process goes on, with the file as it is, where a daemon ended or was killed."""
    with contextlib.suppress(LedgerBusy, LedgerError):
        ledger.incidents.stopped()
        for kind in OF_A_DAEMON:
            ledger.incidents.over(kind)


def could_not_begin(config: Config, ledger: Ledger, error: SyncError) -> None:
    """Tell that a daemon or a round could not begin with this configuration; the next that does ends it."""
    with contextlib.suppress(LedgerBusy, LedgerError):
        ledger.incidents.tell("daemon", str(config.path), f"could not start: {cause_in(error)}", hint_in(error))


def did_not_start(path: Path, error: SyncError) -> None:
    """Tell the ledger, or leave a note where it belongs, unless another process is at work with it."""
    found = ledger_named_by(path)
    if found.exists() and (holder(found) is not None or _is_told(found, path, error)):
        return
    starts.note(path, cause_in(error), hint_in(error), error.exit_code)


def _is_told(found: Path, path: Path, error: SyncError) -> bool:
    """Whether the ledger could be told, or knows already how its daemon ended."""
    with contextlib.suppress(SyncError), Ledger(found) as ledger:
        told = ledger.incidents.in_force()
        if told is None or not told.error:
            ledger.incidents.tell("daemon", str(path.absolute()), f"could not start: {cause_in(error)}", hint_in(error))
        return True
    return False


def refused(config: Config, ledger: Ledger, problems: Collection[str]) -> None:
    """Tell that a reload was refused: what `config` says stays in force."""
    cause = "; ".join(each.split("\n", 1)[0] for each in problems)
    hints = [line.removeprefix(_HINT) for each in problems for line in each.split("\n") if line.startswith(_HINT)]
    hint = "; ".join([*hints, "fix the file, then reload it (SIGHUP; systemctl reload)"])
    with contextlib.suppress(LedgerBusy, LedgerError):
        digest = _keyed(digest_now(config.path), ledger)
        ledger.incidents.tell("config", str(config.path), cause, hint, digest=digest)


def is_put_back(incident: Incident, ledger: Ledger) -> bool:
    """Return whether the file whose reload was refused says again what is in force. Raises LedgerError, LedgerBusy."""
    told = ledger.incidents.in_force()
    if incident.kind != "config" or told is None or told.digest in ("", incident.digest):
        return False
    return incident.subject == told.config and _keyed(digest_now(Path(told.config)), ledger) == told.digest


def part_refused(source: str, error: SyncError, ledger: Ledger, *, was_there: bool) -> None:
    """Tell that a source keeps the form that it had before a reload, or is left out where it had none, while the rest
    of the file is in force."""
    cause = f"{KEPT if was_there else LEFT_OUT}{cause_in(error)}"
    with contextlib.suppress(LedgerBusy, LedgerError):
        ledger.incidents.tell("config", f"{PART}{source}", cause, hint_in(error))


KEPT = "its reload was refused, what was before is in force: "


def unread(ledger: Ledger, stream: str, error: SyncError) -> None:
    """Tell that a stream could not be read."""
    gravity: Gravity = "certain"
    if isinstance(error, SourceUnavailable | LedgerBusy):
        gravity = "passing"
    elif isinstance(error, SourceRefused):
        gravity = "refused"
    with contextlib.suppress(LedgerBusy, LedgerError):
        ledger.incidents.tell("stream", stream, cause_in(error), hint_in(error), gravity=gravity)


def mended(ledger: Ledger, place: ReceiptsRepair) -> None:
    """Tell that receipts were not as they were left: what they lacked is there again, but why was it not?"""
    had = f"had damaged lines ({place.damaged:,})" if place.damaged else "were gone"
    cause = f"the receipts {place.path} {had}, and were written anew from the ledger"
    ledger.incidents.tell("receipts", str(place.path), cause, "look at that disk; once all is sound, this settles it:")


def key_gone(ledger: Ledger, key: Path, error: OSError | None) -> None:
    """Tell that the key's file was removed from under the daemon, and that it was written again, or cannot be."""
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
    """Tell which parts of the program do not move, and that others do again."""
    with contextlib.suppress(LedgerBusy, LedgerError):
        ledger.incidents.keep("stalled", parts)
        for part in parts:
            ledger.incidents.tell("stalled", part, "has not moved for too long", _STALLED)


_STALLED = "systemd restarts the daemon for it; by hand: restart it, and look into its log"


@contextmanager
def life(config: Config, ledger: Ledger, fatal: Callable[[], BaseException | None]) -> Iterator[None]:
    """Around the daemon's work: how it ends is told. `fatal` says what ended it where nothing was raised."""
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
            ledger.incidents.over("stalled")
        elif isinstance(error, SyncError):
            ledger.incidents.stopped(cause_in(error), hint_in(error))
        else:
            ledger.incidents.stopped(f"a defect of this program ({type(error).__name__})", "see its log")


def cause_in(error: SyncError) -> str:
    """Return an error's cause in one line."""
    if isinstance(error, ConfigError):
        return "; ".join(f"{problem.where}: {problem.what}" for problem in error.problems)
    return error.message


def hint_in(error: SyncError) -> str:
    """Return what to do about it, in one line; "" where it does not say."""
    if isinstance(error, ConfigError):
        return "; ".join(dict.fromkeys(problem.hint for problem in error.problems if problem.hint))
    return error.hint
