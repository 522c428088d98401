"""Says in the log, once a day, what of a source's API ends soon."""

from __future__ import annotations

from datetime import UTC, date, datetime

from sync.config.ages import age_as_json, near_ends
from sync.config.schema import Config
from sync.log import emit


class SupportEnds:
    """Of one daemon, whatever configuration is in force."""

    def __init__(self) -> None:
        self._said: date | None = None

    def say(self, config: Config, now: float) -> None:
        """The first time on a day (in UTC); `now` in seconds since 1970."""
        today = datetime.fromtimestamp(now, UTC).date()
        if self._said == today:
            return
        self._said = today
        for age in near_ends(config, now):
            emit("source_api_ends", **age_as_json(age))
