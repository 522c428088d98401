"""Judges and stores each request as the API would: key, rate limit (two models of it), injected fault, body, plan,
leads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import orjson

from sync.trial.sandbox import responses as answers
from sync.trial.sandbox.faults import FaultSchedule, InjectedFault, Strike
from sync.trial.sandbox.responses import SandboxResponse
from sync.trial.sandbox.settings import SandboxOptions
from sync.trial.sandbox.store import Arrival, Store, digest_of, key_mark
from sync.trial.sandbox.validation import check_leads

ResponseEnding = Literal["answer", "half", "hang", "reset"]
MAX_BODY = 30_000_000
"""Bytes; the default limit of ASP.NET's Kestrel, which the API's answers resemble."""


@dataclass(frozen=True, slots=True)
class Request:
    """One POST as it arrived; `body` is None if it exceeds MAX_BODY, `size` is in bytes."""

    key: str
    content_type: str
    body: bytes | None
    size: int

    @property
    def digest(self) -> str:
        return digest_of(self.body or b"")


@dataclass(frozen=True, slots=True)
class ScriptedResponse:
    """The ending a client gets: an answer, half of one, silence for `seconds`, or a reset connection."""

    ending: ResponseEnding
    answer: SandboxResponse
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Ruling:
    """The API's own decision, before any fault: `leads` are to be created, `count` were sent."""

    answer: SandboxResponse
    leads: tuple[Any, ...] = ()
    count: int | None = None
    unknown: tuple[str, ...] = ()
    refused_on_purpose: bool = False


_ENDINGS: Mapping[str, ResponseEnding] = {"timeout": "hang", "reset": "reset", "half": "half"}


class SandboxApi:
    """The sandbox's decisions, made in one thread; once `judge` returns, its decision is committed to the store.

    `clock` returns microseconds since 1970 and never goes back. Faults strike only requests with a valid key that are
    within the limit; an injected 429 takes no room in the limiter.
    """

    def __init__(self, options: SandboxOptions, store: Store, clock: Callable[[], int]) -> None:
        self.options = options
        self.store = store
        self._clock = clock
        self._epoch = clock()
        self._keys = {key: key_mark(key) for key in options.keys}
        self._limits = LimitPerKey(self._limiter)
        self._schedule: FaultSchedule = options.schedule()

    def change(self, options: SandboxOptions, *, anew: bool) -> None:
        """Replace the options; `anew` restarts the fault script and the random sequence."""
        self.options = options
        if anew:
            self._schedule = options.schedule()

    def judge(self, request: Request) -> ScriptedResponse:
        """Decide and store the outcome of a request that reaches the limiter now."""
        now = self._clock()
        # The key comes before the limit: a request with a wrong key takes no room of anybody's.
        mark = self._keys.get(request.key)
        if mark is None:
            return self._refuse(request, Arrival(now, key_mark(request.key), "stranger", 401, None, request.size))
        limiter = self._limits.of(mark, now)
        if not limiter.room(now):
            return self._refuse(request, Arrival(now, mark, "limited", 429, None, request.size))
        strike = self._schedule.next()
        if strike.fault.status == 429:  # the limiter would have refused it, so it takes no room
            refused = Arrival(now, mark, "struck", 429, None, request.size, strike.fault.name)
            return self._refuse(request, refused, strike.fault.seconds)
        limiter.take(now)  # before the verdict: a request that fails has used its slot as well
        return self._admitted(request, strike, now, mark)

    def _refuse(self, request: Request, arrival: Arrival, retry_after: float | None = None) -> ScriptedResponse:
        self.store.add(replace(arrival, leads=_count(request.body), digest=request.digest))
        return ScriptedResponse("answer", answers.failure(arrival.status or 0, retry_after))

    def _admitted(self, request: Request, strike: Strike, now: int, mark: str) -> ScriptedResponse:
        fault = strike.fault
        ruling = self._rule(request, mark, strike.refused, partly=fault.kind == "partly")
        # A fault after creation needs created leads, and `partly` needs a batch that the API refuses: otherwise the
        # store would hold leads that the rules forbid, and the oracle would count them.
        whole = fault.kind == "partly" and ruling.answer is answers.CREATED
        struck = fault.kind != "ok" and not whole and (not fault.created or bool(ruling.leads))
        outcome = self._outcome(fault, ruling) if struck else ScriptedResponse("answer", ruling.answer)
        name = fault.name if struck else "refuse" if ruling.refused_on_purpose else None
        status = outcome.answer.status if outcome.ending in ("answer", "half") else None
        arrival = Arrival(now, mark, "admitted", status, ruling.count, request.size, name, ruling.unknown)
        self.store.add(replace(arrival, digest=request.digest), ruling.leads if fault.created else ())
        return outcome

    def _outcome(self, fault: InjectedFault, ruling: _Ruling) -> ScriptedResponse:
        ending = _ENDINGS.get(fault.kind, "answer")
        match fault.kind:
            case "status":
                shown = answers.failure(fault.status, fault.seconds)
            case "malformed":
                shown = answers.NOT_THE_JSON
            case "not-succeeded":
                shown = answers.NOT_SUCCEEDED
            case _:
                shown = ruling.answer
        return ScriptedResponse(ending, shown, self.options.hang if fault.seconds is None else fault.seconds)

    def _rule(self, request: Request, mark: str, refused: tuple[str, ...], *, partly: bool) -> _Ruling:
        # The cheapest checks first: body, size of the batch, plan, and only then each lead.
        leads = _read(request)
        if isinstance(leads, SandboxResponse):
            return _Ruling(leads)
        if refusal := self._refusal(leads, mark):
            return _Ruling(refusal, count=len(leads))
        verdict = check_leads(leads)
        kept = tuple(lead for lead in leads if _is_good(lead, refused)) if partly else ()
        if verdict.problem is not None:
            return _Ruling(answers.answer(400, verdict.problem), kept, len(leads), verdict.unknown)
        if (index := _refused_lead(leads, refused)) is not None:
            refusal = answers.answer(400, f"[{index}] was refused on purpose.")
            return _Ruling(refusal, kept, len(leads), verdict.unknown, refused_on_purpose=True)
        return _Ruling(answers.CREATED, tuple(leads), len(leads), verdict.unknown)

    def _refusal(self, leads: list[Any], mark: str) -> SandboxResponse | None:
        if not leads:
            return answers.answer(400, "At least one lead is required.")
        if len(leads) > answers.MAX_LEADS:
            return answers.too_many_leads(len(leads))
        if self.options.plan == "downgraded":
            return answers.answer(400, answers.FREE_PLAN_REACHED)
        if self.options.plan == "free" and self.store.lead_count(mark) + len(leads) > answers.FREE_PLAN_LEADS:
            return answers.answer(400, answers.FREE_PLAN_CROSSED)
        return None

    def _limiter(self, now: int) -> Limiter:
        options = self.options
        per = round(options.per * 1_000_000)
        if options.segments is None:
            return ExactLog(options.limit, per)
        # At least a microsecond: the limiter divides by it.
        heartbeat = max(1, round(options.heartbeat * 1_000_000))
        return SegmentedWindow(
            options.limit, per, segments=options.segments, heartbeat=heartbeat, created=now, epoch=self._epoch
        )


def _read(request: Request) -> list[Any] | SandboxResponse:
    """Return the leads of a body, or the answer that refuses it."""
    if request.body is None:
        return answers.failure(413)
    if request.content_type.partition(";")[0].strip().lower() != "application/json":
        return answers.answer(415, "The Content-Type must be application/json.")
    try:
        leads = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return answers.answer(400, "The body is not valid JSON.")
    return leads if isinstance(leads, list) else answers.answer(400, "The body must be a JSON array of leads.")


def _refused_lead(leads: list[Any], refused: tuple[str, ...]) -> int | None:
    # As bytes of the JSON: a text may name a field as well as a value.
    texts = [text.encode() for text in refused]
    for index, lead in enumerate(leads if texts else ()):
        content = orjson.dumps(lead)
        if any(text in content for text in texts):
            return index
    return None


def _is_good(lead: Any, refused: tuple[str, ...]) -> bool:
    """Return True if the lead, sent alone, would be created."""
    return check_leads([lead]).problem is None and _refused_lead([lead], refused) is None


def _count(body: bytes | None) -> int | None:
    try:
        leads = orjson.loads(body or b"")
    except orjson.JSONDecodeError:
        return None
    return len(leads) if isinstance(leads, list) else None


# ---- the rate limit of one key; times are microseconds on a monotonic clock


class Limiter(Protocol):
    """The limit of one key. Not thread-safe; `now` never decreases from call to call."""

    def room(self, now: int) -> bool:
        """Return True if a request that arrives now would be admitted; change nothing."""
        ...

    def take(self, now: int) -> bool:
        """Admit a request that arrives now (True), or refuse it (False); a refused one takes no room."""
        ...


class ExactLog:
    """The exact sliding window: at most `limit` admitted requests in any interval `(t - per, t]`."""

    def __init__(self, limit: int, per: int) -> None:
        self._limit = limit
        self._per = per
        self._admitted: deque[int] = deque()

    def room(self, now: int) -> bool:
        admitted = self._admitted
        # <=: the interval is open at its older end, so a slot is free again exactly `per` later.
        while admitted and admitted[0] <= now - self._per:
            admitted.popleft()
        return len(admitted) < self._limit

    def take(self, now: int) -> bool:
        # A refused request takes no place: otherwise a client that retries would never get in again.
        if not self.room(now):
            return False
        self._admitted.append(now)
        return True


class SegmentedWindow:
    """ASP.NET's SlidingWindowRateLimiter: permits taken in a segment return when that segment comes round again.

    Segments advance only at a heartbeat (at `epoch + n * heartbeat`), and only once `per / segments` has passed since
    the last advance. Each late advance delays all later ones, so the real window is up to `segments * heartbeat`
    longer than `per`.
    https://learn.microsoft.com/aspnet/core/performance/rate-limit#sliding-window-limiter
    """

    def __init__(self, limit: int, per: int, *, segments: int, heartbeat: int, created: int, epoch: int = 0) -> None:
        self._room = limit
        self._taken = [0] * segments
        self._part = 0
        self._turn_after = max(1, per // segments)
        self._heartbeat = heartbeat
        self._epoch = epoch
        self._turned = created

    def room(self, now: int) -> bool:
        while (tick := self._next_turn()) <= now:
            self._turned = tick
            self._part = (self._part + 1) % len(self._taken)
            self._room += self._taken[self._part]
            self._taken[self._part] = 0
        return self._room > 0

    def take(self, now: int) -> bool:
        if not self.room(now):
            return False
        self._taken[self._part] += 1
        self._room -= 1
        return True

    def _next_turn(self) -> int:
        # The first heartbeat at or after the time when it is due: rounded up, by floor division of the negative.
        due = self._turned + self._turn_after - self._epoch
        return self._epoch - (-due // self._heartbeat) * self._heartbeat


class LimitPerKey:
    """One limiter per key, made by `make(now)` at the key's first request."""

    def __init__(self, make: Callable[[int], Limiter]) -> None:
        self._make = make
        self._limiters: dict[str, Limiter] = {}

    def of(self, key: str, now: int) -> Limiter:
        """Return the limiter of a key, which starts to count at `now` if it is new."""
        limiter = self._limiters.get(key)
        if limiter is None:
            limiter = self._limiters[key] = self._make(now)
        return limiter
