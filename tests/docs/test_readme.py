"""The README says what the code does: commands, events, states, functions, exit codes, imports."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import get_args

import pytest

from state.diagram import STATES
from sync.cli import COMMANDS
from sync.events import EVENTS
from sync.mapping.functions import FUNCTIONS
from sync.reports.needs import NeedKind

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def table(first_heading: str) -> list[list[str]]:
    """The rows of the table whose first column bears this heading."""
    lines = iter(README.splitlines())
    for line in lines:
        if re.match(rf"\| {re.escape(first_heading)} \|", line):
            next(lines)
            break
    else:
        pytest.fail(f"the README has no table {first_heading!r}")
    rows = []
    for line in lines:
        if not line.startswith("|"):
            return rows
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows


def test_every_event_stands_there_with_its_level_and_fields() -> None:
    said = {row[0].strip("` "): (row[1].strip(), row[2].strip(), row[3].strip()) for row in table("event")}
    real = {
        name: (event.level, event.says, ", ".join(f"`{field}`" for field in event.fields))
        for name, event in EVENTS.items()
    }
    assert said == real


def test_every_command_stands_there() -> None:
    said = {row[0].strip("` "): row[1].strip() for row in table("command")}
    assert said == {name: text for name, (_, text) in COMMANDS.items()}


def test_every_kind_of_need_stands_there() -> None:
    assert [row[0].strip("` ") for row in table("kind")] == list(get_args(NeedKind))


def test_every_state_stands_there() -> None:
    assert [row[0].strip("` ") for row in table("state")] == list(STATES)


def test_every_mapping_function_stands_there() -> None:
    said = {row[0].strip("` "): row[1].strip() for row in table("function")}
    assert said == {function.signature: function.summary for function in FUNCTIONS.values()}
    examples = {row[0].strip("` "): row[2].strip() for row in table("function")}
    assert examples == {
        function.signature: f"`{function.example[0]}` → `{json.dumps(function.example[1], ensure_ascii=False)}`"
        for function in FUNCTIONS.values()
    }


def test_every_exit_code_stands_there() -> None:
    codes = {int(row[0]) for row in table("exit code")}
    in_errors = {int(code) for code in re.findall(r"exit_code = (\d+)", (ROOT / "sync/errors.py").read_text())}
    assert codes >= in_errors
    assert codes >= {64, 65}


def test_events_are_emitted_and_only_known_ones() -> None:
    emitted = set()
    for path in (ROOT / "sync").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_emit = isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "emit"
            if is_emit and node.args and isinstance(node.args[0], ast.Constant):  # type: ignore[attr-defined]
                emitted.add(node.args[0].value)  # type: ignore[attr-defined]
    assert emitted == set(EVENTS)


LEAVES = {
    "sync.errors",
    "sync.words",
    "sync.secrets",
    "sync.durations",
    "sync.times",
    "sync.clock",
    "sync.opaque",
    "sync",
}


@pytest.mark.parametrize("package", ["connectors", "state"])
def test_connectors_and_state_know_nothing_of_the_engine_or_each_other(package: str) -> None:
    strangers = {"connectors", "state"} - {package}
    for path in (ROOT / package).rglob("*.py"):
        for name in imports(path):
            assert name.split(".")[0] not in strangers, f"{path}: {name}"
            assert not name.startswith("sync") or name in LEAVES, f"{path}: {name}"


def test_leaves_import_only_leaves() -> None:
    for leaf in LEAVES - {"sync"}:
        for name in imports(ROOT / (leaf.replace(".", "/") + ".py")):
            assert name.split(".")[0] not in {"connectors", "state"}
            assert not name.startswith("sync") or name in LEAVES, f"{leaf}: {name}"


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found
