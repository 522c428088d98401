"""What a record costs between the ledger and ClosingDealz, in µs of CPU: `python -m tests.bench.delivery`. Not a
test."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import multiprocessing
import socket
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

import orjson

from state.diagram import Version
from state.ledger import Ledger
from state.rows import Claim, MatchKind, Reading, StreamRow
from state.slots import RateLimit
from sync.config.schema import Workspace
from sync.delivery.sender import Destination
from sync.delivery.worker import DeliveryWorker
from sync.engine.tally import Tally
from sync.log import configure
from sync.shared.secrets import Secret
from tests.bench.mapping import company
from tests.state.ledger_tools import WORKSPACE, commit, register

WIDE = RateLimit(b"api-key-hash", 100_000, 0.1)
PAGE = 500
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 75\r\n\r\n"
    b'{"succeeded":true,"statusCode":200,"statusCodeDescription":"","message":""}'
)

T = TypeVar("T")


def lead(n: int, stream: StreamRow) -> Reading:
    """Return a record as polling hands it over, with a lead of about 450 bytes and two match values."""
    row = company(n)
    hashes = [hashlib.blake2b(b"%d %d" % (n, which), digest_size=16).digest() for which in range(4)]
    payload = orjson.dumps({"isContact": False, **row, "notes": "a" * 120})
    version = Version("eligible", "2026-01-01T00:00:00.000000Z", stream.mapping, hashes[0], hashes[1])
    values: list[tuple[MatchKind, bytes]] = [("domain", hashes[2]), ("email", hashes[3])]
    return Reading(str(n), version, orjson.dumps(row), payload, values=values)


@contextlib.contextmanager
def filled(records: int) -> Iterator[Ledger]:
    """Give a ledger in which so many leads wait."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, Ledger(Path(folder, "ledger.db"), own=True) as ledger:
        stream = register(ledger)
        for start in range(0, records, PAGE):
            commit(ledger, stream, [lead(n, stream) for n in range(start, min(start + PAGE, records))])
        ledger.file.maintain()
        yield ledger


class Spent:
    """CPU time of this thread, by part."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def on(self, part: str, work: Callable[[], T]) -> T:
        began = time.thread_time()
        try:
            return work()
        finally:
            self.seconds[part] += time.thread_time() - began


def by_part(records: int) -> dict[str, float]:
    """Deliver with one thread and without a request, each step of a batch after the other."""
    spent = Spent()
    with filled(records) as ledger:
        while isinstance(claim := spent.on("claim", partial(_claimed, ledger)), Claim):
            spent.on("intent", partial(ledger.journal.intents, {claim.batch: claim.deliveries}))
            spent.on("verdict receipt", partial(ledger.journal.verdict, claim.batch, "created", status=200))
            spent.on("conclude", partial(ledger.verdicts.conclude, claim.batch, "created", slot=claim.slot, status=200))
    return {part: seconds * 1e6 / records for part, seconds in spent.seconds.items()}


def _claimed(ledger: Ledger) -> Any:
    return ledger.outbox.claim(WORKSPACE, WIDE, most=100, linger=0, timeout=60)


def whole(records: int) -> float:
    """Deliver as the daemon does, over HTTP; the CPU time of the whole process."""
    with filled(records) as ledger, _server() as port:
        options = Workspace.model_validate(
            {
                "api_key": "bench-key",
                "base_url": f"http://127.0.0.1:{port}",
                "limit": {"requests": WIDE.requests, "per": "100ms"},
            }
        )
        destination = Destination(WORKSPACE, options, Secret("bench-key"), WIDE, ["erp.companies"], {})
        worker = DeliveryWorker(ledger, destination, tally=Tally(), failed=_fail)
        began = time.process_time()
        worker.flush()
        worker.start()
        while not worker.wait_until_done(60):
            pass
        worker.stop()
        worker.join()
        spent = time.process_time() - began
        if (left := ledger.outbox.pending(WORKSPACE)) or ledger.verdicts.states():
            raise SystemExit(f"{left} leads were not sent")
    return spent * 1e6 / records


def _fail(error: BaseException) -> None:
    raise SystemExit(f"the delivery ended: {error!r}")


@contextlib.contextmanager
def _server() -> Iterator[int]:
    """Run a server that takes every batch, in a process of its own; give its port."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    # else the end of a server that could not start would not show
    theirs.close()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def _serve(pipe: Connection) -> None:
    server = socket.create_server(("127.0.0.1", 0), backlog=128)
    pipe.send(server.getsockname()[1])
    while True:
        client, _ = server.accept()
        with client:
            received = b""
            while b"\r\n\r\n" not in received:
                received += client.recv(1 << 16)
            head, _, body = received.partition(b"\r\n\r\n")
            left = int(head.lower().partition(b"content-length:")[2].split(None, 1)[0]) - len(body)
            while left > 0:
                left -= len(client.recv(1 << 16))
            client.sendall(ANSWER)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    configure("error")
    best: dict[str, float] = {}
    for _ in range(options.rounds):
        # other processes only ever make it slower
        for part, cost in (by_part(options.records) | {"whole": whole(options.records)}).items():
            best[part] = min(cost, best.get(part, cost))
    for part, cost in best.items():
        print(f"{part:16} {cost:7.2f}")


if __name__ == "__main__":
    main()
