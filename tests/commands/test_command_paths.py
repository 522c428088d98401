"""`paths`: folders outside the service's own are made and named in a drop-in of its unit."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from click.testing import CliRunner

from sync.cli import main
from sync.commands.paths import allow
from sync.config.schema import Config
from sync.installation.layout import NAME, InstallLayout
from sync.installation.machine import Failed, Machine


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Where another disk is mounted."""
    folder = tmp_path / "other 100%"
    folder.mkdir()
    return folder


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InstallLayout:
    """With users of nobody."""
    monkeypatch.setattr("sync.commands.paths.shutil.chown", lambda *_: None)
    monkeypatch.setattr(Machine, "ask", lambda *_, **__: SimpleNamespace(stdout="closingdealz-sync\n", returncode=0))
    layout = InstallLayout(tmp_path / "root")
    (layout.state / "acme").mkdir(parents=True)
    return layout


def config(layout: InstallLayout, instance: str = "", **places: Any) -> Config:
    state = layout.state / instance
    given = {"receipts_copy_path": None, "backups_path": state / "backups", "ledger": SimpleNamespace(backups=3)}
    path = layout.config / instance / "config.toml"
    return cast(Config, SimpleNamespace(**{"path": path, "ledger_path": state / "ledger.db", **given, **places}))


def drop_in(layout: InstallLayout, unit: str) -> Path:
    return layout.root / "etc/systemd/system" / f"{unit}.d/paths.conf"


def test_a_dry_run_outside_etc_shows_what_would_be_done(
    layout: InstallLayout, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine"
    places: dict[str, Any] = {
        "path": mine / "config.toml",
        "ledger_path": mine / "ledger.db",
        "backups_path": mine / "backups",
    }
    there = config(layout, receipts_copy_path=other / "receipts", **places)
    allow(there, layout, Machine(dry_run=True))
    said = capsys.readouterr().out
    assert "is not the configuration of a service" in said
    assert f"would make {other}/receipts" in said
    assert f"would write {drop_in(layout, f'{NAME}.service')}" in said
    assert "mine/" not in said.partition("\n")[2]
    with pytest.raises(Failed, match="is not the configuration of a service"):
        allow(there, layout, Machine())


@pytest.mark.parametrize(("instance", "unit"), [("", f"{NAME}.service"), ("acme", f"{NAME}@acme.service")])
def test_what_lies_outside_is_made_and_allowed(
    layout: InstallLayout, other: Path, capsys: pytest.CaptureFixture[str], instance: str, unit: str
) -> None:
    machine = Machine(systemd=False)
    there = config(layout, instance, receipts_copy_path=other / "receipts", backups_path=other / "copies")
    allow(there, layout, Machine(systemd=False, dry_run=True))
    assert list(other.iterdir()) == []
    allow(there, layout, machine)
    named = str(other).replace("%", "%%")
    assert drop_in(layout, unit).read_text().splitlines()[1:] == [
        "[Unit]",
        f'RequiresMountsFor="{named}/receipts"',
        f'RequiresMountsFor="{named}/copies"',
        "",
        "[Service]",
        f'ReadWritePaths="-{named}/receipts"',
        f'ReadWritePaths="-{named}/copies"',
    ]
    assert (other / "receipts").stat().st_mode & 0o777 == 0o700
    assert "is on the ledger's disk" in capsys.readouterr().out
    before = machine.changes
    allow(there, layout, machine)
    assert machine.changes == before
    allow(config(layout, instance), layout, machine)
    assert not drop_in(layout, unit).exists()


def test_a_drop_in_of_somebody_else_stays(layout: InstallLayout) -> None:
    path = drop_in(layout, f"{NAME}.service")
    path.parent.mkdir(parents=True)
    path.write_text("[Service]\nReadWritePaths=/srv\n")
    allow(config(layout), layout, Machine(systemd=False))
    assert path.read_text() == "[Service]\nReadWritePaths=/srv\n"


def test_what_is_not_mounted_is_not_made(layout: InstallLayout, other: Path) -> None:
    with pytest.raises(Failed, match="/away does not exist: mount the disk that belongs there"):
        allow(config(layout, backups_path=other / "away/copies"), layout, Machine(systemd=False))
    assert list(other.iterdir()) == []
    with pytest.raises(Failed, match="not the configuration of a service"):
        allow(config(InstallLayout(other)), layout, Machine(systemd=False))
    with pytest.raises(Failed, match="a quote"):
        allow(config(layout, backups_path=other / 'co"pies'), layout, Machine(systemd=False))


def test_it_is_for_root_on_a_machine_with_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.commands.paths.os.geteuid", lambda: 1000)
    said = CliRunner().invoke(main, ["paths"])
    assert said.exit_code == 64
    assert "run it as root" in said.stderr
