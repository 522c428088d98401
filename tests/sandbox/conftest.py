"""A real sandbox process, and a client that speaks to it over a real socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from sync.trial.sandbox.running import RunningSandbox, start
from sync.trial.sandbox.settings import SandboxOptions
from tests.patience import PATIENCE

Post = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def shared() -> Iterator[RunningSandbox]:
    with start(SandboxOptions(port=0, limit=100_000)) as running:
        yield running


@pytest.fixture
def sandbox(shared: RunningSandbox) -> RunningSandbox:
    """One process for a whole module, empty and without failures."""
    shared.forget()
    shared.set_faults({}, script=(), latency="0s", stall="0s=0", hang="60s", plan="basic")
    return shared


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=PATIENCE) as made:
        yield made


@pytest.fixture
def post(client: httpx.Client) -> Post:
    """`post(sandbox, leads)`: what the API answers; `key`, `timeout`, `headers` and a raw `content` may be given."""

    def send(to: RunningSandbox, leads: Any = None, *, key: str = "sandbox-key", **options: Any) -> httpx.Response:
        headers = {"X-API-Key": key, "Content-Type": "application/json", **options.pop("headers", {})}
        if leads is not None:
            options["json"] = leads
        return client.post(f"{to.url}/api/v1/leads", headers=headers, **options)

    return send
