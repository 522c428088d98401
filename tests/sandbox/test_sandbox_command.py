"""The sandbox as a program: starting, ending, refusing."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from click.testing import CliRunner

from sync.trial.sandbox import running as running_sandbox
from sync.trial.sandbox.command import EXAMPLE_KEY, EXAMPLE_URL
from sync.trial.sandbox.command import sandbox as command
from sync.trial.sandbox.running import start
from sync.trial.sandbox.settings import SandboxError, SandboxOptions
from tests.patience import PATIENCE
from tests.proof.harness import until
from tests.sandbox.conftest import Post

COMMAND = [sys.executable, "-m", "sync.trial.sandbox"]
LEAD = {"isContact": False, "name": "x"}


@pytest.fixture(autouse=True)
def _from_nothing(monkeypatch: pytest.MonkeyPatch, sandbox_from_nothing: Callable[..., Any]) -> None:
    monkeypatch.setattr(running_sandbox, "_spawn", sandbox_from_nothing)


def launch(*arguments: str, stdin: int | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *arguments], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_greets_and_sums_up(tmp_path: Path, post: Post, number: signal.Signals) -> None:
    store = tmp_path / "kept.db"
    with launch("--port", "0", "--store", str(store), "--key", "my-key") as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(7)]
        (url,) = re.findall(r"http://\S+", lines[0])
        running = type("Running", (), {"url": url})
        assert post(running, [LEAD, LEAD], key="my-key").status_code == 200
        process.send_signal(number)
        rest, complaints = process.communicate(timeout=PATIENCE)
    greeting = "".join(lines)
    assert str(store) in greeting
    assert "my-key" in greeting
    assert f'config.example.toml: base_url = "{url}", api_key = "my-key"' in greeting
    assert "1 requests, 2 leads created (1 of them duplicates)" in rest
    assert (process.returncode, complaints) == (0, "")


@pytest.mark.parametrize("faults", [{"timeout-before": 1.0}, {"timeout-after": 1.0}])
def test_a_hanging_request_does_not_hold_up_the_end(post: Post, faults: dict[str, float]) -> None:
    with start(SandboxOptions(port=0, faults=faults, latency=(0.0, 0.001))) as running:
        failures: list[Exception] = []

        def hang() -> None:
            try:
                post(running, [LEAD], timeout=PATIENCE)
            except httpx.HTTPError as error:
                failures.append(error)

        thread = threading.Thread(target=hang)
        thread.start()
        until(running.requests, "the request")
        running.stop()
        thread.join(timeout=PATIENCE)
        assert isinstance(failures[0], httpx.RemoteProtocolError)
        assert running._process.returncode == 0


def test_what_waits_in_its_delay_at_the_end_is_not_created(post: Post) -> None:
    with start(SandboxOptions(port=0, latency=(30.0, 30.0))) as running:
        place = urlsplit(running.url)
        with socket.create_connection((place.hostname, place.port)) as connection:
            head = "POST /api/v1/leads HTTP/1.1\r\nHost: x\r\nX-API-Key: sandbox-key\r\nContent-Length: 21\r\n"
            connection.sendall(f'{head}Content-Type: application/json\r\n\r\n[{{"isContact": false}}]'.encode()[:-1])
            running.stop()
            assert running._process.returncode == 0, "it was killed, for it went on waiting"
        assert running.requests() == []


def test_what_lies_in_the_current_folder_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder named as our package, in a folder of somebody else's."""
    (tmp_path / "sync").mkdir()
    (tmp_path / "sync/__init__.py").write_text("raise SystemExit('run')")
    monkeypatch.chdir(tmp_path)
    with start(SandboxOptions(port=0)) as running:
        assert running.leads() == []


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import os; from pathlib import Path; from sync.trial.sandbox.running import *;"
        f"s = start(SandboxOptions(port=0, store=Path({str(tmp_path / 'kept.db')!r})));"
        "print(s.url, flush=True); os._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 9
    place = urlsplit(done.stdout.strip())
    deadline = time.monotonic() + PATIENCE
    while listens(str(place.hostname), int(place.port or 0)):
        assert time.monotonic() < deadline, "an orphan goes on"


def test_the_example_configuration_is_set_up_for_it_as_it_starts_by_default() -> None:
    with Path(__file__).parents[2].joinpath("config.example.toml").open("rb") as file:
        workspace = tomllib.load(file)["workspaces"]["main"]
    defaults = SandboxOptions()
    assert workspace["base_url"] == EXAMPLE_URL == f"http://{defaults.host}:{defaults.port}"
    assert (workspace["api_key"],) == (EXAMPLE_KEY,) == defaults.keys


def listens(host: str, port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex((host, port)) == 0


def test_hosts_that_are_not_this_machine_are_refused() -> None:
    for host in ("0.0.0.0", "192.168.0.1", "example.com"):
        done = CliRunner().invoke(command, ["--host", host])
        assert done.exit_code == 2
        assert "loopback only" in done.output


def test_a_port_in_use_is_said_plainly(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with launch("--port", str(port), "--store", str(tmp_path / "x.db")) as process:
            _, complaints = process.communicate(timeout=PATIENCE)
        with pytest.raises(SandboxError, match="cannot listen"):
            start(SandboxOptions(port=port))
    assert process.returncode == 75
    assert f"cannot listen on 127.0.0.1:{port}" in complaints
    assert "--port" in complaints
    assert "Traceback" not in complaints


@pytest.mark.parametrize(
    "arguments",
    [["--fault", "429"], ["--fault", "nonsense=0.1"], ["--script", "ok*,429"], ["--latency", "5"], ["--stall", "3s"]],
)
def test_wrong_options_are_usage_errors(arguments: list[str]) -> None:
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 2
    assert "Error" in done.output


def test_the_options_reach_the_child(post: Post) -> None:
    options = SandboxOptions(
        port=0,
        host="localhost",
        keys=("one", "two"),
        plan="downgraded",
        limit=7,
        per=2.5,
        segments=4,
        heartbeat=0.02,
        latency=(0.0, 0.0005),
        stall=(0.001, 0.25),
        hang=1.5,
        faults={"503:2": 0.25, "refuse:a=b": 1.0},
        script=("500", "refuse:x,y"),
        seed=5,
    )
    with start(options) as running:
        assert running.set_faults() == {
            "faults": {"503:2": 0.25, "refuse:a=b": 1.0},
            "script": '["500", "refuse:x,y"]',
            "seed": 5,
            "latency": "0s-0.0005s",
            "stall": "0.001s=0.25",
            "hang": "1.5s",
            "plan": "downgraded",
        }
        statuses = [post(running, [LEAD], key=key).status_code for key in ("one", "two", "three")]
        assert statuses == [500, 400, 401]


def test_its_help_is_light_and_names_every_failure() -> None:
    done = CliRunner().invoke(command, ["--help"])
    for name in ("429", "timeout-before", "reset-after", "half", "malformed", "not-succeeded", "refuse:TEXT"):
        assert name in done.output
    program = (
        "import sys, sync.trial.sandbox.command;"
        "heavy = {'starlette', 'uvicorn', 'httpx', 'asyncio', 'sqlite3'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_root_of_the_project_need_not_be_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with start(SandboxOptions(port=0)) as running:
        assert Path(os.readlink(f"/proc/{running.pid}/cwd")) == tmp_path
        assert running.stats()["requests"] == 0
