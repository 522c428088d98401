"""The way to Salesforce: proxies and certificates, headers, broken connections, and no secret on the way out."""

from __future__ import annotations

import gzip
import socket
import threading
import tracemalloc
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from connectors.salesforce.connector import CONNECTOR
from connectors.salesforce.query_pages import number
from connectors.salesforce.transport import Http, connection_error
from sync import __version__
from sync.shared.errors import ConfigError, SourceRefused, SourceUnavailable
from sync.shared.words import Json
from tests.salesforce.sf_authority import make_authority
from tests.salesforce.sf_faults import Fault, error
from tests.salesforce.sf_proxy import Proxy
from tests.salesforce.sf_server import StandIn
from tests.salesforce.sf_world import account, connect, log_in, on, poll, records_of, settle_down, source, stream


def test_requests_say_who_asks_and_take_compressed_answers_over_one_connection(stand_in: StandIn) -> None:
    for number_ in range(50):
        stand_in.org.put("Account", number_, Name="a name that repeats itself")
    settle_down(stand_in)
    connector = connect(stand_in)
    assert len(records_of(poll(connector, stream(), {}))) == 50
    for asked in stand_in.asked:
        assert asked.headers["user-agent"] == f"closingdealz-sync/{__version__}"
        assert "gzip" in asked.headers["accept-encoding"]
    assert len({asked.headers["x-connection"] for asked in stand_in.asked}) == 1


@pytest.mark.parametrize("how", ["drop", "reset"])
@pytest.mark.parametrize("place", ["/describe", "/query/", "/services/oauth2/token"])
def test_a_broken_connection_is_tried_again_later(stand_in: StandIn, proxy: Proxy, how: str, place: str) -> None:
    settle_down(stand_in)
    connector, lanes = log_in(stand_in, proxy), dict[str, Json]()
    stand_in.faults.append(Fault(how=how, on=on(place)))
    with pytest.raises(SourceUnavailable):
        poll(connector, stream(), lanes)
    assert not stand_in.faults
    poll(connector, stream(), lanes)


def test_nobody_there_is_tried_again_later(stand_in: StandIn) -> None:
    auth = {"flow": "session", "session_id": "open-session", "instance": "127.0.0.1:9"}
    with pytest.raises(SourceUnavailable, match="connection to Salesforce failed"):
        poll(connect(stand_in, auth=auth), stream(), {})


def test_an_answer_of_any_length_takes_no_more_than_its_share(
    stand_in: StandIn, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login's, an error's and a description's, packed to a thousandth."""
    monkeypatch.setattr("connectors.salesforce.transport.LONGEST_ANSWER", 1 << 20)
    monkeypatch.setattr("connectors.salesforce.transport.LONGEST_ERROR", 1 << 16)
    long = gzip.compress(b" " * (40 << 20), 1)
    settle_down(stand_in)
    for fault, refusal, words in (
        (Fault(200, long, on=on("/services/oauth2/token")), SourceUnavailable, "longer than 1 MiB"),
        (Fault(400, long, on=on("/query/")), SourceRefused, "refuses the request .HTTP 400"),
        (Fault(200, long, on=on("/describe")), SourceUnavailable, "longer than 1 MiB"),
    ):
        stand_in.faults = [fault]
        tracemalloc.start()
        try:
            with pytest.raises(refusal, match=words):
                poll(log_in(stand_in, proxy), stream(), {})
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 8 << 20


def test_a_page_that_is_too_long_is_read_in_smaller_parts(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.salesforce.transport.LONGEST_ANSWER", 60_000)
    for number_ in range(40):
        stand_in.org.put("Account", number_, Name="n" * 3000)
        stand_in.org.advance(timedelta(minutes=1))
    settle_down(stand_in)
    assert len(records_of(poll(connect(stand_in), stream(), {}))) == 40


def test_a_name_service_that_hangs_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        over.wait(20)
        raise socket.gaierror

    monkeypatch.setattr("socket.getaddrinfo", hang)
    http = Http(timeout=5, connect_timeout=0.1, observe=lambda _: None)
    with pytest.raises(requests.exceptions.ConnectionError) as caught:
        http.get("https://acme.my.salesforce.com/")
    over.set()
    assert "name of Salesforce's host cannot be resolved" in str(connection_error(caught.value, "sf", None))


def test_an_answer_from_another_place_is_not_followed(stand_in: StandIn) -> None:
    """A redirect would lose the session on its way, and then cost five logins."""
    settle_down(stand_in)
    for status in (301, 302, 307, 308):
        stand_in.faults.append(Fault(status, "", {"Location": f"https://localhost:{stand_in.port}/"}))
        stand_in.forget()
        with pytest.raises(SourceRefused, match="another host") as caught:
            poll(connect(stand_in), stream(), {})
        assert "My Domain" in caught.value.hint
        assert len([asked for asked in stand_in.asked if asked.path != "/services/data/"]) == 1


def test_the_proxy_of_the_environment_counts_and_its_exceptions(
    stand_in: StandIn, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    poll(connect(stand_in), stream(), {})
    assert proxy.asked == [stand_in.host]
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    poll(connect(stand_in), stream(), {})
    assert proxy.asked == [stand_in.host]


def test_a_proxy_that_refuses_is_named(stand_in: StandIn, proxy: Proxy) -> None:
    proxy.refuses = True
    with pytest.raises(SourceUnavailable, match="proxy does not let us through") as caught:
        poll(connect(stand_in, proxy=proxy.url.replace("http://", "http://user:hunter2@")), stream(), {})
    assert "hunter2" not in str(caught.value)


def test_a_certificate_of_nobody_is_refused(stand_in: StandIn, tmp_path: Path) -> None:
    other = make_authority(tmp_path)
    with pytest.raises(SourceRefused, match="certificate"):
        poll(connect(stand_in, ca_file=str(other.ca_file)), stream(), {})
    with pytest.raises(SourceRefused, match="certificate"):
        poll(connect(stand_in, ca_file=None), stream(), {})


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_certificates_that_cannot_be_read_are_a_problem_of_the_file(
    stand_in: StandIn, tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    with pytest.raises(ConfigError, match=r"sources\.sf\.ca_file: cannot be read"):
        CONNECTOR.open("sf", source(stand_in, ca_file=str(tmp_path / "ca.pem")))


def test_certificates_of_the_environment_that_cannot_be_read_are_named(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "nowhere.pem"))
    with pytest.raises(SourceRefused, match="certificates to trust cannot be read"):
        poll(connect(stand_in, ca_file=None), stream(), {})


def test_a_configured_certificate_wins_over_the_environment(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(make_authority(tmp_path).ca_file))
    poll(connect(stand_in), stream(), {})
    auth = {"flow": "session", "session_id": "open-session", "instance": stand_in.host}
    poll(connect(stand_in, ca_file=None, auth={**auth, "ca_file": str(stand_in.authority.ca_file)}), stream(), {})
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(stand_in.authority.ca_file))
    poll(connect(stand_in, ca_file=None), stream(), {})


def test_a_password_file_of_the_home_folder_does_not_replace_the_session(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    poll(connect(stand_in), stream(), {})


def test_plain_http_is_not_spoken(stand_in: StandIn) -> None:
    with pytest.raises(requests.exceptions.InvalidSchema):
        account(stand_in).http().get("http://127.0.0.1/")


def test_no_message_holds_a_secret_a_query_or_a_value(stand_in: StandIn, proxy: Proxy) -> None:
    stand_in.org.put("Account", 1, Name="Very Secret Ltd")
    settle_down(stand_in)
    secrets = ("the-client-secret", "session-", "Very Secret", "SELECT", "open-session", "2026-03-10T")
    message = "\nSELECT Name FROM Account WHERE Name = 'Very Secret Ltd'\n ^\nERROR at Row:1:Column:7\nsession-1-1"
    for code in ("MALFORMED_QUERY", "INVALID_FIELD", "INVALID_TYPE", "QUERY_TIMEOUT", "WHAT_EVER", "a b<c>"):
        for status in (400, 500):
            stand_in.faults = [error(status, code, message)]
            with pytest.raises((SourceRefused, SourceUnavailable)) as caught:
                poll(log_in(stand_in, proxy), stream(), {})
            said = f"{caught.value} {caught.value.hint} {caught.value!r}"
            assert not [secret for secret in secrets if secret in said]


def test_a_session_that_is_printed_shows_nothing(stand_in: StandIn) -> None:
    shared = account(stand_in)
    token = shared.token(shared.http(), "accounts")
    assert token.session_id == "open-session"
    assert "open-session" not in f"{token} {token!r}"


def test_a_retired_version_is_said_so(stand_in: StandIn) -> None:
    with pytest.raises(SourceRefused, match=r"retired \(UNSUPPORTED_API_VERSION\)") as caught:
        poll(connect(stand_in, api_version="30.0"), stream(), {})
    assert "api_version" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("15000", 15000),
        ("15000.0", 15000),
        ("950000000.0", 950_000_000),
        ("1.5E+3", 1500),
        ("12345678901234.12", 12345678901234.12),
        ("123456789012345678.0", 123456789012345678),
        ("0.1", 0.1),
        ("-0.0", 0),
    ],
)
def test_a_number_is_the_same_however_it_is_written(text: str, value: float) -> None:
    made = number(text)
    assert (made, type(made)) == (value, type(value))


@pytest.mark.parametrize("text", ["1e999", "nonsense"])
def test_what_no_number_can_hold_is_no_answer(text: str) -> None:
    with pytest.raises(ValueError, match="number"):
        number(text)
