"""The protocols of systemd: notifications (sd_notify), and log lines with a priority for the journal. A leaf.

https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html for the messages, .../sd-daemon.html for the
priority at the beginning of a line. Both are short, and the package sdnotify loses messages while the manager's queue
is full.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PRIORITIES: dict[str, str] = {"debug": "<7>", "info": "<6>", "warning": "<4>", "error": "<3>"}
"""The beginning of a line by its level, for `journalctl -p`; the journal removes it."""


def is_journal(stream: object, env: Mapping[str, str] = os.environ) -> bool:
    """Return True if the journal reads what is written to this stream.

    JOURNAL_STREAM names the journal's own socket, so a redirection is not taken for it.
    """
    if not hasattr(stream, "fileno"):
        return False
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):  # closed, or kept in memory
        return False
    return env.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


UNIT_FAULT = "CLOSINGDEALZ_SYNC_UNIT_FAULT"


def unit_fault(env: Mapping[str, str] = os.environ) -> str:
    """Return why systemd cannot begin the service, as the administrator's command (`sync.installation.as_service`) was
    told; empty where it can, or where nobody asked."""
    return env.get(UNIT_FAULT, "")


def tasks_allowed(own: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return how many threads this process may have: the least `pids.max` (TasksMax=) of its control groups, None where
    there is none. (cgroup v2)"""
    try:
        line = next(line for line in own.read_text().splitlines() if line.startswith("0::"))
        group = root / line.removeprefix("0::").lstrip("/")
        limits = [each / "pids.max" for each in (group, *group.parents) if each.is_relative_to(root)]
        found = [limit.read_text().strip() for limit in limits if limit.exists()]
        return min((int(text) for text in found if text != "max"), default=None)
    except (OSError, ValueError, StopIteration):
        return None


_LONGEST_STATUS = 1000
_FLAGS = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC


@dataclass(frozen=True, slots=True)
class Notifier:
    """Sends messages to the service manager's socket; without one, or if nobody listens, nothing happens. No method
    raises."""

    address: str = ""
    """A path, or an abstract socket's name after `@`."""
    watchdog_every: float | None = None
    """Seconds within which the manager expects to hear that all is well; None: it does not."""
    patience: float = 1.0
    """Seconds that a message waits for a manager whose queue is full; then it is lost."""

    @classmethod
    def of(cls, env: Mapping[str, str] = os.environ) -> Notifier:
        """Return the notifier for this process, from NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID."""
        micros, pid = env.get("WATCHDOG_USEC", ""), env.get("WATCHDOG_PID", "")
        # WATCHDOG_PID names another process where a wrapper started us
        wanted = micros.isdecimal() and int(micros) > 0 and pid in ("", str(os.getpid()))
        return cls(env.get("NOTIFY_SOCKET", ""), int(micros) / 1e6 if wanted else None)

    def ready(self, status: str) -> None:
        """Tell that the start, or a reload, is over."""
        self.tell(f"READY=1\n{_status(status)}")

    def reloading(self, status: str) -> None:
        """Tell that a reload begins; `ready` ends it."""
        # required with RELOADING=1: it tells this reload from an earlier READY
        micros = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self.tell(f"RELOADING=1\nMONOTONIC_USEC={micros}\n{_status(status)}")

    def stopping(self, status: str) -> None:
        """Tell that the daemon is stopping."""
        self.tell(f"STOPPING=1\n{_status(status)}")

    def status(self, status: str) -> None:
        """Set the line that `systemctl status` shows."""
        self.tell(_status(status))

    def failed(self, status: str, exit_code: int) -> None:
        """Tell why the process is about to end with this code."""
        self.tell(f"EXIT_STATUS={exit_code}\n{_status(status)}")

    def alive(self) -> None:
        """Feed the watchdog."""
        self.tell("WATCHDOG=1")

    def extend(self, seconds: float) -> None:
        """Ask for more time to start or stop: the manager waits at least so many seconds from now."""
        self.tell(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def tell(self, message: str) -> None:
        """Send one datagram of `NAME=value` lines."""
        if self.address[:1] not in ("/", "@"):
            return
        # an abstract socket's name begins with a NUL on the wire
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, _FLAGS) as to:
                # a manager that is busy reloading must not hold up the main thread
                to.settimeout(self.patience)
                to.sendto(message.encode("utf-8", "replace"), address)
        # nobody listens any more: a notification is a courtesy, no reason to fail
        except OSError:
            return


def _status(text: str) -> str:
    """Return the text on one line: a second line would be an assignment of its own."""
    return f"STATUS={' '.join(text.split())[:_LONGEST_STATUS]}"
