"""Kept threads: one for one piece of work after the other, another one beside work that hangs, none for long without
work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from sync.delivery.kept_threads import KeptThreads
from tests.engine.wire import wait_until
from tests.patience import PATIENCE


@contextmanager
def kept(keep: float = PATIENCE) -> Iterator[KeptThreads]:
    threads = KeptThreads("kept", keep=keep)
    try:
        yield threads
    finally:
        threads.close()


def test_one_thread_does_one_piece_of_work_after_the_other() -> None:
    done: list[threading.Thread] = []
    with kept() as threads:
        for n in range(1, 6):
            threads.start(lambda: done.append(threading.current_thread()))
            wait_until(partial(_are_done, done, n, threads))
    assert len(set(done)) == 1


def _are_done(done: list[threading.Thread], number: int, threads: KeptThreads) -> bool:
    return len(done) == number and threads.idle == 1


def _wait(go_on: threading.Event, done: list[threading.Thread] | None = None) -> None:
    go_on.wait(PATIENCE)
    if done is not None:
        done.append(threading.current_thread())


def test_work_that_hangs_holds_up_no_other() -> None:
    go_on, came = threading.Event(), threading.Event()
    with kept() as threads:
        threads.start(lambda: _wait(go_on))
        threads.start(came.set)
        assert came.wait(PATIENCE)
        go_on.set()
        wait_until(lambda: threads.idle == 2)


def test_a_thread_without_work_ends_after_a_while_and_the_next_work_gets_another() -> None:
    done: list[threading.Thread] = []
    with kept(0.001) as threads:
        threads.start(lambda: done.append(threading.current_thread()))
        wait_until(lambda: done and not done[0].is_alive())
        assert threads.idle == 0
        threads.start(lambda: done.append(threading.current_thread()))
        wait_until(lambda: len(done) == 2)


def test_no_work_is_lost_where_threads_come_to_their_end_all_the_time() -> None:
    """The end of a thread and the work that is handed to it meet at any moment."""
    done: list[int] = []
    with kept(0.0) as threads:
        for n in range(2000):
            threads.start(partial(done.append, n))
        wait_until(lambda: len(done) == 2000)
    assert sorted(done) == [*range(2000)]


def test_after_the_end_no_thread_stays() -> None:
    done: list[threading.Thread] = []
    go_on = threading.Event()
    threads = KeptThreads("kept", keep=PATIENCE)
    threads.start(lambda: done.append(threading.current_thread()))
    wait_until(lambda: threads.idle == 1)
    threads.start(lambda: _wait(go_on, done))
    threads.start(lambda: done.append(threading.current_thread()))
    wait_until(lambda: len(done) == 2)
    threads.close()
    go_on.set()
    wait_until(lambda: len(done) == 3 and not any(each.is_alive() for each in done))
