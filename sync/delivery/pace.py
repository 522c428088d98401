"""How boldly a workspace sends after what it has met: pure, one step a verdict.

After an unknown outcome the next batches carry 1, then 10, then 100 leads, each step after a success, one at a time;
probes back off from 5 s, doubling, to an hour; three unknown outcomes in a row rest the workspace. Refusals back off
from 1 s to 5 min. A pause (wrong key, plan, address) is looked at again from 1 min to an hour. Five rejected single
leads in a row trip a breaker: then it is not the leads that are wrong.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from random import Random
from typing import Literal

from sync.delivery.outcome import Outcome

Rest = Literal["", "refused", "unknown", "credentials", "plan", "address", "breaker"]

STEPS = (1, 10, 100)
UNKNOWNS_TO_REST = 3
SINGLES_TO_TRIP = 5


@dataclass(frozen=True, slots=True)
class Pace:
    """`step` indexes STEPS (2 = full batches). `rest` says why the workspace waits `wait` seconds, "" if it does not.

    `failures` counts what went wrong in a row, whatever it was; `unknowns` and `singles` count in a row too.
    """

    step: int = len(STEPS) - 1
    failures: int = 0
    unknowns: int = 0
    singles: int = 0
    rest: Rest = ""
    wait: float = 0.0
    cause: str = ""

    @property
    def most(self) -> int:
        """How many leads the next batch may carry."""
        return STEPS[self.step]

    @property
    def one_at_a_time(self) -> bool:
        return self.step < len(STEPS) - 1 or self.failures > 0

    @property
    def needs_a_person(self) -> bool:
        """A rest that waiting alone hardly ends."""
        return self.rest in {"credentials", "plan", "address", "breaker"} or self.unknowns >= UNKNOWNS_TO_REST

    @classmethod
    def from_json(cls, stored: dict[str, object] | None) -> Pace:
        """A restart looks at once whether a rest is over, but as carefully as before."""
        match stored:
            case {"step": int(step), "unknowns": int(unknowns)} if 0 <= step < len(STEPS):
                return cls(step=step, unknowns=min(unknowns, UNKNOWNS_TO_REST - 1))
            case _:
                return cls()

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def after(pace: Pace, outcome: Outcome, *, leads: int, random: Random) -> Pace:
    """The pace after one verdict on a batch of `leads`."""
    match outcome.verdict:
        case "created":
            return Pace(step=min(pace.step + 1, len(STEPS) - 1))
        case "rejected":
            singles = pace.singles + 1 if leads == 1 else pace.singles
            if singles >= SINGLES_TO_TRIP:
                return _rest(replace(pace, singles=singles), "breaker", outcome, (60, 3600), random)
            return replace(pace, singles=singles, failures=0, rest="", wait=0.0, cause="")
        case "refused":
            return _rest(pace, "refused", outcome, (1, 300), random)
        case "paused":
            return _rest(pace, outcome.pause or "address", outcome, (60, 3600), random)
        case "in_doubt":
            unknowns = pace.unknowns + 1
            first = 5.0 if unknowns < UNKNOWNS_TO_REST else 300.0
            return _rest(replace(pace, unknowns=unknowns, step=0), "unknown", outcome, (first, 3600), random)


def _rest(pace: Pace, rest: Rest, outcome: Outcome, bounds: tuple[float, float], random: Random) -> Pace:
    """Exponential backoff between bounds in seconds with jitter (half to whole), `Retry-After` as a floor."""
    first, most = bounds
    exponent = pace.failures if pace.rest == rest else 0
    # no float holds two to the number of failures of a server that is down for days
    wait = min(first * 2.0 ** min(exponent, 30), most) * (0.5 + random.random() / 2)
    wait = max(wait, outcome.retry_after or 0.0)
    return replace(pace, failures=exponent + 1, rest=rest, wait=wait, cause=outcome.cause)


REST_HINTS = {
    "credentials": "the API key is not valid: put a valid one where [workspaces] api_key points, then reload",
    "plan": "the workspace's plan allows no more leads: change the plan; it is looked at again by itself",
    "address": "check [workspaces] base_url, then reload",
    "breaker": "the server rejects lead after lead: its message is in `status`; perhaps [workspaces.X.wire] is wrong",
    "unknown": "the server gave no clear answer: settle what is in doubt",
}
