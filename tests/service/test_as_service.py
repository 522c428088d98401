"""A command for the service runs in the sandbox of its unit: everything of it but how the daemon lives."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sync.installation import as_service
from sync.installation.as_service import UnusableUnit, fault_of, properties_of, resolve, settings_of
from sync.installation.layout import NAME
from sync.service.systemd import UNIT_FAULT

ROOT = Path(__file__).parents[2]
UNITS = {f"{NAME}.service": f"{NAME}.service", f"{NAME}@acme.service": f"{NAME}@.service"}
OF_THE_DAEMON = {
    *("Type", "NotifyAccess", "ExecStart", "ExecReload", "TimeoutStartSec", "TimeoutStopSec", "TimeoutAbortSec"),
    *("WatchdogSec", "Restart", "RestartSec", "RestartPreventExitStatus", "KillMode", "OOMPolicy"),
    *("StandardOutput", "StandardError", "SyslogIdentifier", "SyslogLevelPrefix"),
}


@pytest.fixture
def cat(tmp_path: Path) -> dict[str, str]:
    """What `systemctl cat` says of each unit, whose secrets lie elsewhere here."""
    (tmp_path / "acme/credentials").mkdir(parents=True)
    (tmp_path / "credentials").mkdir()
    texts = {unit: (ROOT / "systemd" / file).read_text() for unit, file in UNITS.items()}
    return {unit: text.replace("/etc/closingdealz-sync", str(tmp_path)) for unit, text in texts.items()}


@pytest.mark.parametrize("unit", UNITS)
def test_nothing_of_the_sandbox_is_left_out(cat: dict[str, str], unit: str) -> None:
    """A setting that the unit gets is in the sandbox of commands, unless it is named above."""
    found = properties_of(cat[unit], unit, ["check"])
    wanted = [f"{key}={value}" for key, value in settings_of(cat[unit]) if key not in OF_THE_DAEMON]
    assert found == [f"--property={each.replace('%i', 'acme')}" for each in wanted]
    assert {"ProtectSystem=strict", "ProtectHome=yes", "User=closingdealz-sync", "NoExecPaths=/"} <= set(wanted)
    assert {key for key, _ in settings_of(cat[unit])} >= OF_THE_DAEMON


def test_drop_ins_count(cat: dict[str, str], tmp_path: Path) -> None:
    unit = f"{NAME}@acme.service"
    drop_in = (
        f"# /etc/systemd/system/{unit}.d/paths.conf\n[Unit]\nRequiresMountsFor=/mnt/other\n\n[Service]\n"
        'ReadWritePaths="-/mnt/100%%/%i"\n; a remark\n'
        "Environment=HTTPS_PROXY=http://proxy.example.com:3128 \\\n  # within\n  NO_PROXY=localhost\n"
        "ExecStartPre=/bin/true\nLoadCredential=\nRuntimeDirectory=it\nExecPaths=/srv\nRestartSteps=8\n[Install]\nAlias=x\n"
    )
    shutil.rmtree(tmp_path / "acme/credentials")
    found = properties_of(f"{cat[unit]}\n{drop_in}", unit, ["check"])
    assert found[-4:] == [
        '--property=ReadWritePaths="-/mnt/100%/acme"',
        "--property=Environment=HTTPS_PROXY=http://proxy.example.com:3128  NO_PROXY=localhost",
        "--property=LoadCredential=",
        "--property=ExecPaths=/srv",
    ]


@pytest.mark.parametrize(
    ("words", "wide"),
    [
        (["ledger", "backup", "/tmp/copy.db"], True),
        (["ledger", "import", "--csv", "/root/leads.csv"], True),
        (["ledger", "verify"], False),
        (["check"], False),
    ],
)
def test_files_that_an_administrator_names_can_be_reached(cat: dict[str, str], words: list[str], wide: bool) -> None:
    unit = f"{NAME}.service"
    narrow = {"ProtectSystem", "ProtectHome", "PrivateTmp"}
    found = {each.split("=")[1] for each in properties_of(cat[unit], unit, words)}
    assert found.isdisjoint(narrow) if wide else narrow <= found
    assert {"User", "NoNewPrivileges", "PrivateDevices"} <= found


def test_what_cannot_be_followed_is_refused(cat: dict[str, str], tmp_path: Path) -> None:
    unit = f"{NAME}@acme.service"
    with pytest.raises(UnusableUnit, match=r"there is no unit .*@beta\.service, or it is masked"):
        properties_of("", f"{NAME}@beta.service", ["check"])
    shutil.rmtree(tmp_path / "acme/credentials")
    with pytest.raises(UnusableUnit, match=f"there is no {tmp_path}/acme/credentials, where the secrets of"):
        properties_of(cat[unit], unit, ["check"])
    with pytest.raises(UnusableUnit, match="uses %d"):
        resolve("%d/key", unit)


def test_specifiers() -> None:
    unit = f"{NAME}@north-a\\x2db.service"
    assert resolve("%n %N %p %i %I %%i %S %E", unit) == (
        f"{unit} {unit[:-8]} {NAME} north-a\\x2db north/a-b %i /var/lib /etc"
    )


@pytest.mark.parametrize(
    ("shown", "fault"),
    [
        ("ActiveState=failed\nSubState=failed\nExecMainStatus=217\n", "(217/USER: its user does not exist)"),
        ("ActiveState=activating\nSubState=auto-restart\nExecMainStatus=226\n", "(226/NAMESPACE: a folder that"),
        # the program itself said why
        ("ActiveState=failed\nSubState=failed\nExecMainStatus=78\n", ""),
        # an earlier start's
        ("ActiveState=active\nSubState=running\nExecMainStatus=226\n", ""),
        ("ActiveState=inactive\nSubState=dead\nExecMainStatus=0\n", ""),
        ("", ""),
    ],
)
def test_what_keeps_systemd_from_starting_the_program_is_named(shown: str, fault: str) -> None:
    found = fault_of(shown, f"{NAME}.service")
    assert found.startswith(f"systemd cannot start {NAME}.service {fault}") if fault else not found


def test_what_keeps_systemd_from_starting_the_program_is_handed_on(
    cat: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execvp", lambda _, words: became.append(words))
    said = {"cat": cat[f"{NAME}.service"], "show": "ActiveState=failed\nSubState=failed\nExecMainStatus=243\n"}
    monkeypatch.setattr(subprocess, "run", lambda words, **_: subprocess.CompletedProcess(words, 0, said[words[1]], ""))
    as_service.main(f"{NAME}.service", "/program", "status")
    fault = (
        f"systemd cannot start {NAME}.service (243/CREDENTIALS: a secret is missing or cannot be decrypted);"
        f" journalctl -n 20 -u {NAME}.service says more"
    )
    assert f"--setenv={UNIT_FAULT}={fault}" in became[0]
    assert fault in capsys.readouterr().err


def test_it_becomes_systemd_run(
    cat: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unit = f"{NAME}.service"
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execvp", lambda _, words: became.append(words))
    monkeypatch.setattr(
        subprocess, "run", lambda words, **_: subprocess.CompletedProcess(words, 0, cat.get(words[-1], ""), "")
    )
    monkeypatch.setenv("NO_COLOR", "1")
    with pytest.raises(SystemExit) as ended:
        as_service.main("none.service", "/program", "check")
    assert ended.value.code == 78
    assert "there is no unit none.service" in capsys.readouterr().err
    assert became == []
    as_service.main(unit, "/program", "status", "--json")
    assert became[0][:5] == ["systemd-run", "--quiet", "--collect", "--wait", "--pipe"]
    assert became[0][-4:] == ["--", "/program", "status", "--json"]
    assert "--setenv=NO_COLOR" in became[0]
    assert "--property=ProtectSystem=strict" in became[0]
