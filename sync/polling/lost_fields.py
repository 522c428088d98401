"""Fields that every lead of a poll lost: nothing of what the source holds there could be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from sync.log import emit

FEWEST_LEADS = 5
"""In fewer leads chance alone may leave nothing usable in a field."""
_LOOK = "preview shows the values; map another column, correct the expression, or leave the field out"


class Losses:
    """Counts the leads of one poll and, for each mapped field, those whose values were all left out."""

    def __init__(self) -> None:
        self._leads = 0
        self._lost: Counter[str] = Counter()
        self._rules: dict[str, Counter[str]] = {}

    def add(self, lost: Sequence[tuple[str, str]]) -> None:
        """Count one lead; `lost` as in the mapping's Lead."""
        self._leads += 1
        for field, rule in lost:
            self._lost[field] += 1
            self._rules.setdefault(field, Counter())[rule] += 1

    def everywhere(self) -> Iterator[tuple[str, str]]:
        """Yield each field that all leads lost, with the most frequent reason; none where there are few leads."""
        if self._leads >= FEWEST_LEADS:
            for field, n in self._lost.items():
                if n == self._leads:
                    yield field, self._rules[field].most_common(1)[0][0]

    def say(self, stream: str) -> None:
        """Emit one event for each field that all leads lost."""
        for field, rule in self.everywhere():
            emit("field_lost", stream=stream, field=field, rule=rule, leads=self._leads, hint=_LOOK)
