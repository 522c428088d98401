"""A file of the ledger that its user may not read is named as that, with the cure that fits."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from state.ledger import Ledger
from tests.state.ledger_tools import FakeClock, pending, register


@pytest.fixture
def as_nobody() -> Callable[[Callable[[], object]], str]:
    """Run something as another user, in a process of its own; return what it raises."""
    if os.geteuid() != 0:
        pytest.skip("only root may become another user")

    def run(work: Callable[[], object]) -> str:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setgid(65534)
                os.setuid(65534)
                work()
            except BaseException as error:  # noqa: BLE001 - a process's boundary
                os.write(writer, f"{type(error).__name__}: {error}".encode())
            os._exit(0)
        os.close(writer)
        with open(reader, "rb") as said:
            text = said.read().decode()
        os.waitpid(child, 0)
        return text

    return run


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_a_file_that_this_user_may_not_read_is_named_as_that(
    suffix: str, as_nobody: Callable[[Callable[[], object]], str]
) -> None:
    """And is no mixture of files: the cure of that would cost the log."""
    clock = FakeClock()
    with TemporaryDirectory() as folder:
        path = Path(folder, "ledger.db")
        ledger = Ledger(path, own=True, clock=clock)
        pending(ledger, register(ledger), "before")
        ledger.tidy()
        pending(ledger, register(ledger), "after")
        ledger.file.close(leave_log=True)
        assert ledger._lock is not None
        ledger._lock.release()
        os.chmod(folder, 0o777)
        for each in Path(folder).rglob("*"):
            each.chmod(0o666)
        Path(f"{path}{suffix}").chmod(0o600)
        for is_owner in (True, False):
            said = as_nobody(lambda is_owner=is_owner: Ledger(path, own=is_owner, clock=clock))  # type: ignore[misc]
            assert said.startswith("LedgerError: "), said
            assert f"{path}{suffix} cannot be read by this user" in said
            assert "chown" in said
            assert "rebuild" not in said
