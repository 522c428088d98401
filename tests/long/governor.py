"""The governor soak: 1,200 batches under latency, stalls, kills and a second sender; prints what was used.

python -m tests.long.governor                      100 requests in 6 s, an exact sliding window
python -m tests.long.governor --segments 6         ASP.NET's window of six segments
python -m tests.long.governor --window 60          the real limit: about 12 minutes; the mark is 98.5 %
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.proof.soak import Load, Result, soak


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--window", type=float, default=6.0, help="seconds")
    parser.add_argument("--segments", type=int, help="segments of the server's window; without it an exact log")
    parser.add_argument("--batches", type=int, default=1200)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--in-flight", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    load = Load(
        window=chosen.window,
        segments=chosen.segments,
        batches=chosen.batches,
        kills=chosen.kills,
        in_flight=chosen.in_flight,
        seed=chosen.seed,
    )
    with tempfile.TemporaryDirectory(prefix="governor-") as folder:
        result = soak(Path(folder), load)
    say(result)
    mark = 0.985 if load.window >= 60 else 0.94
    return 0 if result.too_many == 0 and result.utilisation >= mark and not result.twice and not result.missing else 1


def say(result: Result) -> None:
    load = result.load
    sent, seconds = len(result.arrivals), result.arrivals[-1]
    print(f"requests          {sent} in {seconds:.1f} s, {sum(result.beside.values())} of them by the second process")
    print(f"429               {result.too_many}")
    print(f"busiest window    {result.busiest} of {load.limit}")
    print(f"each window       {' '.join(map(str, result.windows))}")
    print(f"utilisation       {result.utilisation:.2%} = requests in whole windows / (windows x {load.limit})")
    print(f"without downtime  {result.utilisation_while_up:.2%}")
    print(f"ceiling           {load.ceiling:.2%} = W / (1.01 W + mean round trip)")
    print(f"downtime          {', '.join(f'{each:.2f} s' for each in result.down) or 'none'} (kill to `started`)")
    print(f"in doubt          {result.in_doubt} leads (on the wire when killed)")
    print(f"sent twice        {result.twice}")
    print(f"missing           {result.missing}")


if __name__ == "__main__":
    sys.exit(main())
