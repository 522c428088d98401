"""`python -m tests.measure [--json] [--list NAME] [--no-trips]`: the code in figures.

Prints, of the packages that are shipped: files and functions with their lengths, comments per 100 statements (of a
statement, docstrings do not count; what speaks to a linter is no comment), class names and module names that several
modules have, docstrings of public things that open with what, whether, how or where, those of functions that open
without a verb (by a list of verbs: approximate), modules that exactly one other imports, circles of imports (`late`:
with imports inside functions and for the type checker), imports of `sync` by what lies below it, lines by room, the
files that ARCHITECTURE.md gives to read for one poll and for one batch (of `sync/polling`, `sync/delivery` and `state`;
`tests/docs/test_accounts.py` holds that these decide), and all files that take part in them.

`--list NAME` shows what stands behind a figure: classes, modules, wh, verbless, single, upward, circles, circles-late,
poll or batch. Without a trip (`--no-trips`) nothing of the program is run.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.measure.accounts import account_of
from tests.measure.code import imports_of, modules_of
from tests.measure.figures import figures_of

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("connectors", "state", "sync")
TRIPS = ("poll", "batch")


def main(arguments: list[str]) -> int:
    """Print figures or a list; return 1 where imports go in a circle."""
    lists = ("classes", "modules", "wh", "verbless", "single", "upward", "circles", "circles-late", *TRIPS)
    parser = argparse.ArgumentParser(prog="python -m tests.measure", description="The code in figures.")
    parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")
    parser.add_argument("--list", choices=lists, metavar="NAME", help=f"one of {', '.join(lists)}")
    parser.add_argument("--no-trips", action="store_true", help="leave out what a poll and a batch touch")
    chosen = parser.parse_args(arguments)
    modules = modules_of(ROOT, PACKAGES)
    figures = figures_of(modules, imports_of(modules))
    wants_trips = chosen.list in TRIPS if chosen.list else not chosen.no_trips
    reads = {f"files_to_read_for_one_{name}": len(account_of(name).files) for name in TRIPS}
    document = {**figures.values, **reads, "rooms": dict(figures.rooms), **(_trips() if wants_trips else {})}
    if chosen.list:
        listed = document[chosen.list]["touched"] if chosen.list in TRIPS else figures.lists[chosen.list]
        print(json.dumps(listed, indent=2) if chosen.as_json else "\n".join(listed))
    elif chosen.as_json:
        print(json.dumps({**document, "lists": figures.lists}, indent=2))
    else:
        print("\n".join(_lines(document)))
    return 1 if figures.lists["circles"] else 0


def _trips() -> dict[str, Any]:
    from tests.measure.trips import trips

    return {
        name: {**trip.figures(), "rooms": trip.rooms, "touched": trip.files} for name, trip in trips(PACKAGES).items()
    }


def _lines(document: Mapping[str, Any]) -> list[str]:
    lines = [f"{name.replace('_', ' '):<38}{value:>10,}" for name, value in document.items() if _is_figure(value)]
    lines += ["", "lines by room", *_table(document["rooms"])]
    for name in TRIPS:
        if trip := document.get(name):
            said = f"{trip['calls']:,} calls of {trip['functions']:,} functions in {trip['files']:,} files"
            lines += ["", f"one {name}: {said}; files by room", *_table(trip["rooms"])]
    return lines


def _is_figure(value: object) -> bool:
    return isinstance(value, int | float)


def _table(rooms: Mapping[str, int]) -> list[str]:
    return [f"  {room:<36}{n:>10,}" for room, n in rooms.items()]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
