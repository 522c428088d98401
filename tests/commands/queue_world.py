"""Records in each queue that a person settles, as the program brings them there."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence

from click.testing import Result

from tests.commands.command_world import World

GROUPS = ("quarantine", "held", "drift")
WORDS = {"quarantine": ("retry", "drop"), "held": ("approve", "discard"), "drift": ("ack", "resend")}
LATER, LAST = "2026-01-03 00:00:00", "2026-01-04 00:00:00"
STREAM = ("--stream", "erp.companies")
TRUNCATES = {'emails = "[email]"\nwhere': 'truncate = ["name"]\nemails = "[email]"\nwhere'}


def unfit(world: World, ids: Sequence[int]) -> None:
    """Make records that break a limit of the API."""
    world.companies(ids, name="x" * 300)
    world.run("once", "-q")


def rejected(world: World, ids: Sequence[int]) -> None:
    """Make records that the server refuses, one by one."""
    world.companies(ids, industry="refuse-me")
    world.sandbox.set_faults({"refuse:refuse-me": 1.0})
    world.run("once", "-q")
    world.sandbox.set_faults({})


def held(world: World, ids: Sequence[int], *, why: str = "6,200 new leads in one poll") -> None:
    """Make records that the guard held before they were sent."""
    world.companies(ids)
    world.run("once", "-q", key="no-such-key")
    reason = json.dumps([{"field": "", "rule": why, "hint": "look at them"}])
    write(world, "UPDATE records SET state = 'held', reason = ? WHERE state = 'pending'", reason)
    write(world, "DELETE FROM workspaces")  # it does not rest any more


def drifted(world: World, ids: Sequence[int]) -> None:
    """Make records that changed after their leads were created."""
    world.companies(ids)
    world.run("once", "-q")
    for n in ids:
        change(world, n, f"name = 'Other {n}', industry = NULL")
    world.run("once", "-q")


FILLED = {"quarantine": unfit, "held": held, "drift": drifted}


def change(world: World, number: int, what: str, when: str = LATER) -> None:
    world.sql(f"UPDATE companies SET {what}, updated_at = '{when}' WHERE id = {number}")


def write(world: World, sql: str, *values: object) -> None:
    with world.open(own=True) as ledger, ledger.file.write() as connection:
        connection.execute(sql, values)


def states(world: World) -> dict[str, int]:
    return {state: n for state, n in world.json("status")["states"].items() if n}


def ids(world: World, queue: str, *selectors: str) -> list[str]:
    return [each["id"] for each in world.json(queue, "list", *selectors)["listed"]]


def once(world: World) -> int:
    """Run one more round; return the number of leads sent."""
    return int(json.loads(world.run("once", "--json").stdout)["sent"])


def settle(world: World, *words: str) -> Result:
    return world.run(*words, "--yes")


def work_list(world: World, *words: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(world.run("drift", "list", "--csv", *words).stdout, newline="")))
