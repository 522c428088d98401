"""`python -m tests.long.mutants [MODULE ...]`: change what decides in small ways, and list what no test notices.

Needs mutmut (`pip install -e '.[mutants]'`), and some minutes a module. It works in a copy of the tree. The exit code
is 1 where a mutant survived that is not explained in known.py.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.long.mutants.known import KNOWN
from tests.long.mutants.modules import MODULES

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = """
[tool.mutmut]
source_paths = ["sync", "connectors", "state"]
only_mutate = ["{module}"]
also_copy = ["tests", "docs", "systemd", "README.md", "pyproject.toml", "config.example.toml"]
pytest_add_cli_args_test_selection = {tests}
do_not_mutate_patterns = {texts}
"""
TEXTS = [r"hint=", r"raise \w+\(", r"emit\("]
"""Lines of which only words for people could change."""

LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True, slots=True)
class Survivor:
    """A mutant that no test noticed. `state` as mutmut has it: survived, no tests, timeout ..."""

    state: str
    place: str
    line: str
    becomes: str

    def is_known(self, module: str) -> bool:
        return any((each.module, each.line, each.becomes) == (module, self.line, self.becomes) for each in KNOWN)

    @property
    def is_of_words(self) -> bool:
        """Whether nothing but a text for people changed: one of three words or more."""
        line, becomes = (LITERAL.sub(_without_words, text) for text in (self.line, self.becomes))
        return line == becomes


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.long.mutants", description=__doc__)
    parser.add_argument("module", nargs="*", help=f"all by default: {', '.join(MODULES)}")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(arguments)
    if unknown := set(options.module) - MODULES.keys():
        parser.error(f"not in modules.py: {', '.join(sorted(unknown))}")
    left = 0
    for module in options.module or MODULES:
        tried, all_ = survivors(module, options.workers)
        found = [each for each in all_ if not each.is_known(module)]
        left += len(found)
        print(f"{module}: {tried} mutants, {len(found)} survived, {len(all_) - len(found)} more are explained")
        for each in found:
            print(f"  {each.place}  {each.state}\n    - {each.line}\n    + {each.becomes}", flush=True)
    return 1 if left else 0


def survivors(module: str, workers: int) -> tuple[int, list[Survivor]]:
    """Run the module's tests on each of its mutants, in a copy of the tree; return also how many those were."""
    with tempfile.TemporaryDirectory(prefix="closingdealz-mutants-") as scratch:
        folder = Path(scratch)
        _copy_tree(folder)
        settings = SETTINGS.format(module=module, tests=json.dumps(MODULES[module]), texts=json.dumps(TEXTS))
        with (folder / "pyproject.toml").open("a", encoding="utf-8") as file:
            file.write(settings)
        ran = subprocess.run(_mutmut("run", "--max-children", str(workers)), cwd=folder, capture_output=True, text=True)
        states = _states(folder)
        if ran.returncode or not states or "not checked" in states.values():
            raise SystemExit(f"mutmut failed:\n{ran.stdout[-2000:]}\n{ran.stderr[-2000:]}")
        found = [_shown(folder, module, name, state) for name, state in states.items() if state != "killed"]
        return len(states), [each for each in found if not each.is_of_words]


def _without_words(literal: re.Match[str]) -> str:
    return '""' if literal[0].count(" ") > 1 else literal[0]


def _copy_tree(folder: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in listed.stdout.decode().splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)


def _mutmut(*words: str) -> list[str]:
    return [sys.executable, "-m", "mutmut", *words]


def _states(folder: Path) -> dict[str, str]:
    """What became of each mutant, by its name."""
    words = _mutmut("results", "--all", "true")
    said = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True).stdout
    lines = (line.strip().rpartition(": ") for line in said.splitlines())
    return {name: state for name, _, state in lines if "__mutmut_" in name}


def _shown(folder: Path, module: str, name: str, state: str) -> Survivor:
    diff = subprocess.run(_mutmut("show", name), cwd=folder, capture_output=True, text=True, check=True).stdout
    lines = diff.splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("@@"))
    hunk = lines[at + 1 :]
    removed = next(n for n, line in enumerate(hunk) if line.startswith("-"))
    start = int(re.findall(r"-(\d+)", lines[at])[0])
    line = _first_line(folder / module, name) + start + removed - 1
    added = " ".join(each[1:].strip() for each in hunk if each.startswith("+"))
    return Survivor(state, f"{module}:{line}", hunk[removed][1:].strip(), added)


def _first_line(path: Path, name: str) -> int:
    """Of the function that a mutant is of: `package.module.x_function__mutmut_3`, or `xǁClassǁmethod__mutmut_3`."""
    words = name.rpartition(".")[2].removeprefix("x").rpartition("__mutmut_")[0]
    parts = words.strip("ǁ").split("ǁ") if "ǁ" in words else [words.removeprefix("_")]
    tree: ast.AST = ast.parse(path.read_text(encoding="utf-8"))
    for part in parts:
        tree = next(node for node in ast.walk(tree) if getattr(node, "name", None) == part)
    assert isinstance(tree, ast.FunctionDef)
    return min([tree.lineno, *(decorator.lineno for decorator in tree.decorator_list)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
