"""The documentation in the terminal: listed, printed, laid out, and found wherever the program was put."""

from __future__ import annotations

import re
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


@pytest.mark.parametrize(("columns", "width"), [("80", 80), ("200", WIDTH)])
def test_on_a_terminal_it_is_laid_out(columns: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    said = laid_out(PAGES["configuration"])
    assert "\x1b[" in said
    plain = re.sub(r"\x1b\[[\d;]*m", "", said)
    assert max(map(len, plain.splitlines())) <= width
    assert "|---" not in plain
    cut_off = plain.count("…") - PAGES["configuration"].count("…")
    assert cut_off <= 0
    assert "<!--" not in laid_out(PAGES["operations"])


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
    monkeypatch.setattr("sync.commands.shipped.sysconfig.get_path", lambda _: str(tmp_path))
    assert list(pages()) == list(PAGES)
    assert pages()["sql"] == data / "docs/sql.md"
