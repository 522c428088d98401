"""`python -m tests.long.mutants [MODULE ...]`: change what decides in small ways, and list what no test notices.

Needs mutmut (`pip install -e '.[mutants]'`), and some minutes a module. It works in a copy of the tree. The exit code
is 1 where a mutant survived that known.py does not explain, or where it explains one that did not. Properties, what
stands outside of functions, and what SQL means are left as they are: that nothing survived proves nothing of these.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.long.mutants.known import KNOWN
from tests.long.mutants.modules import FAULTS, MODULES, PlantedFault

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = """
[tool.mutmut]
source_paths = ["sync", "connectors", "state"]
only_mutate = ["{module}"]
also_copy = ["tests", "docs", "systemd", "README.md", "pyproject.toml", "config.example.toml"]
pytest_add_cli_args_test_selection = {tests}
do_not_mutate_patterns = {texts}
timeout_constant = 5.0
"""
"""The time-out is by the wall clock, 15 times so many seconds and those of the tests: a busy machine is no survivor."""

TEXTS = [r"hint=", r"raise \w+\(", r"emit\("]
"""Lines of which only words for people could change."""
SQL = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|FROM|WHERE|VALUES|CASE|AND)\b|\brow(s\[0\])?\[")

LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True, slots=True)
class Survivor:
    """A mutant that no test noticed. `state` as mutmut has it: survived, no tests, timeout, not checked ..."""

    state: str
    place: str
    line: str
    becomes: str

    def is_known(self, module: str) -> bool:
        explained = any((each.module, each.line, each.becomes) == (module, self.line, self.becomes) for each in KNOWN)
        return explained or self._says_the_same_sql

    @property
    def _says_the_same_sql(self) -> bool:
        """Return True if only the case of SQL's words and names differs, which means nothing outside of quotes."""
        line, becomes = (re.sub(r"'[^']*'|[^']+", _folded, text) for text in (self.line, self.becomes))
        return bool(SQL.search(self.line)) and line == becomes

    @property
    def is_of_words(self) -> bool:
        """Return True if only a text for people changed: one of three words or more."""
        line, becomes = (LITERAL.sub(_without_words, text) for text in (self.line, self.becomes))
        return line == becomes


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.long.mutants", description=__doc__)
    parser.add_argument("module", nargs="*", help=f"all by default: {', '.join(MODULES)}")
    parser.add_argument("--only", action="append", default=[], metavar="FUNCTION", help="of its functions only these")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--faults", action="store_true", help="only the faults of modules.py, in half a minute")
    options = parser.parse_args(arguments)
    if unknown := set(options.module) - MODULES.keys():
        parser.error(f"not in modules.py: {', '.join(sorted(unknown))}")
    left = missed() if options.faults or not options.module else 0
    for module in () if options.faults else options.module or MODULES:
        tried, all_ = survivors(module, options.workers, options.only)
        found = [each for each in all_ if not each.is_known(module)]
        left += len(found)
        print(f"{module}: {tried} mutants, {len(found)} survived, {len(all_) - len(found)} more are explained")
        explained = {(each.line, each.becomes) for each in KNOWN if each.module == module and not options.only}
        for line, becomes in sorted(explained - {(each.line, each.becomes) for each in all_}):
            left += 1
            print(f"  known.py explains what did not survive\n    - {line}\n    + {becomes}")
        for each in found:
            print(f"  {each.place}  {each.state}\n    - {each.line}\n    + {each.becomes}", flush=True)
    return 1 if left else 0


def survivors(module: str, workers: int, only: Sequence[str] = ()) -> tuple[int, list[Survivor]]:
    """Run the module's tests on each of its mutants, or of `only` these functions, in a copy of the tree; return also
    how many those were."""
    with tempfile.TemporaryDirectory(prefix="closingdealz-mutants-") as scratch:
        folder = Path(scratch)
        _copy_tree(folder)
        settings = SETTINGS.format(module=module, tests=json.dumps(MODULES[module]), texts=json.dumps(TEXTS))
        with (folder / "pyproject.toml").open("a", encoding="utf-8") as file:
            file.write(settings)
        mutants = [f"*{separator}{function}__mutmut_*" for function in only for separator in ("x_", "ǁ")]
        run = _mutmut("run", "--max-children", str(workers), *mutants)
        ran = subprocess.run(run, cwd=folder, capture_output=True, text=True)
        # where all are to be checked, one that was not is a finding
        states = {name: state for name, state in _states(folder).items() if state != "not checked" or not only}
        if not states or (ran.returncode and not only and set(states.values()) == {"killed"}):
            raise SystemExit(f"mutmut failed:\n{ran.stdout[-2000:]}\n{ran.stderr[-2000:]}")
        functions = _functions(folder / "mutants" / module)
        alive = ((name, state) for name, state in states.items() if state != "killed")
        found = [_shown(functions, folder, module, name, state) for name, state in alive]
        return len(states), [each for each in found if not each.is_of_words]


def missed() -> int:
    """Plant each of the faults in a copy of the tree, one at a time; return how many their tests do not notice."""
    with tempfile.TemporaryDirectory(prefix="closingdealz-mutants-") as scratch:
        folder = Path(scratch)
        _copy_tree(folder)
        return sum(_is_missed(folder, fault) for fault in FAULTS)


def _is_missed(folder: Path, fault: PlantedFault) -> bool:
    path = folder / fault.module
    text = path.read_text(encoding="utf-8")
    assert text.count(fault.text) == 1, f"{fault.module} has not once: {fault.text}"
    run = [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", fault.test]
    ended = []
    for each in (text.replace(fault.text, fault.becomes), text):
        path.write_text(each, encoding="utf-8")
        ended.append(subprocess.run(run, cwd=folder, capture_output=True).returncode)
    # the test must pass without the fault, else it says nothing
    is_noticed = ended == [pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.OK]
    said = "noticed" if is_noticed else "NOT NOTICED"
    print(f"{fault.module}: {fault.becomes}: {said}\n  by {fault.test}", flush=True)
    return not is_noticed


def _without_words(literal: re.Match[str]) -> str:
    return '""' if literal[0].count(" ") > 1 else literal[0]


def _folded(found: re.Match[str]) -> str:
    text = found[0]
    return text if text.startswith("'") else text.casefold()


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
    """Return the fate of each mutant, by name."""
    words = _mutmut("results", "--all", "true")
    said = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True).stdout
    lines = (line.strip().rpartition(": ") for line in said.splitlines())
    return {name: state for name, _, state in lines if "__mutmut_" in name}


def _functions(path: Path) -> dict[str, list[str]]:
    """Return the lines of each function of a file, whose names mutmut made differ, as if they were called alike."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    return {
        node.name: [line.replace(node.name, "") for line in lines[node.lineno - 1 : node.end_lineno]]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
    }


def _shown(functions: dict[str, list[str]], folder: Path, module: str, name: str, state: str) -> Survivor:
    """Compare the mutant with its function: `mutmut show` takes seconds for each."""
    mutant = name.rpartition(".")[2]
    original = functions[mutant.rpartition("__mutmut_")[0] + "__mutmut_orig"]
    diff = list(difflib.unified_diff(original, functions[mutant], n=0, lineterm=""))[2:]
    at, removed = int(re.findall(r"-(\d+)", diff[0])[0]), next(line for line in diff if line.startswith("-"))
    added = " ".join(each[1:].strip() for each in diff if each.startswith("+"))
    return Survivor(state, f"{module}:{_first_line(folder / module, name) + at - 1}", removed[1:].strip(), added)


def _first_line(path: Path, name: str) -> int:
    """Return the line of a function by its mutant: `module.x_function__mutmut_3` or `xǁClassǁmethod__mutmut_3`."""
    words = name.rpartition(".")[2].removeprefix("x").rpartition("__mutmut_")[0]
    parts = words.strip("ǁ").split("ǁ") if "ǁ" in words else [words.removeprefix("_")]
    tree: ast.AST = ast.parse(path.read_text(encoding="utf-8"))
    for part in parts:
        tree = next(node for node in ast.walk(tree) if getattr(node, "name", None) == part)
    assert isinstance(tree, ast.FunctionDef)
    return tree.lineno


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
