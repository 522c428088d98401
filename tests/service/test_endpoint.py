"""`/healthz` and `/metrics` over real sockets: what they say, to whom, and that they hold up nobody."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sync.config.load import load_config
from sync.engine.engine import Engine
from sync.log import emit
from sync.service.health import Health
from sync.service.http_server import MOST_CLIENTS, Server
from sync.service.service import Service
from sync.service.systemd import Notifier
from sync.shared.errors import ConfigError
from tests.free_port import free_port
from tests.patience import PATIENCE
from tests.proof.harness import until
from tests.service.service_world import Source, StoppedClock, Way, engine_of


def ask(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def served(
    tmp_path: Path, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch, port: int
) -> Iterator[tuple[Service, Engine, Source, Way]]:
    """A service that listens, with an engine that delivers once it is started."""
    more = f'[metrics]\nlisten = "127.0.0.1:{port}"'
    with engine_of(tmp_path, clock, monkeypatch, more) as (engine, source, way):
        service = Service(Notifier(), clock=clock)
        with service.open(engine.plan.config):
            yield service, engine, source, way


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample by its name and labels, as Prometheus reads them."""
    return {
        (sample.name.removeprefix("closingdealz_sync_"), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


def test_a_reload_may_name_another_address_with_the_port_that_is_ours(
    served: tuple[Service, Engine, Source, Way], port: int
) -> None:
    service, engine, _, _ = served
    config = engine.plan.config
    assert config.metrics is not None
    for listen in (f"localhost:{port}", f"127.0.0.1:{port}"):
        service.serve(config.model_copy(update={"metrics": config.metrics.model_copy(update={"listen": listen})}))
        assert ask(port, "/healthz/live")[0] == 200
    nowhere = config.metrics.model_copy(update={"listen": f"192.0.2.1:{port}"})
    with pytest.raises(ConfigError):
        service.serve(config.model_copy(update={"metrics": nowhere}))
    assert ask(port, "/healthz/live")[0] == 200, "what was before goes on"


def test_health_from_the_start_to_the_end(served: tuple[Service, Engine, Source, Way], port: int) -> None:
    service, engine, _, _ = served
    status, text = ask(port, "/healthz")
    assert (status, json.loads(text)["phase"]) == (503, "starting")
    assert ask(port, "/healthz/live")[0] == 200
    service.ready(engine)
    status, text = ask(port, "/healthz")
    # neither scheduler nor worker was started here
    assert status == 503
    assert json.loads(text)["reasons"] == ["the scheduler is dead", "the delivery to main is dead"]
    assert [ask(port, f"/healthz/{name}")[0] for name in ("live", "ready", "flowing")] == [503, 200, 503]
    service.stopping()
    assert ask(port, "/healthz/ready")[0] == 503


def test_a_refused_file_that_was_put_back_is_refused_no_more(
    served: tuple[Service, Engine, Source, Way], port: int
) -> None:
    service, engine, _, _ = served
    service.ready(engine)
    path, key = engine.plan.config.path, of("config_last_reload_successful")
    sound = path.read_text()

    def told() -> float:
        return samples(ask(port, "/metrics")[1])[key]

    path.write_text("nonsense")
    assert told() == 1, "nobody asked to reload it"
    emit("config_refused", config=str(path), problems=[])
    assert told() == 0
    path.write_text(f"# as it was\n{sound}")
    assert told() == 1
    emit("config_reloaded", config=str(path), streams=[], workspaces=[], changed=[], refused=["erp"])
    assert told() == 0, "its part is refused still"


def test_the_figures_are_those_of_log_and_ledger(
    served: tuple[Service, Engine, Source, Way], port: int, clock: StoppedClock
) -> None:
    service, engine, _, _ = served
    service.ready(engine)
    before = samples(ask(port, "/metrics")[1])
    assert before[of("batches_total", workspace="main", verdict="created")] == 0
    assert before[of("polls_total", stream="erp.companies", kind="poll", outcome="complete")] == 0
    engine.streams["erp.companies"].turn()
    clock.advance(10)
    waiting = samples(ask(port, "/metrics")[1])
    assert waiting[of("pending_leads", workspace="main")] == 1
    assert waiting[of("oldest_pending_timestamp_seconds", workspace="main")] == 1_767_225_600
    engine.start_delivery()
    until(lambda: engine.tally.snapshot()["sent"] == 1, "the lead")
    until(lambda: engine.in_flight == 0, "the end of the request")
    emit("rate_limited", workspace="main", why="stranger", used=1, limit=100, share=0.5, margin=0.01)
    emit("poll_failed", stream="erp.companies", kind="SourceUnavailable", error="x", failures=1, retry_in=1)
    emit("config_refused", config="c", problems=[])
    clock.advance(10)
    after = samples(ask(port, "/metrics")[1])
    expected = {
        of("polls_total", stream="erp.companies", kind="poll", outcome="complete"): 1,
        of("polls_total", stream="erp.companies", kind="poll", outcome="failed"): 1,
        of("records_read_total", stream="erp.companies"): 1,
        of("records_judged_total", stream="erp.companies", result="new"): 1,
        of("batches_total", workspace="main", verdict="created"): 1,
        of("leads_total", workspace="main", verdict="created"): 1,
        of("request_duration_seconds_count", workspace="main"): 1,
        of("rate_limited_total", workspace="main", why="stranger"): 1,
        of("records", stream="erp.companies", state="delivered"): 1,
        of("pending_leads", workspace="main"): 0,
        of("requests_in_flight", workspace="main"): 0,
        of("poll_failures", stream="erp.companies"): 1,
        of("batches_in_doubt"): 0,
        of("rate_limit_requests", workspace="main"): 10_000,
        of("config_last_reload_successful"): 1,  # the file is as it was
        of("last_success_timestamp_seconds", stream="erp.companies"): 1_767_225_600,
        of("log_events_total", event="batch", level="info"): 1,
    }
    assert {name: after.get(name) for name in expected} == expected
    assert of("oldest_pending_timestamp_seconds", workspace="main") not in after
    assert any(name == "process_resident_memory_bytes" for name, _ in after)


def test_no_value_of_a_record_and_no_secret_is_in_them(served: tuple[Service, Engine, Source, Way], port: int) -> None:
    service, engine, _, _ = served
    service.ready(engine)
    engine.streams["erp.companies"].turn()
    text = ask(port, "/metrics")[1] + ask(port, "/healthz")[1]
    assert "one@example.com" not in text
    assert "sandbox-key" not in text


def test_a_reload_moves_the_address_or_is_refused(
    served: tuple[Service, Engine, Source, Way], port: int, tmp_path: Path
) -> None:
    service, engine, _, _ = served
    service.ready(engine)
    config, other = engine.plan.config, free_port()
    path = tmp_path / "config.toml"
    path.write_text(path.read_text().replace(f":{port}", f":{other}"))
    service.serve(load_config(path))
    assert ask(other, "/healthz/ready")[0] == 200
    with pytest.raises(ConnectionRefusedError):
        ask(port, "/healthz")
    with closing(socket.create_server(("127.0.0.1", port))):
        with pytest.raises(ConfigError, match="cannot be listened on: Address already in use"):
            service.serve(config)
        assert ask(other, "/healthz/ready")[0] == 200
    path.write_text(path.read_text().replace(f'[metrics]\nlisten = "127.0.0.1:{other}"', ""))
    service.serve(load_config(path))
    with pytest.raises(ConnectionRefusedError):
        ask(other, "/healthz")


def test_only_questions_are_answered(served: tuple[Service, Engine, Source, Way], port: int) -> None:
    assert ask(port, "/")[0] == 404
    assert ask(port, "/metrics", "POST")[0] == 405
    assert ask(port, "/healthz", "HEAD") == (503, "")


@pytest.fixture
def server(port: int) -> Iterator[Server]:
    """One that says that all is well, and has figures of 10 MB."""
    with closing(Server(f"127.0.0.1:{port}", lambda: Health("running", (), ()), lambda *_: FIGURES)) as found:
        yield found


FIGURES = (b"# figures\n" * 1_000_000, "text/plain")


def connected(port: int, ends: ExitStack, said: bytes = b"") -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    ends.callback(made.close)
    made.sendall(said)
    return made


@pytest.mark.usefixtures("server")
def test_clients_that_drip_hold_up_nobody(port: int) -> None:
    """However many they are, and however slowly each of them asks: the oldest of them makes room."""
    with ExitStack() as ends:
        idle = [connected(port, ends, b"GET /healthz HT") for _ in range(MOST_CLIENTS + 4)]
        assert ask(port, "/healthz")[0] == 200
        for each in idle[:5]:
            with suppress(ConnectionResetError):
                assert each.recv(1) == b""
        idle[-1].sendall(b"TP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle[-1].recv(15) == b"HTTP/1.1 200 OK"


@pytest.mark.usefixtures("server")
def test_clients_that_do_not_read_their_answers_hold_up_nobody(port: int) -> None:
    with ExitStack() as ends:
        for _ in range(MOST_CLIENTS + 1):
            deaf = connected(port, ends, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert deaf.recv(8) == b"HTTP/1.1"
        assert ask(port, "/healthz/live")[0] == 200


def test_a_client_that_dawdles_is_given_up(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It drips its request, or does not read the answer."""
    monkeypatch.setattr("sync.service.http_server.PATIENCE", 0.2)
    monkeypatch.setattr("sync.service.http_server.LONGEST", 0.4)
    with ExitStack() as ends:
        server = Server(f"127.0.0.1:{port}", lambda: Health("running", (), ()), lambda *_: FIGURES)
        ends.callback(server.close)
        drips = connected(port, ends, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ")
        # reset, or closed
        with suppress(ConnectionError):
            while True:
                drips.sendall(b"x")
                drips.settimeout(0.01)
                with suppress(TimeoutError):
                    assert drips.recv(1) == b""
                    break
        deaf = connected(port, ends, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert deaf.recv(12) == b"HTTP/1.1 200"
        until(lambda: not server._server.server_state.connections, "the end of its connection")


HOSTS = {
    "127.0.0.1": 200,
    "localhost:9464": 200,
    "[::1]:9464": 200,
    "[::1]": 200,
    "evil.com": 421,
    "evil.com:9464": 421,
    "127.0.0.1.evil.com": 421,
    "[evil.com": 421,
    "": 421,
}


@pytest.mark.usefixtures("server")
def test_only_this_machines_names_are_answered(port: int) -> None:
    """A page in a browser whose name was pointed at this machine reads nothing; no answer tells the server's name."""
    found = {}
    for host in HOSTS:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
            connection.putrequest("GET", "/healthz", skip_host=True)
            connection.putheader("Host", host)
            connection.endheaders()
            answer = connection.getresponse()
            found[host] = answer.status
            assert "server" not in {name.lower() for name in answer.headers}
    assert found == HOSTS


@pytest.mark.usefixtures("server")
def test_a_monitor_of_old_needs_no_host(port: int) -> None:
    with ExitStack() as ends:
        old = connected(port, ends, b"GET /healthz HTTP/1.0\r\n\r\n")
        assert old.recv(12).startswith(b"HTTP/1.1 200")
        long = connected(port, ends, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000)
        assert b" 400 " in long.recv(40)


def test_by_the_other_protocol(port: int) -> None:
    with closing(socket.socket(socket.AF_INET6)) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
    server = Server(f"[::1]:{port}", lambda: Health("running", (), ()), lambda *_: (b"", "text/plain"))
    with closing(server), closing(http.client.HTTPConnection("::1", port, timeout=PATIENCE)) as connection:
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
