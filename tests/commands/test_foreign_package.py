"""Another distribution's package of the same name, over ours or before it, is named before anything of it runs."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sync import foreign_files as belongs

ROOT = Path(__file__).parents[2]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """An environment's folder with as much of the program as is needed to notice."""
    folder = tmp_path / "site-packages"
    for file in ("sync/__init__.py", "sync/__main__.py", "sync/entry.py", "sync/foreign_files.py"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, folder / file)
    for name in ("connectors", "state"):
        (folder / name).mkdir()
        shutil.copy(ROOT / name / "__init__.py", folder / name)
    (folder / "sync/cli.py").write_text("def main():\n    print('it runs')\n")
    record(folder, "closingdealz-sync", *(str(each.relative_to(folder)) for each in folder.rglob("*.py")))
    return folder


def record(folder: Path, name: str, *files: str) -> None:
    """As an installer writes it."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    digests = {each: hashlib.sha256((folder / each).read_bytes()).digest() for each in files}
    lines = [f"{each},sha256={base64.urlsafe_b64encode(d).rstrip(b'=').decode()},1" for each, d in digests.items()]
    (info / "RECORD").write_text("\n".join(lines) + "\n")


def run(*folders: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": ":".join(map(str, folders)), "PYTHONDONTWRITEBYTECODE": "1"}
    words = [sys.executable, "-S", "-P", "-m", "sync", "status"]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_its_own_packages_are_no_strangers(installed: Path) -> None:
    assert (run(installed).stdout, run(installed).returncode) == ("it runs\n", 0)


@pytest.mark.parametrize("name", belongs.PACKAGES)
def test_one_that_was_written_over_is_named_with_who_did_it(installed: Path, name: str) -> None:
    (installed / name / "__init__.py").write_text('"""Finite state machines."""\n')
    record(installed, "state-machines", f"{name}/__init__.py")
    ended = run(installed)
    assert ended.returncode == belongs.EXIT_INSTALLATION
    place = installed / name / "__init__.py"
    assert f"{place} does not belong to this program: state-machines installed it" in ended.stderr
    assert "pipx install '.[all]', or uv tool install '.[all]', in a clone" in ended.stderr


def test_so_is_one_that_comes_first(installed: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "state").mkdir(parents=True)
    (other / "state/__init__.py").write_text("raise SystemExit('it was imported')\n")
    ended = run(other, installed)
    assert ended.returncode == belongs.EXIT_INSTALLATION
    assert f"{other}/state/__init__.py does not belong" in ended.stderr
    assert "it was imported" not in ended.stderr


def test_any_other_file_is_named_where_something_goes_wrong(installed: Path) -> None:
    (installed / "sync/cli.py").write_text("import nothing_of_the_kind\n")
    ended = run(installed)
    assert ended.returncode == belongs.EXIT_INSTALLATION
    assert f"{installed}/sync/cli.py does not belong to this program\n" in ended.stderr
