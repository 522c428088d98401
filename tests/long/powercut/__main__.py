"""Power cuts at thousands of moments: nothing lost, nothing sent twice.

python -m tests.long.powercut                          1,200 states of all scenes, a few minutes
python -m tests.long.powercut --states 20000 --seed 7  more of others
python -m tests.long.powercut --ignore-syncs           a disk that lies: must find leads that were created twice
python -m tests.long.powercut --ignore-syncs receipts  the same of some files alone
python -m tests.long.powercut --synchronous NORMAL     a ledger that does not wait for the disk: must be found out
python -m tests.long.powercut --again FOLDER           a state that was kept because it failed, once more
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from tests.long.powercut.proof import FILE_SYSTEMS, Plan, again, run
from tests.long.powercut.scenes import SCENES
from tests.long.powercut.trace import STRACE


def main() -> int:
    """Return 0 where every state holds, 1 where one does not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--states", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scene", action="append", choices=[each.name for each in SCENES], help="only this one")
    parser.add_argument("--twice", type=int, default=4, help="scenes that begin where the power was cut before")
    parser.add_argument("--file-system", action="append", choices=FILE_SYSTEMS, help="only such a one")
    parser.add_argument("--workers", type=int, default=2)
    what = "a disk that lies: syncs of files with this in their paths, or of all, do nothing"
    parser.add_argument("--ignore-syncs", nargs="?", const="", metavar="PART", help=what)
    parser.add_argument("--synchronous", choices=("FULL", "NORMAL"), default="FULL")
    parser.add_argument("--keep", type=Path, default=Path("powercut-kept"), help="where states go that fail")
    parser.add_argument("--again", type=Path, metavar="FOLDER")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    if shutil.which(STRACE) is None and not chosen.again:
        parser.error("strace is not installed (on Debian: apt install strace)")
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="powercut-", dir=memory if memory.is_dir() else None) as folder:
        if chosen.again:
            found = again(chosen.again, Path(folder))
            print(json.dumps(asdict(found), indent=2))
            return 0 if found.holds else 1
        return _prove(chosen, Path(folder))


def _prove(chosen: argparse.Namespace, folder: Path) -> int:
    plan = Plan(
        scenes=[each for each in SCENES if not chosen.scene or each.name in chosen.scene],
        states=chosen.states,
        seed=chosen.seed,
        workers=chosen.workers,
        twice=chosen.twice,
        ignore_syncs=chosen.ignore_syncs,
        synchronous=chosen.synchronous,
        file_systems=chosen.file_system or FILE_SYSTEMS,
        kept=chosen.keep,
    )
    began = time.monotonic()
    report = run(plan, folder, lambda text: print(text, file=sys.stderr, flush=True))
    figures = {**report.as_json(), "seconds": round(time.monotonic() - began)}
    if chosen.json:
        print(json.dumps(figures, indent=2, ensure_ascii=False))
        return 0 if report.holds else 1
    for name, value in figures.items():
        if not isinstance(value, dict | list):
            print(f"{name:<20}{value:>10,}")
    for text, count in figures["why"].items():
        print(f"{count:>6} x {text}")
    for what in ("broken", "needless_in"):
        for name in figures[what][:20]:
            print(f"{what}: {name}, kept in {chosen.keep / name.replace(' ', '-')}")
    return 0 if report.holds else 1


if __name__ == "__main__":
    sys.exit(main())
