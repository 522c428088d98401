"""Running totals of one process: records read, leads queued and sent. All threads write them, the display reads
them."""

from __future__ import annotations

import threading
from collections import Counter

from state.rows import Conclusion, Verdict
from sync.events import PARTS
from sync.polling.job import PollReport


class Tally:
    """Counts that balance: read = new + unchanged + filtered + …; queued = sent + pending + in doubt + set aside."""

    def __init__(self, pending: int = 0) -> None:
        """Begin to count; `pending` leads wait already."""
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
        """Add what a poll did since it was last reported."""
        with self._lock:
            self._read += now.read - before.read
            self._unqueued += now.unqueued - before.unqueued
            self._aside += now.set_aside - before.set_aside
            self._counts.update(now.counts - before.counts)

    def requeued(self, leads: int) -> None:
        """Add leads that came back into the queue without a poll."""
        with self._lock:
            self._requeued += leads

    def concluded(self, verdict: Verdict, leads: int, conclusion: Conclusion) -> None:
        """Add one concluded batch of `leads`."""
        with self._lock:
            self._batches[verdict] += 1
            # what came back is pending already: only what left the queue is counted
            again, doubtful = conclusion.moved.get("pending", 0), conclusion.moved.get("in_doubt", 0)
            if verdict == "created":
                self._leads["created"] += leads
                self._requeued += again
            else:
                self._leads["in_doubt"] += doubtful
                self._aside += leads - again - doubtful

    def snapshot(self) -> dict[str, int]:
        """Return the totals: `read` and its parts; `queued`, `sent`, `in_doubt`, `set_aside`, and `pending`, which
        follows from them; `requests`."""
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
    """Return a poll's counts by what became of its records, zeros included."""
    return {name: report.counts[name] for name in PARTS}
