"""Tables for a terminal, from 80 columns on."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table


def table(*heads: str, leading: int = 1) -> Table:
    """Return an empty table with these columns; long texts are folded. `leading`: empty lines between rows."""
    made = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False, leading=leading)
    for head in heads:
        made.add_column(head, overflow="fold")
    return made
