"""Needs beside the records: incidents that the daemon reported, and what is visible on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from state.database import free_bytes, is_on_read_only_disk
from state.incidents import COUNTED, Incident, InForce
from state.ledger import Ledger
from state.lock import holder
from sync.config.ages import Age
from sync.config.intervals import POLL_DEADLINE, allowance
from sync.delivery.pace import REFUSED_ALTOGETHER, REST_HINTS, Pace
from sync.service.notices import KEPT, PART, cause_in, failed_start, hint_in, is_put_back
from sync.service.systemd import unit_fault
from sync.shared.errors import ConfigError
from sync.views.needs import Need, NeedKind, Needs, ageing_needs, waiting_needs
from sync.views.phrases import ago, count, printable
from sync.views.scope import Scope

LASTING_SECONDS = 900.0
"""An outage of a source or workspace that lasts longer needs a person."""
FULL_BYTES = 4 * 1024 * 1024
"""With less free space the ledger's disk counts as full: its write-ahead log alone may need as much."""
_LASTING = "nothing is lost, and it is retried automatically; check the network and [workspaces] base_url"

_ORDER: tuple[NeedKind, ...] = ("ledger", "daemon", "config", "stalled", "receipts", "workspace", "stream")


def needs_of(ledger: Ledger, scope: Scope, ageing: tuple[Age, ...] = (), *, config: Path | None = None) -> Needs:
    """Return everything that needs a person now.

    `ageing` is what the configuration uses that ends soon; `config` the file, to find a start that failed.

    Raises LedgerError, LedgerBusy.
    """
    now = int(ledger.clock.wall() * 1000)
    found = [
        *place_needs(ledger.path),
        *(start_needs(config, ledger) if config else ()),
        *_process(ledger),
        *_incidents(ledger, scope, now),
        *_overdue(ledger, scope, now),
        *_receipts(ledger),
        *_workspaces(ledger, scope, now),
    ]
    # what stops everything comes before what waits, and that before what may wait longer
    first = [need for kind in _ORDER for need in found if need.kind == kind]
    last = [need for need in found if need.kind not in _ORDER]
    ageing = tuple(age for age in ageing if scope.is_whole or age.source in scope.sources)
    return Needs((*first, *waiting_needs(ledger, scope), *last, *ageing_needs(ageing)), ageing)


def is_lasting(incident: Incident, now: int) -> bool:
    """Return whether it needs a person; `now` in ms. One refusal or a short outage may be over at the next poll."""
    match incident.gravity:
        case "certain":
            return True
        case "refused":
            # A source that is just restarting may refuse once.
            return incident.times > 1
        case "passing":
            return incident.times >= COUNTED or now - incident.since >= LASTING_SECONDS * 1000


def _incidents(ledger: Ledger, scope: Scope, now: int) -> Iterator[Need]:
    for each in ledger.incidents.all():
        # a stream that left the file is not polled, so its incident is never over
        if (each.kind == "stream" and each.subject not in scope.configured) or is_put_back(each, ledger):
            continue
        if is_lasting(each, now):
            commands = tuple(words.format(each.subject) for words in _COMMANDS.get(each.kind, ()))
            yield Need(each.kind, each.subject, _cause(each), each.hint, commands, each.since)


_COMMANDS = {
    "config": ("check",),
    "daemon": ("check",),
    "receipts": ("ledger verify",),
    "ledger": ("ledger verify",),
    "stream": ("check --stream {}",),
}


def _cause(incident: Incident) -> str:
    match incident.kind:
        case "stream":
            return f"could not be read: {incident.cause}"
        case "config" if not incident.subject.startswith(PART):
            return f"{incident.subject}: {KEPT}{incident.cause}"
        case "config" | "daemon":
            return f"{incident.subject}: {incident.cause}"
        case "backup":
            return f"no daily copy of the ledger in {incident.subject}: {incident.cause}"
        case _:
            return incident.cause


def place_needs(ledger: Path) -> Iterator[Need]:
    """Yield problems with the ledger's disk and folder, whether or not the ledger exists."""
    # the nearest folder that exists tells which disk it would be
    place = ledger if ledger.parent.exists() else next(each for each in ledger.parents if each.parent.exists())
    if is_on_read_only_disk(place):
        cause = f"the disk of {ledger} is read-only: nothing can be recorded, so nothing is sent"
        cure = "see the kernel's log (dmesg), and mount it for writing"
        yield Need("ledger", str(ledger), cause, cure)
    elif (free := free_bytes(place)) is not None and free < FULL_BYTES:
        cause = f"the disk of {ledger} is full ({free:,} bytes left): what cannot be recorded is not sent"
        yield Need("ledger", str(ledger), cause, "make room there, and start the daemon again where it ended")
    # of a ledger that exists this user may be a mere reader: the daemon has another
    elif not ledger.exists() and not os.access(place.parent, os.W_OK | os.X_OK):
        cause = f"no ledger can be made at {ledger}: this user may not write to {place.parent}"
        yield Need("ledger", str(ledger), cause, "give that folder to the daemon's user, and run this as that user")


def start_needs(config: Path, ledger: Ledger | None = None) -> Iterator[Need]:
    """Yield the daemon's last failed start, unless a process has opened the ledger since; and that systemd cannot even
    begin it."""
    if (fault := unit_fault()) and (ledger is None or holder(ledger.path) is None):
        yield Need("daemon", str(config), fault, "mend that, then restart it")
    found = failed_start(config)
    if found is None:
        return
    if ledger is not None:
        in_force = ledger.incidents.in_force()
        # a start that succeeded later makes the failed one history
        is_over = in_force is not None and found.at <= max(in_force.since, in_force.stopped or 0)
        if is_over or found.is_busy or holder(ledger.path) is not None:
            return
    cause = f"the daemon ended on its own: {found.cause}"
    yield Need("daemon", found.config, cause, found.hint or "fix that, then start it again", ("check",), found.at)


def unusable_file(needs: Needs, config: Path, error: ConfigError) -> Needs:
    """Put first that the configuration file cannot be used; of one that is not there, no need has a command, because
    none could work, and what was wrong with it no longer matters."""
    cause, items = cause_in(error), needs.items
    if not config.exists():
        items = tuple(replace(need, commands=()) for need in items if need.kind != "config")
    # a daemon that refused it, or could not start with it, says the same, perhaps with hints in between
    problems = [f"{problem.where}: {problem.what}" for problem in error.problems]
    if not any(all(problem in need.cause for problem in problems) for need in items):
        items = (Need("config", str(config), f"{config}: {cause.removeprefix('file: ')}", hint_in(error)), *items)
    return replace(needs, items=items)


def _process(ledger: Ledger) -> Iterator[Need]:
    """Yield a daemon that ended unintentionally, or is stopped by a signal."""
    in_force, process = ledger.incidents.in_force(), holder(ledger.path)
    # it still holds the lock, so it looks alive by every other sign
    if process and _is_halted(process):
        cause = f"the process that reads and sends (pid {process}) is suspended by a signal (SIGSTOP, Ctrl-Z)"
        yield Need(
            "daemon", in_force.config if in_force else str(ledger.path), cause, f"resume it: kill -CONT {process}"
        )
    if in_force is None or process is not None:
        return
    if in_force.error:
        cause = f"the daemon ended on its own: {in_force.error}"
        yield Need(
            "daemon", in_force.config, cause, in_force.hint or "fix that, then start it again", (), in_force.stopped
        )
    # an orderly end would have written when; if only the ledger could not be told, `start_needs` says why it ended
    elif in_force.stopped is None and not _says_why(in_force):
        cause = "the daemon is gone without having been stopped (killed, its disk full, or the machine went down)"
        yield Need("daemon", in_force.config, cause, "see its log, then start it again", (), None)


def _says_why(in_force: InForce) -> bool:
    found = failed_start(Path(in_force.config))
    return found is not None and not found.is_busy and found.at > in_force.since


def _is_halted(process: int) -> bool:
    """Return whether Linux shows the process as stopped; False where it cannot be seen."""
    try:
        stat = Path(f"/proc/{process}/stat").read_bytes()
    except OSError:
        return False
    # after the last parenthesis: the name before it may hold parentheses itself (proc_pid_stat(5))
    return stat[stat.rfind(b")") + 2 :][:1] == b"T"


def _overdue(ledger: Ledger, scope: Scope, now: int) -> Iterator[Need]:
    """Yield streams that a running daemon should have polled long ago. A daemon that hangs reports nothing, so this is
    judged from outside."""
    in_force = ledger.incidents.in_force()
    if in_force is None or in_force.stopped is not None or holder(ledger.path) is None:
        return
    rows, polls, failing = ledger.streams.all(), ledger.streams.last_polls(), failing_of(ledger)
    for name, source in scope.schedules.items():
        poll = polls.get(rows[name].id) if name in rows else None
        # before the daemon started nobody was late
        last = max(in_force.since, int(str(poll["ended_at"])) if poll else 0)
        # one interval may just have been missed; a poll may take its whole deadline
        if name in failing or now - last <= 1000 * (allowance(source, last / 1000) + POLL_DEADLINE):
            continue
        cause = f"has not been read for {ago(last, now).removesuffix(' ago')}, although the daemon is running"
        yield Need("stalled", name, cause, "see its log, and restart it", (), last)


def _receipts(ledger: Ledger) -> Iterator[Need]:
    for place in ledger.places.all:
        if not place.exists():
            cause = f"the receipts {place.path} are gone: what was sent is recorded in one place fewer"
            cure = "mount the disk that belongs there, and restart: what is lost is written again from the ledger"
            # the copy is never made anew by itself: what belongs there may just not be mounted
            if place is ledger.places.copy:
                cure = (
                    "mount the disk that belongs there, and restart; if it is lost, name another [ledger] receipts_copy"
                )
            yield Need("receipts", str(place.path), cause, cure, ("ledger verify",))


def _workspaces(ledger: Ledger, scope: Scope, now: int) -> Iterator[Need]:
    """Yield rests that only a person ends, and those that last too long to end by themselves."""
    for name in scope.workspaces:
        kept = dict(ledger.outbox.pace_of(name) or {})
        pace = Pace.as_kept(kept)
        since = int(str(kept.get("since") or kept.get("changed_at") or now))
        if not pace.needs_a_person and not (pace.rest and now - since >= LASTING_SECONDS * 1000):
            continue
        commands: tuple[str, ...] = ()
        cause, cure = f"rests ({pace.rest}): {printable(pace.cause)}", REST_HINTS.get(pace.rest, _LASTING)
        if not ledger.outbox.pending(name):
            # other rests say nothing about the next lead, and there is none to try
            if pace.rest not in REFUSED_ALTOGETHER:
                continue
            cure += "; no lead is waiting: the next one, or a test lead, shows whether it is fixed:"
            commands = (f"send-test --workspace {name}",)
        yield Need("workspace", name, cause, cure, commands, since)


def failing_of(ledger: Ledger) -> dict[str, Incident]:
    """Return the incident of each stream whose last poll failed."""
    return {each.subject: each for each in ledger.incidents.all() if each.kind == "stream"}


def polls(times: int) -> str:
    """Return such as `1 poll`, `2 polls` or `3 polls or more`; an incident stops counting there."""
    more = " or more" if times == COUNTED else ""
    return f"{count(times, 'poll')}{more}"
