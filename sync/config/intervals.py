"""Limits on how long a poll may take, and how late it may be."""

from __future__ import annotations

from datetime import UTC, datetime

from sync.config.schema import Source

POLL_DEADLINE = 600.0
"""Seconds after which a poll ends at its next page; the next one goes on from there."""
LEAST_GRACE, MOST_GRACE = 600.0, 3600.0
"""Seconds that a poll may be later than its turn: as much as its interval, within these bounds."""


def allowance(source: Source, after: float) -> float:
    """Return the seconds within which the next poll should end, after a poll that ended at `after` (seconds since
    1970)."""
    gap = source.every.total_seconds()
    if source.cron is not None:
        # Slow to import, and most sources have an interval.
        from apscheduler.triggers.cron import CronTrigger

        then = datetime.fromtimestamp(after, UTC)
        upcoming = CronTrigger.from_crontab(source.cron, timezone="UTC").get_next_fire_time(None, then)
        gap = (upcoming - then).total_seconds() if upcoming else float("inf")
    return gap + min(max(gap, LEAST_GRACE), MOST_GRACE)
