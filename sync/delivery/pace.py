"""The pace of a workspace after each verdict: rate back-off and circuit breaker, pure, one step a verdict.

After an unknown outcome the next batches carry 1, then 10, then 100 leads, each step after a success, one at a time;
probes back off from 5 s, doubling, to an hour; three unknown outcomes in a row rest the workspace. Refusals back off
from 1 s to 5 min. A pause (wrong key, plan, address) is tried again from 1 min to an hour.

If the plan has room for fewer leads than a batch holds, the next batch holds half as many, until even one lead does not
fit: then the workspace rests, and one lead at a time tries if there is room again. Its success, like three successes of
smaller batches, brings larger ones.

Five rejected single leads in a row trip the breaker: then it is not the leads that are wrong. Leads that were rejected
before, and are so again, do not count. While it is open one lead at a time is tried, and one that is rejected goes back
to where it was: so at most five are quarantined because of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from random import Random
from typing import Literal

from sync.delivery.outcome import Outcome

RestCause = Literal["", "refused", "unknown", "credentials", "plan", "address", "breaker"]

STEPS = (1, 10, 100)
FULL = STEPS[-1]
UNKNOWNS_TO_REST = 3
SINGLES_TO_TRIP = 5
FITS_TO_GROW = 3


@dataclass(frozen=True, slots=True)
class Pace:
    """The state of a workspace's back-off and breaker.

    `step` indexes STEPS (2 = full batches). `ceiling` is how many leads the plan had room for at once as far as is
    known (0: not even for one), `fits` how many batches went through under it. `failures`, `unknowns` and `singles`
    (rejected single leads) count in a row. `halving`: the last verdict was a rejection, and its halves are sent one
    after the other. `rest` says why the workspace waits `wait` seconds, "" if it does not.
    """

    step: int = len(STEPS) - 1
    failures: int = 0
    unknowns: int = 0
    singles: int = 0
    halving: bool = False
    ceiling: int = FULL
    fits: int = 0
    rest: RestCause = ""
    wait: float = 0.0
    cause: str = ""

    @property
    def is_tripped(self) -> bool:
        """True while the breaker is open."""
        return self.singles >= SINGLES_TO_TRIP

    @property
    def most(self) -> int:
        """The number of leads that the next batch may carry."""
        return 1 if self.is_tripped else max(1, min(STEPS[self.step], self.ceiling))

    @property
    def one_at_a_time(self) -> bool:
        return self.most < FULL or self.failures > 0 or self.halving

    @property
    def needs_a_person(self) -> bool:
        """True in a rest that waiting alone hardly ends."""
        return self.rest in {"credentials", "plan", "address", "breaker"} or self.unknowns >= UNKNOWNS_TO_REST

    @classmethod
    def from_json(cls, stored: dict[str, object] | None) -> Pace:
        """Return the pace to restart with: it tries at once if a rest is over, but as carefully as before."""
        match {"singles": 0, "ceiling": FULL, **(stored or {})}:
            case {
                "step": int(step),
                "unknowns": int(unknowns),
                "singles": int(singles),
                "ceiling": int(ceiling),
            } if 0 <= step < len(STEPS) and 0 <= ceiling <= FULL:
                # one less than what rests: the restarted worker may probe once
                unknowns = min(unknowns, UNKNOWNS_TO_REST - 1)
                return cls(step=step, unknowns=unknowns, singles=min(singles, SINGLES_TO_TRIP), ceiling=ceiling)
            case _:
                return cls()

    @classmethod
    def as_kept(cls, stored: Mapping[str, object]) -> Pace:
        """Return the pace as it was last written, for people who ask why a workspace rests."""
        known = {each.name for each in fields(cls)}
        return cls(**{key: value for key, value in stored.items() if key in known})  # type: ignore[arg-type]

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def reinterpreted(pace: Pace, outcome: Outcome) -> Outcome:
    """Return an outcome as it counts while the breaker is open: a rejection is no fault of the lead, which stays
    pending."""
    if outcome.verdict == "rejected" and pace.is_tripped:
        cause = f"the server rejects lead after lead ({outcome.status})"
        return replace(outcome, verdict="paused", cause=cause, pause="breaker")
    return outcome


def after(pace: Pace, outcome: Outcome, *, leads: int, random: Random, sent_again: bool = False) -> Pace:
    """Return the pace after one verdict on a batch of `leads`; `sent_again`: each was rejected before."""
    match outcome.verdict:
        # one success proves that key, plan and address are right
        case "created":
            return _grown(pace)
        case "rejected":
            # only a lead that was rejected alone counts: of a batch nobody knows yet which lead it was
            # and not one that is rejected again: that says nothing new of the server
            singles = pace.singles + 1 if leads == 1 and not sent_again else pace.singles
            if singles >= SINGLES_TO_TRIP:
                return _rest(replace(pace, singles=singles), "breaker", outcome, (60, 3600), random)
            return replace(_going_on(pace), singles=singles, halving=True)
        case "refused":
            return _rest(pace, "refused", outcome, (1, 300), random)
        case "paused":
            return _paused(pace, outcome, leads, random)
        case "in_doubt":
            unknowns = pace.unknowns + 1
            # after three in a row each further probe puts more leads in doubt: begin at five minutes
            first = 5.0 if unknowns < UNKNOWNS_TO_REST else 300.0
            return _rest(replace(pace, unknowns=unknowns, step=0), "unknown", outcome, (first, 3600), random)


def _grown(pace: Pace) -> Pace:
    """Forget every failure, and come a step nearer to full batches."""
    # 1, 10, 100: one success alone does not prove that a full batch is safe
    step = min(pace.step + 1, len(STEPS) - 1)
    # nothing was known of a limited room, or the plan has room again
    if pace.ceiling in {0, FULL}:
        return Pace(step=step)
    if pace.fits + 1 < FITS_TO_GROW:
        return Pace(step=step, ceiling=pace.ceiling, fits=pace.fits + 1)
    return Pace(step=step, ceiling=min(2 * pace.ceiling, FULL))


def _paused(pace: Pace, outcome: Outcome, leads: int, random: Random) -> Pace:
    match outcome.pause:
        case "room" if leads > 1:
            # half as many as were too many: the vendor does not say how many would fit
            return replace(_going_on(pace), ceiling=min(pace.ceiling, leads // 2), fits=0)
        case "room" | "plan":
            return _rest(replace(pace, ceiling=0), "plan", outcome, (60, 3600), random)
        case other:
            return _rest(pace, other or "address", outcome, (60, 3600), random)


def _going_on(pace: Pace) -> Pace:
    """Go on at once: the response asks for other batches, not for patience."""
    return replace(pace, failures=0, halving=False, rest="", wait=0.0, cause="")


def _rest(pace: Pace, rest: RestCause, outcome: Outcome, bounds: tuple[float, float], random: Random) -> Pace:
    """Rest with exponential backoff between bounds in seconds, with jitter (half to whole) and `Retry-After` as a
    floor."""
    first, most = bounds
    # a rest for another reason starts its own series
    exponent = pace.failures if pace.rest == rest else 0
    # no float holds two to the number of failures of a server that is down for days
    wait = min(first * 2.0 ** min(exponent, 30), most) * (0.5 + random.random() / 2)
    wait = max(wait, outcome.retry_after or 0.0)
    return replace(pace, failures=exponent + 1, halving=False, rest=rest, wait=wait, cause=outcome.cause)


REFUSED_ALTOGETHER: frozenset[str] = frozenset({"credentials", "plan", "address"})
"""Rests that every lead would meet, unless somebody acts. Other rests concern nobody once none of their leads waits."""

REST_HINTS = {
    "credentials": "the API key is not valid, or has no access: set a valid key ([workspaces] api_key), then reload",
    "plan": "the workspace's plan allows no more leads: change the plan; it is retried automatically",
    "address": "check [workspaces] base_url, then reload",
    "breaker": "the server rejects lead after lead: its message is in `status`; perhaps [workspaces.X.wire] is wrong. "
    "No more leads go to quarantine because of it; those already there are tried again when the mapping or [wire] "
    "changes",
    "unknown": "no clear answer came: check that ClosingDealz is up and [workspaces] base_url is right; it is retried "
    "automatically",
}
