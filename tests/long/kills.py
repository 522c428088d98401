"""kill -9 at two hundred random moments, then the truth: `python -m tests.long.kills [--kills 200] [--seed N]`."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from tests.proof.harness import World, sandbox_with
from tests.proof.kills import Plan, assert_truth, kill_again_and_again

STUMBLES = "ok*15,timeout-after,ok*20,429*2,ok*20,reset-after,ok*20,500-after,ok*20,half,ok*20,reset-before,ok*20,503"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--longest", type=float, default=1.0, help="seconds between a start and its kill, at the most")
    chosen = parser.parse_args()
    script = ",".join([STUMBLES] * (chosen.kills // 4 + 1)) + ",ok*"
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="kills-") as folder,
        sandbox_with(latency=(0.001, 0.03), hang=2.0, script=script, seed=chosen.seed) as sandbox,
    ):
        world = World(Path(folder), sandbox)
        told = kill_again_and_again(world, Plan(chosen.kills, chosen.seed, chosen.longest))
        assert_truth(world)
        print(f"kills             {chosen.kills} in {time.monotonic() - began:.0f} s")
        print(f"source records    {sum(world.source.names().values())}")
        print(f"created           {world.created()}, none twice")
        print(f"in doubt          {len(world.doubtful())} records")
        print(f"                  {told.cut_off} batches cut off by a kill, {told.unknown} unclear answers")


if __name__ == "__main__":
    main()
