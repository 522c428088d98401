"""What systemd asks of a service: notifications (sd_notify), and log lines with a priority for the journal. A leaf.

Protocols: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html (datagrams, watchdog, extended
time-outs) and .../sd-daemon.html (the priority prefix of a line). Both are a few lines; the package sdnotify loses
messages where the manager's queue is full.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

PRIORITIES: dict[str, str] = {"debug": "<7>", "info": "<6>", "warning": "<4>", "error": "<3>"}
"""Of each level of the log: what a line begins with, for `journalctl -p`. The journal takes it away again."""


def is_journal(stream: object, env: Mapping[str, str] = os.environ) -> bool:
    """Whether what is written to a file goes there: by JOURNAL_STREAM, which names the journal's own socket, so a
    redirection of ours is not taken for it."""
    if not hasattr(stream, "fileno"):
        return False
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):  # closed, or kept in memory
        return False
    return env.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


_LONGEST_STATUS = 1000
_FLAGS = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC


@dataclass(frozen=True, slots=True)
class Notifier:
    """Sends to `address`; where there is none, or nobody listens, nothing happens: no method raises."""

    address: str = ""
    """A path, or an abstract socket's name after `@`."""
    watchdog_every: float | None = None
    """Seconds within which the manager wants to hear that all is well; None: it does not."""
    patience: float = 1.0
    """Seconds that a message waits for a manager whose queue is full; then it is lost."""

    @classmethod
    def of(cls, env: Mapping[str, str] = os.environ) -> Notifier:
        """What the manager asks of this process, by NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID."""
        micros, pid = env.get("WATCHDOG_USEC", ""), env.get("WATCHDOG_PID", "")
        wanted = micros.isdecimal() and int(micros) > 0 and pid in ("", str(os.getpid()))
        return cls(env.get("NOTIFY_SOCKET", ""), int(micros) / 1e6 if wanted else None)

    def ready(self, status: str) -> None:
        """The start, or a reload, is over."""
        self.tell(f"READY=1\n{_status(status)}")

    def reloading(self, status: str) -> None:
        """A reload begins; `ready` ends it."""
        micros = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self.tell(f"RELOADING=1\nMONOTONIC_USEC={micros}\n{_status(status)}")

    def stopping(self, status: str) -> None:
        self.tell(f"STOPPING=1\n{_status(status)}")

    def status(self, status: str) -> None:
        """One line for `systemctl status`."""
        self.tell(_status(status))

    def failed(self, status: str, exit_code: int) -> None:
        """Why the process is about to end with this code."""
        self.tell(f"EXIT_STATUS={exit_code}\n{_status(status)}")

    def alive(self) -> None:
        """All is well: the watchdog waits anew."""
        self.tell("WATCHDOG=1")

    def extend(self, seconds: float) -> None:
        """Starting or stopping takes longer: the manager waits at least so long from now."""
        self.tell(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def tell(self, message: str) -> None:
        """One datagram of `NAME=value` lines."""
        if self.address[:1] not in ("/", "@"):
            return
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, _FLAGS) as to:
                to.settimeout(self.patience)
                to.sendto(message.encode("utf-8", "replace"), address)
        except OSError:
            return


def _status(text: str) -> str:
    """On one line: a second one would be an assignment of its own."""
    return f"STATUS={' '.join(text.split())[:_LONGEST_STATUS]}"
