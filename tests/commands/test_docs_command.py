"""The documentation in the terminal: listed, printed, laid out, and found wherever the program was put."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from sync.cli import main
from sync.commands import shipped as place
from sync.commands.docs import WIDTH, laid_out, pages
from tests.docs.pages import PAGES, ROOT


def run(*words: str) -> tuple[int, str]:
    ended = CliRunner().invoke(main, ["docs", *words])
    return ended.exit_code, ended.output


def test_pages_are_listed_with_a_line_each() -> None:
    code, said = run()
    assert code == 0
    assert [line.split()[0] for line in said.splitlines()] == list(PAGES)
    assert all(len(line) <= 90 for line in said.splitlines())


def test_a_page_is_printed_as_it_is_where_nobody_looks() -> None:
    assert run("restore") == (0, PAGES["restore"])
    assert run("Restore.md") == (0, PAGES["restore"])


def test_a_page_that_there_is_not_names_the_nearest() -> None:
    code, said = run("mappnig")
    assert code == 64
    assert "Did you mean 'mapping'?" in said
    assert "lists the pages" in run("qwertz")[1]


@pytest.mark.parametrize("page", PAGES)
def test_on_a_terminal_it_is_laid_out(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    said = laid_out(PAGES[page])
    assert "\x1b[" in said
    assert "<!--" not in said
    assert "|---" not in said
    plain = [line for line in said.splitlines() if "\x1b" not in line]
    assert max(map(len, plain)) <= WIDTH


def test_the_pages_are_found_where_an_installer_puts_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although a folder `docs` of somebody else lies beside the packages."""
    packages, data = tmp_path / "lib/site-packages", tmp_path / "share/closingdealz-sync"
    (packages / "docs").mkdir(parents=True)
    (packages / "docs/stranger.md").touch()
    files = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["data-files"]
    for target, patterns in files.items():
        (tmp_path / target).mkdir(parents=True, exist_ok=True)
        for pattern in patterns:
            for file in ROOT.glob(pattern):
                shutil.copy(file, tmp_path / target)
    monkeypatch.setattr(place, "__file__", str(packages / "sync/commands/shipped.py"))
    monkeypatch.setattr(place.sysconfig, "get_path", lambda _: str(tmp_path))
    assert list(pages()) == list(PAGES)
    assert pages()["sql"] == data / "docs/sql.md"
