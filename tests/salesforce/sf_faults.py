"""What arrives at the stand-in, and what it may meet instead of an answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    soql: str | None
    headers: dict[str, str]

    @property
    def is_login(self) -> bool:
        return self.path.startswith(("/services/oauth2/token", "/services/Soap"))


@dataclass(frozen=True)
class Fault:
    """What one request meets instead of its answer (or before it): `on` says which requests, `times` how many."""

    status: int = 0
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    on: Callable[[Asked], bool] = lambda asked: not asked.is_login
    times: int = 1
    delay: float = 0.0
    how: str = "answer"
    """answer; hang: says nothing; trickle: a byte now and then; drop: ends in the middle; reset: at once; then: the
    right answer, after `delay`."""


def error(status: int, code: str, message: str = "…") -> Fault:
    return Fault(status, [{"message": message, "errorCode": code}])
