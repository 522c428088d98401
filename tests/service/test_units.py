"""The units: clean, as closed as they can be, alike, and at one with the program and its documents."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sync.installation.layout import NAME, InstallLayout

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "systemd"
UNITS = (f"{NAME}.service", f"{NAME}@.service")
HIDING = ("TemporaryFileSystem=/var/lib/closingdealz-sync:ro", "BindPaths=/var/lib/closingdealz-sync/%i")
"""All instances have one user: each sees the folder of its own ledger alone."""
EXPOSURE = 11
"""Ten times what `systemd-analyze security` may find: what is left is the network itself."""

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *map(str, words)], capture_output=True, text=True)


def settings(unit: str) -> list[str]:
    return [line for line in (FOLDER / unit).read_text().splitlines() if line and not line.startswith("#")]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as they lie on a machine that has the program: here `true` stands for it."""
    for unit in UNITS:
        text = (FOLDER / unit).read_text()
        (tmp_path / unit).write_text(text.replace(f"/opt/{NAME}/current/bin/{NAME}", shutil.which("true") or ""))
    return tmp_path


@needs_systemd
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_no_fault(installed: Path, unit: str) -> None:
    found = analyze("verify", "--man=no", installed / unit)
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


@needs_systemd
def test_systemd_would_find_one(installed: Path) -> None:
    unit = installed / UNITS[0]
    unit.write_text(unit.read_text().replace("ProtectSystem=strict", "ProtectSystem=strictly"))
    assert "strictly" in analyze("verify", "--man=no", unit).stderr


@needs_systemd
@pytest.mark.parametrize("unit", UNITS)
def test_its_exposure_is_small(unit: str) -> None:
    found = analyze("security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", FOLDER / unit)
    assert found.returncode == 0, found.stdout.splitlines()[-1]


@needs_systemd
def test_its_exposure_would_be_found_too_great(tmp_path: Path) -> None:
    weaker = tmp_path / UNITS[0]
    weaker.write_text((FOLDER / UNITS[0]).read_text().replace("NoNewPrivileges=yes\n", "").replace("UMask=0077\n", ""))
    assert analyze("security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", weaker).returncode == 1


def test_an_instance_differs_by_its_name_alone() -> None:
    one, many = (settings(unit) for unit in UNITS)
    for hides_the_others in HIDING:
        many.remove(hides_the_others)
    different = [(a, b) for a, b in zip(one, many, strict=True) if a != b]
    assert [b for _, b in different] == [
        "Description=ClosingDealz sync: companies and contacts from databases and CRMs to ClosingDealz (%i)",
        "StateDirectory=closingdealz-sync/%i",
        "ConfigurationDirectory=closingdealz-sync/%i",
        "WorkingDirectory=/var/lib/closingdealz-sync/%i",
        "LoadCredential=closingdealz-sync:/etc/closingdealz-sync/%i/credentials",
        "SyslogIdentifier=closingdealz-sync@%i",
    ]
    assert all(re.sub("[/@]%i| \\(%i\\)", "", b) == a for a, b in different)


def test_the_unit_stops_later_than_the_daemon_waits() -> None:
    """The default timeout of a request and the margin fit in; longer ones are asked for while it stops."""
    from sync.config.schema import Workspace
    from sync.delivery.worker import DRAIN_MARGIN

    limit = next(int(line.split("=")[1]) for line in settings(UNITS[0]) if line.startswith("TimeoutStopSec="))
    timeout = Workspace.model_validate({"api_key": "k"}).timeout.total_seconds()
    assert limit > timeout + DRAIN_MARGIN


def test_what_only_a_person_can_mend_is_not_restarted() -> None:
    from sync.cli import EXIT_USAGE
    from sync.shared.errors import ConfigError, LedgerUntrusted

    (line,) = (line for line in settings(UNITS[0]) if line.startswith("RestartPreventExitStatus="))
    prevented = {int(code) for code in line.split("=")[1].split()}
    assert {EXIT_USAGE, ConfigError.exit_code, LedgerUntrusted.exit_code} <= prevented
    assert not {70, 74, 75} & prevented


def test_everything_in_the_folder_is_put_somewhere() -> None:
    """And nothing is put somewhere that is not in the folder."""
    share = {path: path for path in FOLDER.rglob("*") if path.is_file()}
    placed = {source for source, _ in InstallLayout().files(ROOT).values()}
    starter = FOLDER / "config.toml"
    options = {ROOT / "config.example.toml", *ROOT.glob("connectors/*/config.example.toml")}
    assert placed | {starter} == {*share, *options}


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="there is no shellcheck here")
def test_the_command_for_administrators_is_sound() -> None:
    found = subprocess.run(["shellcheck", FOLDER / NAME], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout
