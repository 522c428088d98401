"""A list of checks in the form of TAP, where one that fails does not keep the others from being made."""

from __future__ import annotations

import time


class Checks:
    """Counts what held and what did not."""

    def __init__(self) -> None:
        self.made = 0
        self.failed: list[str] = []
        self._began = time.monotonic()

    def part(self, title: str) -> None:
        print(f"# {title} ({time.monotonic() - self._began:.0f} s)", flush=True)

    def ok(self, holds: object, says: str, detail: object = "") -> None:
        self.made += 1
        if not holds:
            self.failed.append(says)
        text = " ".join(str(detail).split())[:300]
        print(f"{'ok' if holds else 'not ok'} {self.made} - {says}" + (f"  # {text}" if text else ""), flush=True)

    def end(self) -> int:
        """Return the exit code."""
        print(f"1..{self.made}")
        if self.failed:
            print(f"# {len(self.failed)} failed: {'; '.join(self.failed)}")
        return 1 if self.failed else 0
