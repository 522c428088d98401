"""Looking into a running sandbox, as a person and as a program."""

from __future__ import annotations

from html.parser import HTMLParser

import httpx
import pytest

from sync.trial.sandbox.running import RunningSandbox
from sync.trial.sandbox.settings import SandboxError
from tests.sandbox.conftest import Post

EVIL = "<script>alert('1')</script>\"&"


def lead(name: str, **more: object) -> dict[str, object]:
    return {"isContact": False, "name": name, **more}


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.names: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.names |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def page(client: httpx.Client, sandbox: RunningSandbox, query: str = "") -> str:
    answer = client.get(f"{sandbox.url}/_sandbox/leads{query}", headers={"Accept": "text/html,*/*"})
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    return answer.text


def test_the_page_shows_each_value_as_text(sandbox: RunningSandbox, client: httpx.Client, post: Post) -> None:
    shown = {
        "industry": EVIL,
        "role": EVIL,
        "lastName": EVIL,
        "labels": [EVIL],
        "emails": [{"Address": EVIL}],
        "phones": [{"Number": EVIL}],
        "socials": [{EVIL: EVIL}],
        "Contacts": [{"name": EVIL}],
        EVIL: EVIL,
    }
    assert post(sandbox, [lead(EVIL, **shown)]).status_code == 200
    got = Page(page(client, sandbox))
    assert "script" not in got.tags
    assert got.text.count(EVIL) >= 7


def test_a_search_is_no_way_in_either(sandbox: RunningSandbox, client: httpx.Client) -> None:
    got = Page(page(client, sandbox, "?q=%22%20onfocus%3Dalert(1)%20x%3D%22%3Cscript%3E"))
    assert "script" not in got.tags
    assert "onfocus" not in got.names


def test_the_page_goes_from_new_to_old_by_pages(sandbox: RunningSandbox, client: httpx.Client, post: Post) -> None:
    post(sandbox, [lead(f"Company {n:02}") for n in range(25)])
    first = page(client, sandbox, "?limit=10")
    assert first.index("Company 24") < first.index("Company 15")
    assert "Company 14" not in first
    assert "offset=10" in first
    assert "Newer" not in first
    last = page(client, sandbox, "?limit=10&offset=20")
    assert "Company 00" in last
    assert "Older" not in last
    assert "25 leads" in Page(last).text
    assert "1 lead found" in Page(page(client, sandbox, "?q=company 07")).text


def test_the_same_as_json(sandbox: RunningSandbox, client: httpx.Client, post: Post) -> None:
    post(sandbox, [lead(f"Company {n:02}") for n in range(25)])
    got = client.get(f"{sandbox.url}/_sandbox/leads?limit=2&offset=3&q=COMPANY").json()
    assert (got["total"], got["offset"]) == (25, 3)
    assert [row["lead"]["name"] for row in got["leads"]] == ["Company 03", "Company 04"]
    assert client.get(f"{sandbox.url}/_sandbox/leads?limit=-1&offset=x").status_code == 200
    requests = client.get(f"{sandbox.url}/_sandbox/requests").json()["requests"]
    assert [(row["status"], row["leads"], row["created"]) for row in requests] == [(200, 25, 25)]
    assert client.get(f"{sandbox.url}/_sandbox/stats").json() == sandbox.stats()


def test_failures_change_while_it_runs(sandbox: RunningSandbox, post: Post) -> None:
    now = sandbox.set_faults({"429": 0.5}, script="500*2", seed=3, latency="1ms-2ms", stall="1s=0", hang="2s")
    assert now == {
        "faults": {"429": 0.5},
        "script": "500*2",
        "seed": 3,
        "latency": "0.001s-0.002s",
        "stall": "1s=0.0",
        "hang": "2s",
        "plan": "basic",
    }
    assert post(sandbox, [lead("x")]).status_code == 500
    sandbox.set_faults(latency="0s")
    assert post(sandbox, [lead("x")]).status_code == 500, "the script goes on"
    assert sandbox.set_faults({}, script=())["faults"] == {}
    assert post(sandbox, [lead("x")]).status_code == 200


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"fault": {}},
        {"faults": ["429"]},
        {"faults": {"429": "often"}},
        {"faults": {"nonsense": 0.1}},
        {"script": 5},
        {"script": [5]},
        {"latency": 5},
        {"latency": "5"},
        {"latency": "2s-1s"},
        {"stall": "1s"},
        {"plan": "gold"},
        {"seed": "x"},
        {"keys": ["x"]},
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    sandbox: RunningSandbox, client: httpx.Client, document: object
) -> None:
    url = f"{sandbox.url}/_sandbox/faults"
    before = client.get(url).json()
    answer = client.post(url, json=document)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert client.get(url).json() == before


def test_refusals_reach_the_caller(sandbox: RunningSandbox) -> None:
    with pytest.raises(SandboxError, match="no known failure"):
        sandbox.set_faults({"nonsense": 1})


def test_forgetting(sandbox: RunningSandbox, client: httpx.Client, post: Post) -> None:
    post(sandbox, [lead("x")])
    assert client.delete(f"{sandbox.url}/_sandbox/leads").status_code == 204
    figures = sandbox.stats()
    assert (figures["requests"], figures["created_leads"], figures["leads_by_key"]) == (0, 0, {})


def test_no_web_page_elsewhere_can_look_in(sandbox: RunningSandbox, client: httpx.Client) -> None:
    for host in ("evil.example", "evil.example:80"):
        assert client.get(f"{sandbox.url}/_sandbox/leads", headers={"Host": host}).status_code == 403
    simple = {"Content-Type": "text/plain"}
    assert client.post(f"{sandbox.url}/_sandbox/faults", content=b"{}", headers=simple).status_code == 415
    assert client.get(f"{sandbox.url}/_sandbox/stats", headers={"Host": "localhost:8765"}).status_code == 200
