"""Installing, again, upgrading and removing, on an image: what is written, what is left alone, what is refused.

A real machine with systemd, pip and all is what `python -m tests.long.systemd` is for; here a small program stands for
what pip would install.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import pytest

from sync.config.load import load_config, warnings_of
from sync.installation import releases
from sync.installation.__main__ import _allow_paths, main
from sync.installation.layout import NAME, InstallLayout
from sync.installation.machine import Failed, Machine
from sync.installation.releases import NAME_IN_WHEEL, is_complete, wheel_of

ROOT = Path(__file__).parents[2]
METADATA = """Metadata-Version: 2.4
Name: closingdealz-sync
Provides-Extra: postgresql
Provides-Extra: test
Provides-Extra: mysql
Provides-Extra: all
Provides-Extra: mutants

Provides-Extra: so says the text
"""
PROGRAM = """#!/bin/sh
shift 3  # -I -m sync
[ "$1" = check ] && grep -q mistake "$4" && { echo "error mistake: unknown key"; exit 78; }
echo "$@"
"""


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InstallLayout:
    """Without pip: `make` puts the program's files where its wheel would."""

    def make(release: releases.Release, _wheel: Path, extras: list[str], *_: object) -> None:
        (release.path / "lib").mkdir(parents=True)
        (release.path / "lib/extras").write_text(",".join(extras))
        (release.path / "bin").mkdir(parents=True)
        python = release.path / "bin/python"
        python.write_text(PROGRAM)
        python.chmod(0o755)
        (release.path / "bin" / NAME).touch()
        shutil.copytree(ROOT / "systemd", release.share / "systemd")
        for example in ("", "connectors/hubspot/", "connectors/salesforce/"):
            (release.share / example).mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / example / "config.example.toml", release.share / example)
        (release.path / ".complete").touch()

    monkeypatch.setattr("sync.installation.__main__.make", make)
    return InstallLayout(tmp_path / "image")


def wheel(folder: Path, version: str, record: str = "sync/cli.py,sha256=a,1\n") -> Path:
    path = folder / f"closingdealz_sync-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"closingdealz_sync-{version}.dist-info/RECORD", record)
        archive.writestr(f"closingdealz_sync-{version}.dist-info/METADATA", METADATA)
    return path


def run(image: InstallLayout, *words: object) -> int:
    return main([*map(str, words), "--root", str(image.root)])


def everything(image: InstallLayout) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(image.root)): (path.read_bytes(), path.stat().st_mode)
        for path in image.root.rglob("*")
        if path.is_file()
    }


def test_all_is_put_in_place(image: InstallLayout, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(image, "install", wheel(tmp_path, "1.0")) == 0
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last.startswith("Done. Next: put the secrets into ")
    assert f"{NAME} check && {NAME} preview && systemctl enable --now {NAME}" in last
    assert (image.units / f"{NAME}.service").read_bytes() == (ROOT / "systemd" / f"{NAME}.service").read_bytes()
    assert image.command.stat().st_mode & 0o777 == 0o755
    assert (image.root / f"usr/local/share/man/man8/{NAME}.8").read_text() == "manual\n"
    assert (image.root / f"usr/local/share/bash-completion/completions/{NAME}").read_text() == "completion bash\n"
    assert (image.config / "credentials").stat().st_mode & 0o777 == 0o700
    assert (image.config / "config.toml").stat().st_mode & 0o777 == 0o640
    assert (image.current / "bin" / NAME).exists()


def test_once_more_changes_nothing(image: InstallLayout, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = wheel(tmp_path, "1.0")
    run(image, "install", one)
    before = everything(image)
    capsys.readouterr()
    assert run(image, "install", one) == 0
    assert capsys.readouterr().out == "Nothing had to be changed.\n"
    assert everything(image) == before


def test_a_dry_run_says_and_does_nothing(
    image: InstallLayout, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(image, "install", wheel(tmp_path, "1.0"), "--dry-run") == 0
    said = capsys.readouterr().out
    assert f"would write {image.units}/{NAME}.service" in said
    assert f"would write {image.config}/config.toml" in said
    assert not image.root.exists()
    run(image, "install", wheel(tmp_path, "1.0"))
    before = everything(image)
    capsys.readouterr()
    (image.units / f"{NAME}.service").write_text("edited")
    assert run(image, "install", wheel(tmp_path, "1.0"), "--dry-run") == 0
    assert f"would write {image.units}/{NAME}.service\n" in capsys.readouterr().out
    assert run(image, "uninstall", "--purge", "--dry-run") == 0
    assert everything(image).keys() == before.keys()


def test_an_upgrade_keeps_what_is_the_operators(image: InstallLayout, tmp_path: Path) -> None:
    run(image, "install", wheel(tmp_path, "1.0"), "--extras", "mysql")
    config, ledger = image.config / "config.toml", image.state / "ledger.db"
    config.write_text("# mine\n")
    ledger.parent.mkdir(parents=True)
    ledger.write_text("the ledger")
    (image.config / "credentials/key").write_text("secret")
    old = image.current.resolve()
    for version in ("1.1", "1.2"):
        assert run(image, "install", wheel(tmp_path, version)) == 0
    assert (config.read_text(), ledger.read_text()) == ("# mine\n", "the ledger")
    assert (image.config / "credentials/key").read_text() == "secret"
    assert image.current.resolve().name.startswith("1.2-")
    assert sorted(path.name[:3] for path in image.releases.iterdir()) == ["1.1", "1.2"]
    assert not old.exists()
    assert '"mysql"' in image.settings.read_text()


def test_all_drivers_come_along_unless_some_are_chosen(image: InstallLayout, tmp_path: Path) -> None:
    def extras() -> str:
        return (image.current / "lib/extras").read_text()

    run(image, "install", wheel(tmp_path, "1.0"))
    assert extras() == "postgresql,mysql"
    run(image, "install", wheel(tmp_path, "1.0"), "--extras", "mysql")
    assert extras() == "mysql"
    run(image, "install", wheel(tmp_path, "1.1"))
    assert extras() == "mysql"
    run(image, "install", wheel(tmp_path, "1.1"), "--extras", "")
    assert extras() == ""
    run(image, "install", wheel(tmp_path, "1.1"), "--extras", "all")
    assert extras() == "postgresql,mysql"


def test_a_release_goes_by_its_contents(tmp_path: Path) -> None:
    """A wheel that is built again from the same files is the same release; other files, extras or Python are not."""
    image = InstallLayout(tmp_path)

    def name(record: str, extras: tuple[str, ...] = ("mysql",), python: str = "3.11.2") -> str:
        return releases.release_of(wheel(tmp_path, "1.0", record), extras, python, image).name

    assert name("a,1,1") == name("a,1,1")
    assert len({name("a,1,1"), name("a,2,1"), name("a,1,1", ()), name("a,1,1", python="3.12.1")}) == 4


@pytest.mark.parametrize("place", ["config.toml", "acme/config.toml"])
def test_a_version_that_cannot_use_a_configuration_does_not_take_over(
    image: InstallLayout, tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    run(image, "install", wheel(tmp_path, "1.0"))
    (image.config / place).parent.mkdir(exist_ok=True)
    (image.config / place).write_text("mistake = 1\n")
    before = image.current.resolve()
    assert run(image, "install", wheel(tmp_path, "1.1")) == 1
    assert image.current.resolve() == before
    said = capsys.readouterr().err
    assert f"cannot use {image.config / place}" in said
    assert "mistake: unknown key" in said


def test_removing_leaves_what_is_the_operators_unless_asked(image: InstallLayout, tmp_path: Path) -> None:
    run(image, "install", wheel(tmp_path, "1.0"))
    image.state.mkdir(parents=True)
    (image.state / "ledger.db").touch()
    assert run(image, "uninstall") == 0
    assert set(everything(image)) == {f"etc/{NAME}/config.toml", f"var/lib/{NAME}/ledger.db"}
    assert run(image, "uninstall", "--purge", "--yes") == 0
    assert everything(image) == {}
    assert run(image, "uninstall") == 0  # there is nothing left to do


def test_purge_wants_to_be_sure(
    image: InstallLayout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(image, "install", wheel(tmp_path, "1.0"))
    monkeypatch.setattr("builtins.input", lambda _: "yes")
    assert run(image, "uninstall", "--purge") == 0
    assert image.config.exists()
    monkeypatch.setattr("builtins.input", lambda _: NAME)
    run(image, "uninstall", "--purge")
    assert not image.config.exists()


def test_what_is_neither_wheel_nor_checkout_is_refused(
    image: InstallLayout, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(image, "install", tmp_path) == 1
    assert "neither a wheel nor a checkout" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        run(image, "instal")
    assert ended.value.code == 64


@pytest.mark.parametrize("words", [(), ("--dry-run",)])
def test_a_misspelt_driver_or_folder_is_refused(
    words: tuple[str, ...], image: InstallLayout, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(image, "install", wheel(tmp_path, "1.0"), "--extras", "postgres, mysql", *words) == 1
    assert "there is no postgres; this version has mysql, postgresql" in capsys.readouterr().err
    assert run(image, "install", wheel(tmp_path, "1.0"), "--wheels", tmp_path / "nowhere", *words) == 1
    assert "there is no folder" in capsys.readouterr().err
    assert not image.home.exists()


def test_what_a_killed_installation_was_building_goes(image: InstallLayout, tmp_path: Path) -> None:
    (image.building / "environment").mkdir(parents=True)
    (image.building / "environment/half").touch()
    run(image, "install", wheel(tmp_path, "1.0"), "--dry-run")
    assert image.building.exists()
    assert run(image, "install", wheel(tmp_path, "1.0")) == 0
    assert not image.building.exists()


class Recorded(Machine):
    """What would be run."""

    def __init__(self) -> None:
        super().__init__(systemd=False)
        self.commands: list[str] = []

    def run(self, what: str, *command: str | Path, env: Mapping[str, str] | None = None) -> None:
        if "venv" in command:
            (Path(command[-1]) / "bin").mkdir(parents=True)
        self.commands.append(" ".join(map(str, command)))

    def ask(self, *command: str | Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 0, "h11==0.16.0\n", "")


def test_what_was_tested_is_installed_by_its_hashes(tmp_path: Path) -> None:
    path, layout, machine = wheel(tmp_path, "1.0"), InstallLayout(tmp_path / "image"), Recorded()
    with pytest.raises(Failed, match="add --refresh"):
        releases.make(releases.release_of(path, [], "3.11", layout), path, [], machine, None)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(NAME_IN_WHEEL, "a==1 \\\n    --hash=sha256:aa\n# for mysql\nb==2 \\\n    --hash=sha256:bb\n")
    release = releases.release_of(path, [], "3.11", layout)
    releases.make(release, path, [], machine, None)
    assert (release.path / "requirements.txt").read_text() == "a==1 \\\n    --hash=sha256:aa\n"
    assert (release.path / "packages.txt").read_text() == "h11==0.16.0\n"
    installs = [each for each in machine.commands if "pip install" in each]
    assert "--require-hashes --no-deps --requirement" in installs[-2]
    assert all("--only-binary :all:" in each for each in installs)
    assert installs[-1].endswith(f"--no-deps {path}")
    assert is_complete(release)


def test_after_an_advisory_the_newest_are_another_release(tmp_path: Path) -> None:
    path, layout, machine = wheel(tmp_path, "1.0"), InstallLayout(tmp_path / "image"), Recorded()
    names = {releases.release_of(path, ["mysql"], "3.11", layout, when).name for when in ("", "20261130", "20261201")}
    assert len(names) == 3
    releases.make(releases.release_of(path, ["mysql"], "3.11", layout, "20261130"), path, ["mysql"], machine, None)
    (install,) = (each for each in machine.commands if "pip install" in each)
    assert install.endswith(f"{path}[mysql]")
    assert "--require-hashes" not in install


def test_an_upgrade_allows_what_the_configuration_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Else a service whose copies go elsewhere would not be ready any more."""
    layout = InstallLayout(tmp_path)
    for place in ("", "acme", "bad"):
        (layout.config / place).mkdir(parents=True, exist_ok=True)
        (layout.config / place / "config.toml").touch()
    release = releases.Release("1.0", tmp_path / "release", tmp_path / "release")
    asked: list[tuple[str, dict[str, str]]] = []

    class Answering(Machine):
        def ask(self, *command: str | Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
            config = str(command[-1])
            asked.append((config, dict(env or {})))
            texts = {"acme": "write /x/paths.conf\n", "bad": ""}
            name = Path(config).parent.name
            return subprocess.CompletedProcess(command, name == "bad", texts.get(name, "may write\n"), "not mounted\n")

    machine = Answering()
    _allow_paths(release, layout, machine)
    assert asked == []  # nothing was changed: nothing is
    machine.changes = 1
    _allow_paths(release, layout, machine)
    assert (str(layout.config / "acme/config.toml"), {"STATE_DIRECTORY": str(layout.state / "acme")}) in asked
    said = capsys.readouterr()
    assert said.out == "write /x/paths.conf\n"
    assert said.err == f"{layout.config}/bad/config.toml: not mounted\n"


def test_two_at_once_are_refused(image: InstallLayout, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(image, "install", wheel(tmp_path, "1.0"))
    before = everything(image)
    with Machine(systemd=False).alone(image.home.parent):
        assert run(image, "install", wheel(tmp_path, "1.1")) == 1
        assert run(image, "uninstall") == 1
        assert run(image, "install", wheel(tmp_path, "1.1"), "--dry-run") == 0
    assert "another installation or removal is under way" in capsys.readouterr().err
    assert everything(image) == before
    assert run(image, "uninstall") == 0


def test_scripts_of_an_image_name_the_interpreter_where_it_will_be(tmp_path: Path) -> None:
    layout = InstallLayout(tmp_path / "image")
    release = releases.Release("1.0-abc", layout.releases / "1.0-abc", InstallLayout().releases / "1.0-abc")
    (release.path / "bin").mkdir(parents=True)
    script, link, binary = (release.path / "bin" / name for name in (NAME, "python", "tool"))
    script.write_text(f"#!{release.path}/bin/python3\nimport sys\n")
    link.symlink_to("/usr/bin/python3")
    binary.write_bytes(b"\x7fELF" + bytes(release.path))
    releases.relocate(release)
    assert script.read_text() == f"#!/opt/{NAME}/releases/1.0-abc/bin/python3\nimport sys\n"
    assert link.readlink() == Path("/usr/bin/python3")
    assert binary.read_bytes() == b"\x7fELF" + bytes(release.path)


def test_an_image_of_another_python_is_refused(tmp_path: Path) -> None:
    layout = InstallLayout(tmp_path / "image")
    releases.refuse_other_python(layout)  # nothing there to tell
    link = layout.root / "usr/bin/python3"
    link.parent.mkdir(parents=True)
    link.symlink_to(f"python3.{sys.version_info[1]}")
    releases.refuse_other_python(layout)
    link.unlink()
    link.symlink_to("python3.99")
    with pytest.raises(Failed, match=r"is python3\.99, this machine's is python3"):
        releases.refuse_other_python(layout)


def test_nothing_that_is_run_finds_the_installer_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip would take a checkout on PYTHONPATH for installed, and install nothing."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    said = Machine(systemd=False).ask(sys.executable, "-c", "import sys; print(sys.path)", env={"MORE": "1"})
    assert str(tmp_path) not in said.stdout


def test_what_only_prepares_is_no_change() -> None:
    """A checkout's wheel is built each time: that restarts nothing."""
    machine = Machine(systemd=False)
    machine.prepare("look", sys.executable, "-c", "")
    assert machine.changes == 0
    machine.run("do", sys.executable, "-c", "")
    assert machine.changes == 1
    with pytest.raises(Failed, match="no such luck"):
        machine.run("fail", sys.executable, "-c", "import sys; sys.exit('no such luck')")


def test_it_needs_nothing_but_the_standard_library(tmp_path: Path) -> None:
    """It runs before anything is installed, from within a wheel."""
    path = tmp_path / "any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(ROOT / "sync/__init__.py", "sync/__init__.py")
        for module in (ROOT / "sync/installation").glob("*.py"):
            archive.write(module, f"sync/installation/{module.name}")
    words = [sys.executable, "-I", "-S", "-c"]
    code = f"import sys; sys.path.insert(0, {str(path)!r}); import runpy; sys.argv = ['x', '--help']; "
    said = subprocess.run(
        [*words, code + "runpy.run_module('sync.installation', run_name='__main__')"], capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr
    assert "uninstall" in said.stdout
    code = f"import sys; sys.path.insert(0, {str(path)!r}); from sync.installation.releases import own_source; "
    said = subprocess.run([*words, code + "print(own_source())"], capture_output=True, text=True)
    assert said.stdout.strip() == str(path)


def test_the_first_configuration_is_careful() -> None:
    config = load_config(ROOT / "systemd/config.toml")
    assert not [warning for warning in warnings_of(config) if "plain" in warning.what]
    for source in config.sources.values():
        for stream in source.streams.values():
            assert (stream.start, stream.on_change) == ("now", "hold")
    for workspace in config.workspaces.values():
        assert (workspace.on_unknown, workspace.api_key.credential) == ("hold", "closingdealz-api-key")
    assert config.guard.max_new <= 500


def test_a_checkout_with_a_link_to_nowhere_can_be_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As tests that failed may leave one behind."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / "pyproject.toml").touch()
    (checkout / "kept.db").symlink_to(tmp_path / "gone")
    machine = Machine()

    def build(_: str, *command: str | Path) -> None:
        if "wheel" in command:
            (layout.building / "made.whl").touch()

    layout = InstallLayout(tmp_path / "root")
    monkeypatch.setattr(machine, "prepare", build)
    with wheel_of(checkout, machine, None, layout) as wheel:
        assert wheel.name == "made.whl"


def test_an_error_without_a_file_says_what_happened(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise shutil.Error([("from", "to", "the disk is full")])

    monkeypatch.setattr("sync.installation.__main__._do", fail)
    monkeypatch.setattr("sync.installation.__main__.must_be_root", lambda: None)
    monkeypatch.setattr(Machine, "alone", lambda *_: nullcontext())
    assert main(["install"]) == 1
    assert "the disk is full" in capsys.readouterr().err
