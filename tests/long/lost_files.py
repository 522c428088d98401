"""Every combination of lost, damaged and older files of a ledger, and where the hints lead from there:
`python -m tests.long.lost_files`."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.state.lost_files import cases, every


def main() -> None:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lost-files-") as folder:
        found = Counter(end for _, end in every(Path(folder), cases()))
    print(f"combinations      {found.total()} in {time.monotonic() - began:.0f} s")
    print(f"run again         {found['runs']}, after what their hints name")
    print(f"ask a person      {found['asks']}")
    print("sent twice        none of which any file still told")


if __name__ == "__main__":
    main()
