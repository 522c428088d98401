"""Running totals of one process: what was read, queued and sent. Written by all threads, read by the display."""

from __future__ import annotations

import threading
from collections import Counter

from state.rows import Conclusion, Verdict
from sync.events import PARTS
from sync.polling.job import PollReport


class Tally:
    """Counts that balance: read = new + unchanged + filtered + …; queued = sent + pending + in doubt + set aside."""

    def __init__(self, pending: int = 0) -> None:
        """`pending` is how many leads waited when counting began."""
        self._lock = threading.Lock()
        self._at_start = pending
        self._read = 0
        self._counts: Counter[str] = Counter()
        self._unqueued = 0
        self._requeued = 0
        self._leads: Counter[str] = Counter()
        self._batches: Counter[str] = Counter()
        self._aside = 0

    def polled(self, now: PollReport, before: PollReport) -> None:
        """What a poll did since it was last heard of."""
        with self._lock:
            self._read += now.read - before.read
            self._unqueued += now.unqueued - before.unqueued
            self._aside += now.set_aside - before.set_aside
            self._counts.update(now.counts - before.counts)

    def requeued(self, leads: int) -> None:
        """Leads that came back into the queue without a poll."""
        with self._lock:
            self._requeued += leads

    def concluded(self, verdict: Verdict, leads: int, conclusion: Conclusion) -> None:
        with self._lock:
            self._batches[verdict] += 1
            again, doubtful = conclusion.moved.get("pending", 0), conclusion.moved.get("in_doubt", 0)
            if verdict == "created":
                self._leads["created"] += leads
                self._requeued += again
            else:
                self._leads["in_doubt"] += doubtful
                self._aside += leads - again - doubtful

    def snapshot(self) -> dict[str, int]:
        """read and its parts; queued, sent, in_doubt, aside; pending is what follows from them; requests by verdict."""
        with self._lock:
            queued = self._at_start + self._counts["new"] + self._counts["resend"] + self._requeued - self._unqueued
            sent, in_doubt = self._leads["created"], self._leads["in_doubt"]
            return {
                "read": self._read,
                **{name: self._counts[name] for name in PARTS},
                "queued": queued,
                "sent": sent,
                "in_doubt": in_doubt,
                "set_aside": self._aside,
                "pending": queued - sent - in_doubt - self._aside,
                "requests": sum(self._batches.values()),
            }


def counts_of(report: PollReport) -> dict[str, int]:
    return {name: report.counts[name] for name in PARTS}
