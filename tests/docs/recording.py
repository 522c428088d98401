"""Writes docs/demo.svg, what `closingdealz-sync demo` says at a terminal: `python -m tests.docs.recording`."""

from __future__ import annotations

import html
import io
import os
import re
import subprocess
import sys

from rich.console import Console
from rich.text import Text

from tests.docs.pages import ROOT

RECORDING = ROOT / "docs" / "demo.svg"
WIDTH = 82
STEPS = 2
"""So many steps are shown; the rest is for those who run it."""


def record() -> str:
    """Return the recording of a demo that runs now."""
    wanted = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": "80", "TERM": "xterm-256color"}
    done = subprocess.run(
        [sys.executable, "-m", "sync", "demo", "--yes"],
        cwd=ROOT,
        env=wanted,
        capture_output=True,
        text=True,
        check=True,
    )
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    said = re.sub(r"(?<=127\.0\.0\.1:)\d+", "8765", re.sub(r"(?<=closingdealz-demo-)\w+", "scratch", done.stdout))
    for line in said.splitlines():
        text = Text.from_ansi(line)
        if text.plain.startswith(f"{STEPS + 1}  "):
            break
        console.print(text)
    svg = console.export_svg(title="closingdealz-sync demo", unique_id="demo")
    # without the fonts that a viewer would fetch from elsewhere
    svg = re.sub(r"@font-face \{.*?\}\s*|<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)


def lines_of(recording: str) -> list[str]:
    """Return the lines of text that a recording shows."""
    found: dict[float, list[tuple[float, str]]] = {}
    for x, y, text in re.findall(r'<text [^>]*?x="([\d.]+)" y="([\d.]+)"[^>]*>(.*?)</text>', recording):
        found.setdefault(float(y), []).append((float(x), html.unescape(text).replace("\xa0", " ")))
    rows = [" ".join(text.strip() for _, text in sorted(parts)) for _, parts in sorted(found.items())]
    return [row.strip() for row in rows if row.strip()]


def without_figures(line: str) -> str:
    """Return a line of the demo without what may differ each time: counts, times, places."""
    return " ".join(re.sub(r"\d[\d,.:]*|\S*closingdealz-demo-\w+", "#", line).split())


if __name__ == "__main__":
    RECORDING.write_text(record(), encoding="utf-8")
