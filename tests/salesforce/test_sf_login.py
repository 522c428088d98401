"""Logging in: each flow, every way in which it is refused, and never more logins than needed."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from connectors.salesforce.connector import CONNECTOR, SalesforceConnector
from sync.shared.errors import ConfigError, SourceRefused, SourceUnavailable
from tests.salesforce.sf_faults import Fault
from tests.salesforce.sf_proxy import Proxy
from tests.salesforce.sf_server import StandIn
from tests.salesforce.sf_world import CREDENTIALS, account, log_in, poll, source, stream

PASSWORD = {
    "flow": "password",
    "username": "ann@example.com",
    "password": "the-password",
    "security_token": "the-token",
}


@pytest.fixture(scope="module")
def key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


def pem_of(key: RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def jwt_auth(stand_in: StandIn, key: RSAPrivateKey, **more: Any) -> dict[str, Any]:
    stand_in.public_key = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    made = {"flow": "jwt", "client_id": "the-client-id", "username": "ann@example.com", "private_key": pem_of(key)}
    return {**made, **more}


def test_client_credentials_log_in_at_my_domain(stand_in: StandIn, proxy: Proxy) -> None:
    poll(log_in(stand_in, proxy), stream(), {})
    assert [asked.path for asked in stand_in.logins] == ["/services/oauth2/token"]
    assert set(proxy.asked) == {"acme.my.salesforce.com:443"}


def test_a_signed_assertion_goes_to_the_domain_and_is_meant_for_it(
    stand_in: StandIn, proxy: Proxy, key: RSAPrivateKey
) -> None:
    poll(log_in(stand_in, proxy, auth=jwt_auth(stand_in, key)), stream(), {})
    assert set(proxy.asked) == {"acme.my.salesforce.com:443"}


@pytest.mark.parametrize("audience", ["login", "https://login.salesforce.com"])
def test_the_audience_may_be_another_than_the_host_that_gives_tokens(
    stand_in: StandIn, proxy: Proxy, key: RSAPrivateKey, audience: str
) -> None:
    stand_in.audiences = {"https://login.salesforce.com"}
    with pytest.raises(SourceRefused, match="audience is not accepted"):
        poll(log_in(stand_in, proxy, auth=jwt_auth(stand_in, key)), stream(), {})
    poll(log_in(stand_in, proxy, auth=jwt_auth(stand_in, key, audience=audience)), stream(), {})
    assert set(proxy.asked) == {"acme.my.salesforce.com:443"}


@pytest.mark.parametrize(("domain", "host"), [(None, "login"), ("test", "test"), ("acme--uat", "acme--uat.sandbox.my")])
def test_a_password_logs_in_by_soap(stand_in: StandIn, proxy: Proxy, domain: str | None, host: str) -> None:
    poll(log_in(stand_in, proxy, auth=PASSWORD, domain=domain), stream(), {})
    assert [asked.path for asked in stand_in.logins] == ["/services/Soap/u/64.0"]
    assert proxy.asked[0] == f"{host}.salesforce.com:443"


REFUSALS = [
    ("invalid_client", "invalid client credentials", "client_secret is wrong", "OAuth"),
    ("invalid_grant", "no client credentials user enabled", "no user to act", "Run As"),
    ("invalid_grant", "request not supported on this domain", "not accepted", "My Domain"),
    ("invalid_grant", "user hasn't approved this consumer", "pre-authorised", "Policies"),
    ("app_not_found", "…", "not known at that address", "audience"),
    ("invalid_app_access", "app must be installed into org", "not installed", "install"),
    ("unsupported_grant_type", "grant type not supported", "not enabled", "OAuth Flows"),
    ("invalid_grant", "ip restricted", "from this address", "IP Ranges"),
    ("login_rate_exceeded", "…", "logged in too often", "an hour"),
    ("invalid_grant", "authentication failure - Invalid Password", "is not accepted", "History"),
]


@pytest.mark.parametrize(("code", "description", "words", "cure"), REFUSALS)
def test_a_refused_login_says_what_to_fix_and_is_not_tried_at_once(
    stand_in: StandIn, proxy: Proxy, code: str, description: str, words: str, cure: str
) -> None:
    stand_in.login_fault = (400, {"error": code, "error_description": description})
    clock = [0.0]
    connector = log_in(stand_in, proxy, lambda: clock[0])
    for wait in (0, 1, 50, 60, 30):
        clock[0] += wait
        with pytest.raises(SourceRefused, match=words) as caught:
            poll(connector, stream(), {})
        assert cure in caught.value.hint
    assert len(stand_in.logins) == 2  # at 0 and at 111 s; then it rests for two minutes
    for secret in ("the-client-secret", "the-client-id"):
        assert secret not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "words"),
    [("INVALID_LOGIN", "locked"), ("INVALID_OPERATION", "switched off"), ("LOGIN_MUST_USE_SECURITY_TOKEN", "token")],
)
def test_a_refused_password_says_what_to_fix(stand_in: StandIn, proxy: Proxy, code: str, words: str) -> None:
    stand_in.login_fault = (500, f"<a xmlns:sf='urn:x'><sf:exceptionCode>{code}</sf:exceptionCode></a>")
    with pytest.raises(SourceRefused, match=words):
        poll(log_in(stand_in, proxy, auth=PASSWORD), stream(), {})


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (503, "<html>maintenance</html>"),
        (200, {"access_token": "x"}),
        (200, []),
        (200, {}),
        (200, "<html/>"),
        (500, ""),
    ],
)
@pytest.mark.parametrize("flow", ["client_credentials", "password"])
def test_a_page_instead_of_a_login_is_tried_again_later(
    stand_in: StandIn, proxy: Proxy, status: int, body: object, flow: str
) -> None:
    connector = log_in(stand_in, proxy, auth=PASSWORD if flow == "password" else CREDENTIALS)
    stand_in.login_fault = (status, body)
    with pytest.raises(SourceUnavailable):
        poll(connector, stream(), {})
    stand_in.login_fault = None
    poll(connector, stream(), {})


def test_a_session_that_ended_is_renewed_once_for_all_streams(stand_in: StandIn, proxy: Proxy) -> None:
    shared = log_in(stand_in, proxy)._account
    streams = [SalesforceConnector(shared) for _ in range(4)]
    for each in streams:
        poll(each, stream(), {})
    assert len(stand_in.logins) == 1
    stand_in.sessions.clear()
    threads = [threading.Thread(target=poll, args=(each, stream(), {})) for each in streams]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stand_in.logins) == 2


def test_after_a_refusal_no_other_stream_logs_in(stand_in: StandIn, proxy: Proxy) -> None:
    stand_in.sessions_are_good = False
    shared = log_in(stand_in, proxy)._account
    for _ in range(3):
        with pytest.raises(SourceRefused):
            poll(SalesforceConnector(shared), stream(), {})
    assert len(stand_in.logins) == 2


def test_sessions_that_end_at_once_are_no_reason_to_log_in_for_ever(stand_in: StandIn, proxy: Proxy) -> None:
    clock = [0.0]
    connector = log_in(stand_in, proxy, lambda: clock[0])
    poll(connector, stream(), {})
    stand_in.faults.append(Fault(401, [{"errorCode": "INVALID_SESSION_ID", "message": ""}]))
    poll(connector, stream(), {})
    stand_in.faults.append(Fault(401, [{"errorCode": "INVALID_SESSION_ID", "message": ""}]))
    with pytest.raises(SourceUnavailable, match="end within a minute"):
        poll(connector, stream(), {})
    assert len(stand_in.logins) == 2
    clock[0] += 61
    poll(connector, stream(), {})
    assert len(stand_in.logins) == 3


def test_after_a_renewal_the_new_host_is_asked(stand_in: StandIn, proxy: Proxy) -> None:
    """The library would go on asking the old one."""
    connector = log_in(stand_in, proxy)
    poll(connector, stream(), {})
    stand_in.instance, stand_in.sessions = "moved.my.salesforce.com", set()
    proxy.asked.clear()
    poll(connector, stream(), {})
    assert "moved.my.salesforce.com:443" in proxy.asked


def test_a_session_given_by_hand_is_not_renewed(stand_in: StandIn) -> None:
    connector = SalesforceConnector(account(stand_in))
    poll(connector, stream(), {})
    stand_in.sessions.clear()
    with pytest.raises(SourceRefused, match="the session has ended") as caught:
        poll(connector, stream(), {})
    assert "session_id" in caught.value.hint
    assert not stand_in.logins


def test_streams_of_one_configuration_share_a_session_and_another_reads_its_secrets_anew(
    stand_in: StandIn, tmp_path: Path
) -> None:
    secret = tmp_path / "session"
    secret.write_text("open-session\n")
    auth = {"flow": "session", "session_id": {"file": str(secret)}, "instance": stand_in.host}
    options = source(stand_in, auth=auth)
    one, other = (CONNECTOR.open("sf", options) for _ in range(2))
    assert isinstance(one, SalesforceConnector)
    assert isinstance(other, SalesforceConnector)
    assert one._account is other._account
    secret.write_text("another-session")
    poll_of_today = CONNECTOR.open("sf", source(stand_in, auth=auth))
    with pytest.raises(SourceRefused):
        list(poll_of_today.read(stream(), {}))
    stand_in.sessions.add("another-session")
    list(CONNECTOR.open("sf", source(stand_in, auth=auth)).read(stream(), {}))


def test_a_secret_that_cannot_be_had_is_a_problem_of_the_file(stand_in: StandIn, tmp_path: Path) -> None:
    auth = {**CREDENTIALS, "client_secret": {"file": str(tmp_path / "nowhere")}}
    with pytest.raises(ConfigError, match=r"sources\.sf\.auth\.client_secret"):
        CONNECTOR.open("sf", source(stand_in, auth=auth, domain="acme"))


@pytest.mark.parametrize("pem", ["no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"])
def test_a_private_key_that_is_none_is_a_problem_of_the_file(stand_in: StandIn, proxy: Proxy, pem: str) -> None:
    auth = {"flow": "jwt", "client_id": "x", "username": "ann@example.com", "private_key": pem}
    with pytest.raises(ConfigError, match="RSA private key") as caught:
        poll(log_in(stand_in, proxy, auth=auth), stream(), {})
    assert "AAAA" not in str(caught.value)


def test_identity_names_the_organisation_offline(stand_in: StandIn) -> None:
    def organisation(**options: Any) -> str:
        return SalesforceConnector(account(stand_in, **options)).identity(stream())["organisation"]

    assert organisation(auth=CREDENTIALS, domain="acme") == "acme.my.salesforce.com"
    assert organisation(auth=PASSWORD, domain="https://acme.my.salesforce.com/") == "acme.my.salesforce.com"
    at_test = organisation(auth=PASSWORD, domain="test")
    assert at_test.startswith("test.salesforce.com/")
    assert "ann" not in at_test
    assert at_test == organisation(auth={**PASSWORD, "username": "Ann@Example.com"}, domain="test.salesforce.com")
    assert at_test != organisation(auth={**PASSWORD, "username": "bob@example.com"}, domain="test")
    assert not stand_in.asked
