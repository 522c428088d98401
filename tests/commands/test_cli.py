"""The command line: what is imported when, which exit code says what, and what is shown of an error."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from sync import __version__
from sync.cli import COMMANDS, main
from sync.commands.click_options import config_option
from sync.shared.errors import ConfigError, LedgerError, Problem, SourceRefused, Stopped
from tests.patience import PATIENCE

HEAVY = ("sqlalchemy", "pydantic", "httpx", "rich", "apscheduler", "starlette", "jmespath", "phonenumbers")
PLAIN = {key: value for key, value in os.environ.items() if not key.startswith("CLOSINGDEALZ")}

Probe = Callable[[Callable[..., object]], None]


def program(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sync", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=PLAIN, timeout=PATIENCE, **options)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Probe:
    """Makes `closingdealz-sync probe` run a function."""

    def add(function: Callable[..., object]) -> None:
        module = ModuleType("probe_command")
        vars(module)["probe"] = click.command("probe")(function)
        monkeypatch.setitem(sys.modules, "probe_command", module)
        monkeypatch.setitem(COMMANDS, "probe", ("probe_command:probe", "For this test."))

    return add


def run(*arguments: str, **options: Any) -> Result:
    return CliRunner().invoke(main, list(arguments), **options)


def raising(error: BaseException) -> Callable[[], None]:
    def function() -> None:
        raise error

    return function


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["init", "--help"], ["check", "--help"], ["chekc"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom sync.cli import main\ntry:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_lists_every_command() -> None:
    text = run("--help").stdout
    for name, (_, line) in COMMANDS.items():
        assert f"  {name} " in text
        assert line.split()[0] in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_where_the_list_says(name: str) -> None:
    module = COMMANDS[name][0].partition(":")[0]
    try:
        there = find_spec(module) is not None
    except ModuleNotFoundError:
        there = False
    if not there:
        pytest.skip(f"{module} is not part of this version yet")
    result = run(name, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: closingdealz-sync {name} ")


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            ([], "Usage: closingdealz-sync"),
            (["chek"], "No such command 'chek'. Did you mean 'check'?"),
            (["zzz"], "No such command 'zzz'."),
            (["--wrong"], "No such option"),
            (["check", "--wrong"], "No such option"),
            (["check", "too", "many"], "Got unexpected extra argument"),
            (["completion"], "Missing argument"),
            (["completion", "tcsh"], "is not one of"),
            (["-c"], "requires an argument"),
        ],
    )
    def test_exits_64(self, arguments: list[str], says: str) -> None:
        result = run(*arguments)
        assert result.exit_code == 64
        assert says in result.stderr
        assert result.stdout == ""

    def test_as_a_process(self) -> None:
        assert program("nothing-like-it").returncode == 64
        assert program("check", "-c", "/nowhere/config.toml").returncode == 78
        version = program("--version")
        assert (version.returncode, version.stdout) == (0, f"closingdealz-sync, version {__version__}\n")


class TestErrors:
    @pytest.mark.parametrize(
        ("error", "exit_code"),
        [
            (ConfigError([Problem("a.b", "is wrong", "mend it")], file="f"), 78),
            (SourceRefused("may not", hint="grant it", source="erp", stream="s"), 77),
            (LedgerError("the disk is full"), 74),
            (Stopped("stopped"), 0),
            (click.UsageError("not like that"), 64),
            (click.FileError("f", "no space"), 74),
            (click.Abort(), 130),
            (KeyboardInterrupt(), 130),
            (ZeroDivisionError("HUNTER2"), 70),
        ],
    )
    def test_exit_codes(self, command: Probe, error: BaseException, exit_code: int) -> None:
        command(raising(error))
        result = run("probe")
        assert result.exit_code == exit_code
        assert "HUNTER2" not in result.output
        assert "Traceback" not in result.output

    def test_what_is_said(self, command: Probe) -> None:
        command(raising(SourceRefused("may not", hint="grant it", source="erp", stream="s")))
        assert run("probe").stderr == "error: erp.s: may not\n  hint: grant it\n"
        command(raising(ZeroDivisionError("HUNTER2")))
        assert run("probe").stderr.startswith("error: this is a defect of the program (builtins.ZeroDivisionError)\n")

    @pytest.mark.parametrize("error", [ZeroDivisionError("why"), LedgerError("why")])
    @pytest.mark.parametrize(
        ("arguments", "env"), [(["--debug", "probe"], {}), (["probe"], {"CLOSINGDEALZ_SYNC_DEBUG": "1"})]
    )
    def test_debug_shows_where(
        self, command: Probe, error: BaseException, arguments: list[str], env: dict[str, str]
    ) -> None:
        command(raising(error))
        result = run(*arguments, env=env)
        assert result.exit_code in (70, 74)
        assert "Traceback" in result.stderr
        assert "why" in result.stderr

    @pytest.mark.parametrize(("returned", "exit_code"), [(None, 0), (0, 0), (65, 65), ("text", 0)])
    def test_a_command_may_return_its_exit_code(self, command: Probe, returned: object, exit_code: int) -> None:
        command(lambda: returned)
        assert run("probe").exit_code == exit_code

    def test_interrupted(self) -> None:
        code = (
            "import click, signal, sys, types\nfrom sync import cli\n"
            # in the background a shell has it ignored
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "@click.command()\ndef probe():\n    print('ready', flush=True)\n    sys.stdin.read()\n"
            "module = types.ModuleType('probe_command')\nmodule.probe = probe\n"
            "sys.modules['probe_command'] = module\ncli.COMMANDS['probe'] = ('probe_command:probe', '')\n"
            "cli.main(['probe'])"
        )
        pipe = subprocess.PIPE
        with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe, text=True) as child:
            assert child.stdout is not None
            assert child.stderr is not None
            assert child.stdout.readline() == "ready\n"
            child.send_signal(signal.SIGINT)
            assert child.wait(PATIENCE) == 130
            assert child.stderr.read().strip() == ""

    def test_a_reader_that_left_is_no_error(self) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [sys.executable, "-m", "sync", "--help"], stdout=writer, stderr=subprocess.PIPE, check=False
        )
        os.close(writer)
        assert (done.returncode, done.stderr) == (1, b"")

    def test_output_that_nobody_can_keep_is_no_defect_of_ours(self) -> None:
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [sys.executable, "-m", "sync", "--version"], stdout=full, stderr=subprocess.PIPE, check=False
            )
        said = "error: cannot be written: No space left on device (the output, the log, or a file)"
        assert (done.returncode, done.stderr.decode().splitlines()) == (74, [said])


class TestConfigOption:
    @pytest.mark.parametrize(
        ("arguments", "seen"),
        [
            (["probe"], "None"),
            (["-c", "a.toml", "probe"], "a.toml"),
            (["probe", "-c", "b.toml"], "b.toml"),
            (["--config", "a.toml", "probe", "--config", "b.toml"], "b.toml"),
        ],
    )
    def test_stands_before_or_after_the_command(self, command: Probe, arguments: list[str], seen: str) -> None:
        command(config_option(lambda config: click.echo(str(config))))
        assert run(*arguments).stdout == f"{seen}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str) -> None:
    result = run("completion", shell)
    assert result.exit_code == 0
    assert f"_CLOSINGDEALZ_SYNC_COMPLETE={shell}_complete" in result.stdout


def test_the_script_completes() -> None:
    words = {"COMP_WORDS": "closingdealz-sync che", "COMP_CWORD": "1", "_CLOSINGDEALZ_SYNC_COMPLETE": "bash_complete"}
    code = "from sync.cli import main; main(prog_name='closingdealz-sync')"
    done = subprocess.run([sys.executable, "-c", code], env=PLAIN | words, capture_output=True, text=True, check=False)
    assert done.stdout == "plain,check\n"
    words |= {"COMP_WORDS": "closingdealz-sync check --f", "COMP_CWORD": "2"}
    done = subprocess.run([sys.executable, "-c", code], env=PLAIN | words, capture_output=True, text=True, check=False)
    assert done.stdout == "plain,--file\n"


def test_a_clock_that_no_program_can_hold_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def overflows() -> None:
        raise OverflowError("timestamp too large to convert to C _PyTime_t")

    monkeypatch.setattr("sync.cli.time.time", overflows)
    result = CliRunner().invoke(main, ["status"])
    assert result.exit_code == 78
    assert "after the year 2262" in result.stderr
