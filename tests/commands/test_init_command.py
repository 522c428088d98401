"""`init` writes a file that only its owner reads, whole, and never over another."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sync.cli import main
from sync.commands.init import starters, write_new


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.mark.parametrize("database", starters("sql"))
def test_it_writes_what_is_asked_for(tmp_path: Path, database: str) -> None:
    os.umask(0o022)
    result = run("init", "--connector", "sql", "--database", database)
    path = tmp_path / "config.toml"
    assert result.exit_code == 0
    assert path.read_text() == starters("sql")[database]
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["config.toml"]
    for step in ("check", "preview", "once "):
        assert f"  closingdealz-sync {step}" in result.stdout
    assert ("export DATABASE_URL" in result.stdout) == (database != "sqlite")


def test_it_writes_one_for_salesforce(tmp_path: Path) -> None:
    result = run("init", "--connector", "salesforce")
    assert result.exit_code == 0
    assert (tmp_path / "config.toml").read_text() == starters("salesforce")[""]
    for name in ("CLOSINGDEALZ_API_KEY", "SF_CLIENT_ID", "SF_CLIENT_SECRET"):
        assert f"export {name}=…" in result.stdout


def test_the_path_may_come_from_the_argument_or_the_option(tmp_path: Path) -> None:
    assert "closingdealz-sync -c 'a b.toml' check" in run("init", "a b.toml").stdout
    assert run("-c", "c.toml", "init").exit_code == 0
    assert run("init", "-c", "d.toml").exit_code == 0
    assert sorted(os.listdir(tmp_path)) == ["a b.toml", "c.toml", "d.toml"]


def test_it_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("mine")
    (tmp_path / "dangling.toml").symlink_to(tmp_path / "elsewhere")
    for name in ("config.toml", "dangling.toml"):
        result = run("init", name)
        assert result.exit_code == 64
        assert "exists already and was left as it is" in result.stderr
    assert (tmp_path / "config.toml").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["config.toml", "dangling.toml"]


def test_a_folder_that_is_not_there() -> None:
    result = run("init", "nowhere/config.toml")
    assert result.exit_code == 74
    assert "nowhere/config.toml" in result.stderr


def test_an_unknown_kind_is_a_usage_error() -> None:
    assert run("init", "--connector", "sapphire").exit_code == 64
    assert run("init", "--database", "oracle").exit_code == 64
    assert "'sqlite', 'postgresql', 'mysql'" in run("init", "--database", "oracle").stderr


def test_a_connector_without_kinds_of_database_takes_none() -> None:
    result = run("init", "--connector", "hubspot", "--database", "mysql")
    assert result.exit_code == 64
    assert "is not for --connector hubspot" in result.stderr


def test_help_loads_no_connector() -> None:
    code = "import sys; from sync.cli import main; main(['init', '--help'], standalone_mode=False); "
    code += "sys.exit(any(name in sys.modules for name in ('sqlalchemy', 'pydantic')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(kind in done.stdout for kind in starters("sql"))


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, target: str) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr("sync.commands.init.os.link", refuse)
    write_new(tmp_path / "a", b"x")
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "a", b"y")
    assert (tmp_path / "a").read_bytes() == b"x"
    assert os.listdir(tmp_path) == ["a"]
