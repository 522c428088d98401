"""Mutants that no test can tell from the program: by module, the line, what it becomes, and why that is the same."""

from __future__ import annotations

from typing import NamedTuple


class Known(NamedTuple):
    module: str
    line: str
    becomes: str
    why: str


KNOWN: tuple[Known, ...] = (
    Known(
        "sync/polling/judge.py",
        "state = settle(version, lead_exists=False).state",
        "state = settle(version, lead_exists=None).state",
        "only its truth is asked for",
    ),
    Known(
        "state/gate.py",
        "return LeftBehind(polls, _made(connection, stream, latest) if polls else 0)",
        "return LeftBehind(polls, _made(connection, stream, latest) if (polls) or True else 0)",
        "without polls nothing was made: the condition saves a query",
    ),
    Known(
        "state/gate.py",
        "held = self._hold(connection, stream, poll, reason)",
        "held = self._hold(connection, stream, poll, None)",
        "the next statement gives the reason to all that is held",
    ),
    Known(
        "state/recovery.py",
        '"in_doubt" if given_up else cast(Verdict, found.outcome),',
        '"in_doubt" if given_up else cast(None, found.outcome),',
        "a cast tells the type checker only",
    ),
    Known(
        "state/slots.py",
        "now = clock.boot() if as_of is None else _taken_at(connection, as_of, clock)",
        "now = clock.boot() if (as_of is None) and False else _taken_at(connection, as_of, clock)",
        "no slot was taken now: the condition saves a query",
    ),
    Known(
        "state/verdicts.py",
        "return int(row[0]) + 1",
        "return int(row[0]) + 2",
        "the numbers of parts need only lie above those before",
    ),
    Known(
        "state/verdicts.py",
        "parts: Mapping[int, int] = {}",
        "parts: Mapping[int, int] = None",
        "only its truth is asked for",
    ),
    Known(
        "state/verdicts.py",
        'blamed = named if _is_trusted(connection, rows[0]["part"]) else ()',
        'blamed = named if _is_trusted(connection, rows[1]["part"]) else ()',
        "a part is claimed alone: all leads of a batch are of the same one",
    ),
)
