"""Many records, then one bad one and an edited mapping: `python -m tests.long.large [--records 50000]`."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.proof.harness import Ended, World, sandbox_with

ONE_BAD_AMONG = 10_000


@contextmanager
def a_world(**faults: float) -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="large-") as folder, sandbox_with(faults=faults) as sandbox:
        yield World(Path(folder) / "world", sandbox)


def whole_round(world: World, code: int) -> Ended:
    began = time.monotonic()
    done = world.once()
    assert done.code == code, done.stderr[-2000:]
    print(f"  one round in {time.monotonic() - began:.1f} s, {world.requests():,} requests so far", flush=True)
    return done


def one_bad_lead() -> None:
    print(f"one bad lead among {ONE_BAD_AMONG:,}", flush=True)
    with a_world(**{"refuse:Company 4711.": 1.0}) as world:
        world.source.add(range(ONE_BAD_AMONG))
        world.source.execute("update companies set name = name || '.'")
        world.write(workspace="in_flight = 4", level="info")
        whole_round(world, code=65)
        assert world.states() == {"delivered": ONE_BAD_AMONG - 1, "quarantined": 1}
        assert list(world.reasons()) == ["4711"]
        assert world.source.names() - world.names() == {"Company 4711.": 1}
        assert max(world.names().values()) == 1
        more = world.requests() - ONE_BAD_AMONG // 100
        print(f"  {ONE_BAD_AMONG - 1:,} delivered, one in quarantine, {more} requests more")


def an_edited_mapping(records: int) -> None:
    print(f"{records:,} delivered records, and their mapping edited", flush=True)
    with a_world() as world:
        world.source.add(range(records))
        world.write(level="info", on_change="resend")
        whole_round(world, code=0)
        assert world.states() == {"delivered": records}
        before = world.requests()
        world.write(level="info", on_change="resend", lead="labels = [\"'edited'\"]\nindustry = \"'Iron'\"")
        whole_round(world, code=0)
        # and once every record is read again, touched but not changed
        world.source.execute("update companies set updated_at = datetime(updated_at, '+10 seconds')")
        done = whole_round(world, code=0)
        assert done.summary["read"] >= records
        assert world.requests() == before
        assert world.names() == world.source.names()
        print(f"  0 requests for the edited mapping, {done.summary['read']:,} records read again")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=50_000)
    chosen = parser.parse_args()
    one_bad_lead()
    an_edited_mapping(chosen.records)


if __name__ == "__main__":
    main()
