"""A real sandbox process, and a client that speaks to it over a real socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from sync.trial.sandbox.running import RunningSandbox
from tests.patience import PATIENCE

Post = Callable[..., httpx.Response]


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
