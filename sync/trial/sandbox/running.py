"""Starts and stops a sandbox in a process of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import subprocess
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast
from urllib.parse import urlsplit

from sync.trial.processes import first_line, start_module
from sync.trial.sandbox import reports
from sync.trial.sandbox.settings import SandboxError, SandboxOptions, seconds_text

_START_SECONDS = 20.0


def start(options: SandboxOptions | None = None) -> RunningSandbox:
    """Start a sandbox process and return once it answers. It ends when this process does, even by SIGKILL.

    Without `options.store` its file is deleted along with the returned object. Raises SandboxError if it cannot start.
    """
    options = options or SandboxOptions(port=0)
    folder = None if options.store is not None else tempfile.mkdtemp(prefix="closingdealz-sandbox-")
    path = options.store or Path(str(folder), "sandbox.db")
    try:
        process, url = _launch(replace(options, store=path))
    except BaseException:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    running = RunningSandbox(process, url, replace(options, store=path, port=urlsplit(url).port or 0), path)
    if folder is not None:
        # Not at `stop`: the file can still be read then.
        weakref.finalize(running, shutil.rmtree, folder, ignore_errors=True)
    return running


class RunningSandbox:
    """A sandbox process; as a context manager it is stopped at the end.

    `options` hold the real port and store: `start(running.options)` after its end resumes the same sandbox. `leads`,
    `requests` and `stats` read its file, so they also work after its end.
    """

    def __init__(self, process: subprocess.Popen[bytes], url: str, options: SandboxOptions, store_path: Path) -> None:
        self._process = process
        self.url = url
        self.options = options
        self.store_path = store_path

    @property
    def pid(self) -> int:
        return self._process.pid

    def leads(self, q: str = "") -> list[dict[str, Any]]:
        """Return all created leads in order of arrival; see `reports.leads`."""
        return reports.leads(self.store_path, q=q)

    def requests(self) -> list[dict[str, Any]]:
        """Return all requests in order of arrival; see `reports.requests`."""
        return reports.requests(self.store_path)

    def stats(self) -> dict[str, Any]:
        """Return figures over all requests; see `reports.stats`."""
        return reports.stats(self.store_path, self.options.per)

    def set_faults(
        self,
        faults: Mapping[str, float] | None = None,
        *,
        script: str | Sequence[str] | None = None,
        seed: int | None = None,
        latency: str | None = None,
        stall: str | None = None,
        hang: str | None = None,
        plan: str | None = None,
    ) -> dict[str, Any]:
        """Change the named settings and return all; `{}` and `()` remove faults. Raises SandboxError."""
        named = {
            "faults": dict(faults) if faults is not None else None,
            "script": script if script is None or isinstance(script, str) else list(script),
            "seed": seed,
            "latency": latency,
            "stall": stall,
            "hang": hang,
            "plan": plan,
        }
        document = {name: value for name, value in named.items() if value is not None}
        answer: dict[str, Any] = self._call("POST", "/_sandbox/faults", document)
        return answer

    def forget(self) -> None:
        """Delete all leads and requests."""
        self._call("DELETE", "/_sandbox/leads")

    def stop(self) -> None:
        """End the process by SIGTERM; do nothing if it has ended."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._close()

    def kill(self) -> None:
        """End the process by SIGKILL."""
        self._process.kill()
        self._close()

    def _close(self) -> None:
        self._process.wait()
        _close_pipes(self._process)

    def _call(self, method: str, path: str, document: Any = None) -> Any:
        place = urlsplit(self.url)
        # Not by way of urllib: it would ask a proxy for an address of this machine.
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=10)
        try:
            connection.request(method, path, json.dumps(document), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = json.loads(answer.read() or b"null")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise SandboxError(f"the sandbox at {self.url} does not answer: {error}") from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise SandboxError(f"the sandbox at {self.url} refused: {content.get('error', answer.status)}")
        return content

    def __enter__(self) -> RunningSandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def arguments(options: SandboxOptions) -> list[str]:
    """Return the options as command-line arguments."""
    low, high = options.latency
    named = {
        "host": options.host,
        "port": options.port,
        "store": options.store,
        "plan": options.plan,
        "limit": options.limit,
        "per": seconds_text(options.per),
        "segments": options.segments,
        "heartbeat": seconds_text(options.heartbeat),
        "latency": f"{seconds_text(low)}-{seconds_text(high)}",
        "stall": f"{seconds_text(options.stall[0])}={options.stall[1]}",
        "hang": seconds_text(options.hang),
        "script": options.script if isinstance(options.script, str) else json.dumps(options.script),
        "seed": options.seed,
    }
    flags = [f"--{name}={value}" for name, value in named.items() if value not in (None, "")]
    keys = [f"--key={key}" for key in options.keys]
    return flags + keys + [f"--fault={name}={rate}" for name, rate in options.faults.items()]


def _spawn(words: Sequence[str], complaints: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a sandbox that prints its URL on standard output and ends when its standard input does."""
    return start_module(
        "sync.trial.sandbox",
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=complaints,
        # A Ctrl-C at the terminal is for the parent, which then ends the child.
        start_new_session=True,
    )


def _launch(options: SandboxOptions) -> tuple[subprocess.Popen[bytes], str]:
    with tempfile.TemporaryFile() as complaints:
        process = _spawn(["--child", *arguments(options)], complaints)
        try:
            url = first_line(cast(IO[bytes], process.stdout), _START_SECONDS)
        except BaseException as error:
            process.kill()
            process.wait()
            _close_pipes(process)
            if isinstance(error, TimeoutError):
                raise SandboxError(f"the sandbox did not start within {_START_SECONDS:.0f} seconds") from error
            raise
        if not url:
            process.wait()
            _close_pipes(process)
            complaints.seek(0)
            raise SandboxError(f"the sandbox did not start: {complaints.read().decode(errors='replace').strip()}")
        return process, url


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    pipes: tuple[IO[bytes] | None, ...] = (process.stdin, process.stdout)
    for pipe in pipes:
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
