"""Ends of support: parts of a vendor's API that the configuration uses and that the vendor will switch off."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from connectors.interface import Ages, EndOfSupport
from sync.config.schema import Config

AHEAD_DAYS = 180
"""Days before an end of support from which it is reported: enough time to plan an upgrade."""


@dataclass(frozen=True, slots=True)
class Age:
    """The end of support of something that a source uses, in `days` from today; below 0 if it has passed."""

    source: str
    ending: EndOfSupport
    days: int

    @property
    def what(self) -> str:
        """Return `… ends on 2027-03-30, in 120 days`, or `… ended on 2027-03-30`."""
        day = self.ending.date.isoformat()
        if self.days < 0:
            return f"{self.ending.what} ended on {day}"
        when = {0: "today", 1: "tomorrow"}.get(self.days, f"in {self.days} days")
        return f"{self.ending.what}: ends on {day}, {when}"


def ages_of(config: Config, now: float) -> tuple[Age, ...]:
    """Return every known end of support of the sources in use, the nearest first; `now` in seconds since 1970."""
    # Vendors name a day without a zone: here it is UTC's, and one day more or less does not matter.
    today = datetime.fromtimestamp(now, UTC).date()
    found = (
        Age(name, ending, (ending.date - today).days)
        for name, source in config.sources.items()
        if isinstance(source.options, Ages)
        for ending in source.options.endings()
    )
    return tuple(sorted(found, key=lambda age: (age.ending.date, age.source, age.ending.what)))


def near_ends(config: Config, now: float) -> tuple[Age, ...]:
    """Return the ends that are at most AHEAD_DAYS away, or past."""
    return tuple(age for age in ages_of(config, now) if age.days <= AHEAD_DAYS)


def age_as_json(age: Age) -> dict[str, Any]:
    """Return the end as JSON; `days` from today, below 0 if it has passed."""
    return {
        "source": age.source,
        "what": age.ending.what,
        "date": age.ending.date.isoformat(),
        "days": age.days,
        "cure": age.ending.cure,
    }
