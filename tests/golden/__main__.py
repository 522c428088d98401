"""`python -m tests.golden` writes the golden files anew."""

from __future__ import annotations

from tests.golden.scenes import golden_files
from tests.golden.test_golden import FOLDER

if __name__ == "__main__":
    for name, text in golden_files().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        print(f"{name}: {len(text.splitlines()):,} lines")
