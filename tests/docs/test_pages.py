"""The README and the pages say what the code does: commands, events, states, functions, exit codes, imports."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from state.diagram import STATES
from state.incidents import IncidentKind
from sync.cli import COMMANDS
from sync.delivery.pace import RestCause
from sync.events import EVENTS
from sync.mapping.expressions import compile_expression
from sync.mapping.functions import FUNCTIONS
from sync.views.needs import NeedKind
from tests.docs.pages import EVERYTHING, PAGES, README, ROOT, blocks, cells, prose, table

HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def test_every_event_stands_there_with_its_level_and_fields() -> None:
    said = {row[0].strip("`"): tuple(row[1:]) for row in table("events", "event")}
    real = {
        name: (event.level, event.meaning, ", ".join(f"`{field}`" for field in event.fields))
        for name, event in EVENTS.items()
    }
    assert said == real


def test_every_command_stands_there() -> None:
    said = {row[0].strip("`"): row[1] for row in table("commands", "command")}
    assert said == {name: text for name, (_, text) in COMMANDS.items()}


def test_every_state_stands_there() -> None:
    assert [row[0].strip("`") for row in table("delivery", "state")] == list(STATES)


def test_every_mapping_function_stands_there() -> None:
    said = {row[0].strip("`"): (row[1], row[2]) for row in table("mapping", "function")}
    assert said == {
        function.signature: (
            function.summary,
            f"`{function.example[0]}` → `{json.dumps(function.example[1], ensure_ascii=False)}`",
        )
        for function in FUNCTIONS.values()
    }


@pytest.mark.parametrize("row", table("mapping", "for"), ids=lambda row: row[0])
def test_every_idiom_gives_what_it_promises(row: list[str]) -> None:
    written = row[1].strip("`")
    expression = next(iter(tomllib.loads(written).values())) if re.match(r"\w+ = ", written) else written
    record, result = (json.loads(part.strip("`")) for part in row[2].split(" → "))
    assert compile_expression(expression, {"segments": {"A": "key account"}}).read(record, record) == result


def test_every_exit_code_stands_there() -> None:
    codes = {int(row[0]) for row in table("commands", "exit code")}
    in_errors = {int(code) for code in re.findall(r"exit_code = (\d+)", (ROOT / "sync/shared/errors.py").read_text())}
    assert codes >= in_errors
    assert codes >= {64, 65}


# -- troubleshooting, by the words of `status` and the log


TROUBLE = dict(re.findall(r"^## (\w+): (.+)$", PAGES["troubleshooting"], re.MULTILINE))
"""Of each kind of need, the words in its heading."""


def test_every_kind_of_need_has_its_heading() -> None:
    assert list(TROUBLE) == list(get_args(NeedKind))
    assert set(get_args(IncidentKind)) <= TROUBLE.keys()


def test_the_headings_have_the_words_of_status() -> None:
    said = "".join(
        path.read_text(encoding="utf-8")
        for path in [*(ROOT / "sync/views").glob("*.py"), ROOT / "sync/service/notices.py"]
    )
    words = [
        part.strip()
        for text in TROUBLE.values()
        for quoted in re.findall('"(.+?)"', text)
        for part in quoted.split("…")
    ]
    assert [each for each in words if each not in said] == []


def test_every_reason_to_rest_is_explained() -> None:
    assert {row[0].strip("`") for row in table("troubleshooting", "rests")} == set(get_args(RestCause)) - {""}


def test_the_log_is_explained_by_its_own_events() -> None:
    rows = [row[0].strip("`") for row in table("troubleshooting", "event")]
    explained = set(rows)
    assert len(rows) == len(explained)
    assert explained <= EVENTS.keys()
    # what needs nobody, and what `status` names by itself
    silent = {"query_edited", "config_warning", "config_refused", "source_api_ends", "held", "workspace_rests"}
    silent |= {"backup_failed", "ledger_failed", "stalled", "left_on_the_wire"}
    assert {name for name, event in EVENTS.items() if event.level in ("warning", "error")} <= explained | silent


# -- the pages as a whole


def test_each_page_has_a_title_and_a_summary_that_fits_on_a_line() -> None:
    for name, text in PAGES.items():
        title, blank, summary, *_ = text.split("\n")
        assert title.startswith("# "), name
        assert blank == "", name
        assert re.fullmatch(r"[^`\[]{20,70}\.", summary), f"{name}: {summary}"


def test_the_readme_lists_every_page() -> None:
    assert {row[0] for row in table("README", "page")} == {f"[{name}](docs/{name}.md)" for name in PAGES}
    assert len(README.splitlines()) <= 200


@pytest.mark.parametrize("page", EVERYTHING)
def test_links_lead_somewhere(page: str) -> None:
    folder = ROOT if page == "README" else ROOT / "docs"
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", prose(page)):
        name, _, anchor = target.partition("#")
        path = folder / name if name else folder / f"{page}.md"
        assert path.is_file(), target
        assert not anchor or anchor in anchors(path.read_text(encoding="utf-8")), target


def anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(text)}


@pytest.mark.parametrize("page", EVERYTHING)
def test_tables_have_as_many_cells_as_their_heads(page: str) -> None:
    size = 0
    for line in prose(page).splitlines():
        size = 0 if not line.startswith("|") else size or len(cells(line))
        assert not size or len(cells(line)) == size, line


def test_blocks_of_toml_are_toml() -> None:
    for block in blocks("toml"):
        tomllib.loads(block.text)


def test_events_are_emitted_and_only_known_ones() -> None:
    emitted = set()
    for path in (ROOT / "sync").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Name(id="emit") | ast.Attribute(attr="emit"), args=[ast.Constant(value=name), *_]
                ):
                    emitted.add(name)
    assert emitted == set(EVENTS)


LEAVES = {"sync", *(f"sync.shared.{path.stem}" for path in (ROOT / "sync/shared").glob("[!_]*.py"))}
"""What connectors and state may import of the engine: errors, words and the like; `sync` itself for the version."""


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
