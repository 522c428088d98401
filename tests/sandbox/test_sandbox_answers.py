"""Every documented answer, byte for byte, over a real socket."""

from __future__ import annotations

import json
import time

import httpx
import pytest

from sync.trial.sandbox.running import RunningSandbox, start
from sync.trial.sandbox.settings import SandboxOptions
from tests.sandbox.conftest import Post

LEAD = {
    "isContact": False,
    "name": "Company Name",
    "industry": "Industry",
    "email": [{"Address": "email@example.com"}],
    "phoneNumber": [{"Number": "+1-555-204-7789"}],
}


def documented(status: int, message: str | None) -> dict[str, object]:
    return {
        "succeeded": status == 200,
        "statusCode": status,
        "statusCodeDescription": "NONE",
        "message": message,
    }


def test_200_and_the_leads_are_kept_as_they_were_sent(sandbox: RunningSandbox, post: Post) -> None:
    second = {"IsContact": True, "NAME": "Zoë 🙂", "contacts": [{"Name": "x"}], "employeeCount": None}
    answer = post(sandbox, [LEAD, second])
    assert answer.status_code == 200
    assert answer.json() == documented(200, None)
    assert answer.headers["content-type"].startswith("application/json")
    kept = sandbox.leads()
    assert [row["lead"] for row in kept] == [LEAD, second]
    assert [list(row["lead"]) for row in kept] == [list(LEAD), list(second)]
    assert [row["position"] for row in kept] == [0, 1]
    assert len({row["request"] for row in kept}) == 1


@pytest.mark.parametrize("key", ["", "wrong", "sandbox-ke", "sandbox-keyy", b"\xff"])
def test_401(sandbox: RunningSandbox, post: Post, key: str | bytes) -> None:
    answer = post(sandbox, [LEAD], key=key)
    assert (answer.status_code, answer.json()) == (401, documented(401, "Invalid API key."))
    assert sandbox.leads() == []


@pytest.mark.parametrize("count", [101, 250])
def test_400_for_too_many(sandbox: RunningSandbox, post: Post, count: int) -> None:
    answer = post(sandbox, [LEAD] * count)
    message = f"The maximum amount of leads to create at once is 100, but was {count}."
    assert (answer.status_code, answer.json()) == (400, documented(400, message))
    assert sandbox.leads() == []
    assert sandbox.requests()[0]["leads"] == count


def test_a_hundred_leads_are_taken(sandbox: RunningSandbox, post: Post) -> None:
    assert post(sandbox, [LEAD] * 100).status_code == 200
    assert sandbox.stats()["created_leads"] == 100


def test_400_when_the_free_plan_would_be_crossed(sandbox: RunningSandbox, post: Post) -> None:
    sandbox.set_faults(plan="free")
    assert [post(sandbox, [LEAD] * 100).status_code for _ in range(2)] == [200, 200]
    answer = post(sandbox, [LEAD])
    message = "Can not have more than 200 leads on the free plan."
    assert (answer.status_code, answer.json()) == (400, documented(400, message))
    assert len(sandbox.leads()) == 200
    sandbox.set_faults(plan="basic")
    assert post(sandbox, [LEAD]).status_code == 200


def test_400_after_a_downgrade(sandbox: RunningSandbox, post: Post) -> None:
    sandbox.set_faults(plan="downgraded")
    answer = post(sandbox, [LEAD])
    message = "Reached the maximum limit of leads on the free plan."
    assert (answer.status_code, answer.json()) == (400, documented(400, message))
    assert sandbox.leads() == []


def test_429_comes_before_the_body_is_looked_at(post: Post) -> None:
    with start(SandboxOptions(port=0, limit=1)) as running:
        assert post(running, [LEAD]).status_code == 200
        answer = post(running, content=b"no JSON")
        message = "Too many requests. Please try again later."
        assert (answer.status_code, answer.json()) == (429, documented(429, message))
        assert "retry-after" not in answer.headers
        assert post(running, [LEAD], key="wrong").status_code == 401


@pytest.mark.parametrize("body", [b"", b"[", b"[NaN]", b'[{"isContact": true, "name": "\xff"}]', b"{}", b"null", b"[]"])
def test_400_for_bodies_that_are_no_leads(sandbox: RunningSandbox, post: Post, body: bytes) -> None:
    answer = post(sandbox, content=body)
    assert answer.status_code == 400
    assert answer.json() == documented(400, answer.json()["message"])
    assert sandbox.leads() == []


def test_one_bad_lead_refuses_the_batch(sandbox: RunningSandbox, post: Post) -> None:
    answer = post(sandbox, [LEAD, {**LEAD, "name": "x" * 257}, LEAD])
    message = "[1].name must be text of at most 256 characters, but has 257."
    assert (answer.status_code, answer.json()) == (400, documented(400, message))
    assert sandbox.leads() == []


def test_415_and_413(sandbox: RunningSandbox, post: Post) -> None:
    body = json.dumps([LEAD]).encode()
    assert post(sandbox, content=body, headers={"Content-Type": "text/plain"}).status_code == 415
    assert post(sandbox, content=body, headers={"Content-Type": "application/json; charset=utf-8"}).status_code == 200
    assert post(sandbox, content=b" " * 30_000_001).status_code == 413
    assert len(sandbox.leads()) == 1


def test_other_methods_and_paths(sandbox: RunningSandbox, client: httpx.Client) -> None:
    assert client.get(f"{sandbox.url}/api/v1/leads").status_code == 405
    assert client.post(f"{sandbox.url}/api/v1/lead").status_code == 404
    assert client.post(f"{sandbox.url}/api/v1/leads/").status_code == 404


def test_latency_comes_on_both_sides_of_the_limiter(sandbox: RunningSandbox, post: Post) -> None:
    sandbox.set_faults(latency="100ms-110ms")
    sent = time.time()
    assert post(sandbox, [LEAD]).status_code == 200
    answered = time.time()
    seconds = float(sandbox.requests()[0]["at"][17:-1])
    assert 0.1 <= (seconds - sent) % 60 < 30
    assert 0.1 <= (answered - seconds) % 60 < 30


def test_stalls_come_on_top(sandbox: RunningSandbox, post: Post) -> None:
    sandbox.set_faults(stall="150ms=1")
    assert post(sandbox, [LEAD]).elapsed.total_seconds() >= 0.3
