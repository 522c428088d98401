"""The oracle of demo, selftest and proofs: compares the source with what the server received.

It reads by plain SQL and plain JSON and shares no code with what it judges, so that no fault can hide itself.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Differences(Generic[KeyT]):
    """Between source, server and ledger, by what identifies a record in all three.

    `lost` are missing on the server without a reason, `twice` are there too often, `unwanted` are in no source row.
    The ledger calls `claimed` delivered, but the server has no lead of them; the server has leads of `unrecorded`, but
    the ledger calls them neither delivered nor in doubt. `landed` are those of `in_doubt` that are on the server.
    Lists keep the order of the source.
    """

    lost: list[KeyT]
    twice: list[KeyT]
    unwanted: list[KeyT]
    claimed: list[KeyT]
    unrecorded: list[KeyT]
    in_doubt: list[KeyT]
    landed: list[KeyT]


def reconcile(
    wanted: Iterable[KeyT],
    created: Mapping[KeyT, int],
    states: Mapping[KeyT, str],
    excused: Collection[KeyT] = (),
) -> Differences[KeyT]:
    """Compare the keys that should be leads with those created and their states in the ledger.

    A key that several rows share is wanted that often. What is in doubt or `excused` is not lost.
    """
    counts = Counter(wanted)
    in_doubt = [key for key, state in states.items() if state == "in_doubt"]
    # What is in doubt may be there or not; either is within the promise.
    reasons = {*in_doubt, *excused}
    return Differences(
        lost=[key for key, n in counts.items() if created.get(key, 0) < n and key not in reasons],
        twice=[key for key, n in counts.items() if created.get(key, 0) > n],
        unwanted=[key for key in created if created[key] and key not in counts],
        claimed=[key for key, state in states.items() if state == "delivered" and not created.get(key)],
        unrecorded=[key for key in counts if created.get(key) and states.get(key) not in {"delivered", "in_doubt"}],
        in_doubt=in_doubt,
        landed=[key for key in in_doubt if created.get(key)],
    )


def query(path: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Return rows of a ledger or a sandbox's store; none while the file or its tables are not made yet.

    Read-only, so that the write-ahead log of a killed process stays for the next one. Raises sqlite3.Error.
    """
    if not path.exists():
        return []
    # The daemon may be writing: a reader waits for its turn instead of failing.
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as database:
        try:
            return database.execute(sql, values).fetchall()
        except sqlite3.OperationalError as error:
            if str(error).startswith("no such table"):  # a ledger is made table by table
                return []
            raise


def created_names(store: Path) -> Counter[str]:
    """Count how often each lead's name was created, by a sandbox's store."""
    return Counter(dict(query(store, "select json_extract(json, '$.name'), count(*) from leads group by 1")))


def state_counts(ledger: Path) -> dict[str, int]:
    """Count a ledger's records by state."""
    return dict(query(ledger, "select state, count(*) from records group by state"))
