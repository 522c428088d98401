"""`python -m tests.long.systemd [--suite bookworm]`: installs the service in a box and holds it to its promises."""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
from pathlib import Path

from tests.long.systemd.box import Box, file_system
from tests.long.systemd.checks import Checks
from tests.long.systemd.proof import PARTS
from tests.long.systemd.scene import Scene
from tests.long.systemd.service import Service, add_dependencies, build_wheel
from tests.proof.harness import ROOT


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split(": ", 1)[1])
    parser.add_argument("--suite", default="bookworm", help="a Debian release, such as bookworm or trixie")
    parser.add_argument("--until", metavar="PART", help="stop after this part")
    chosen = parser.parse_args()
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="closingdealz-wheels-", dir="/var/tmp") as folder:
        python = (file_system(chosen.suite) / "usr/bin/python3").readlink().name.removeprefix("python")
        wheels, newer = (build_wheel(ROOT, Path(folder, "wheels"), version) for version in ("0.9.1", "0.9.2"))
        add_dependencies(wheels, python)
        with Box(chosen.suite, [wheels.folder, ROOT]) as box:
            checks.part(f"{box.out('systemctl', '--version').splitlines()[0]}, Python {python}")
            scene = Scene(box, wheels, newer, checks, Service(box))
            for part in PARTS:
                checks.part(part.__name__.replace("_", " "))
                try:
                    part(scene)
                except (OSError, RuntimeError, LookupError, ValueError, sqlite3.Error) as error:
                    checks.ok(False, f"the part {part.__name__!r} comes to its end", f"{type(error).__name__}: {error}")
                    print(box.run("journalctl", "--no-pager", "--lines=40", "--output=cat", check=False).stdout)
                    break
                if part.__name__ == chosen.until:
                    break
    return checks.end()


if __name__ == "__main__":
    sys.exit(main())
