"""The requests session to Salesforce: a total deadline on every request, and the answers' headers observed.

simple-salesforce sets no time-out on logins and some other calls; the adapter sets it on all.
(docs/sources.md#simple-salesforce)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from urllib3.exceptions import MaxRetryError, NameResolutionError

from connectors.bounds import LONGEST_ANSWER, LONGEST_ERROR, AnswerBudget, BeyondBudget, Budgeted, TooLarge, joined
from connectors.exchange import Deadline
from connectors.salesforce.errors import Slow, unclear
from sync import __version__
from sync.shared.errors import SourceRefused, SourceUnavailable

USER_AGENT = f"closingdealz-sync/{__version__}"
Observe = Callable[[Mapping[str, str]], None]


class Http(requests.Session):
    """HTTPS with checked certificates. No redirects, no retries, no passwords from ~/.netrc. Not thread-safe.

    `ca_file` wins over certificates that the environment names.
    """

    def __init__(
        self,
        *,
        timeout: float,
        connect_timeout: float,
        observe: Observe,
        proxy: str | None = None,
        ca_file: str | None = None,
    ) -> None:
        super().__init__()
        # Else requests takes passwords from ~/.netrc, and certificates of the environment before ours.
        self.trust_env = False
        self._proxies = {"https": proxy} if proxy else None
        self._certificates = ca_file
        self.headers["User-Agent"] = USER_AGENT
        adapter = _Adapter(timeout, connect_timeout, observe)
        self.within = adapter.within
        self.mount("https://", adapter)
        # A redirected or misspelled address must never carry the session in the clear.
        self.mount("http://", _NoPlainHttp())

    def request(self, method: str, url: str | bytes, *args: Any, **options: Any) -> requests.Response:
        return super().request(method, url, *args, **{**options, "allow_redirects": False})

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> dict[str, Any]:
        del proxies, verify, cert
        named = (os.environ.get(name) for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"))
        return {
            "proxies": self._proxies or get_environ_proxies(url),
            "stream": stream,
            "verify": self._certificates or next(filter(None, named), True),
            "cert": None,
        }


class _NoPlainHttp(HTTPAdapter):
    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        raise requests.exceptions.InvalidSchema("only https", request=request)


class _Adapter(Budgeted, HTTPAdapter):
    """Ends a request `timeout` seconds after it began, however slowly the answer trickles in."""

    def __init__(self, timeout: float, connect_timeout: float, observe: Observe) -> None:
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._observe = observe
        self._deadline = Deadline()
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self._deadline.watch(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        self._deadline.watch(manager)
        return manager

    def send(  # noqa: PLR0917 - requests' own signature
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: dict[str, str] | None = None,
    ) -> requests.Response:
        del stream, timeout
        with self._deadline.of(self._timeout):
            try:
                response = super().send(
                    request,
                    # The body is read below, under the same deadline and with a limit of size.
                    stream=True,
                    timeout=(min(self._connect_timeout, self._timeout), self._timeout),
                    verify=verify,
                    cert=cert,
                    proxies=proxies,
                )
                _read(response, self.budget)
            except (requests.exceptions.RequestException, OSError):
                self._check(request)
                raise
            self._check(request)
        self._observe(response.headers)
        return response

    def _check(self, request: requests.PreparedRequest) -> None:
        # After the deadline the socket was shut: the error is only a consequence, and the time-out is what happened.
        if self._deadline.passed:
            raise requests.exceptions.ReadTimeout("the whole time-out is over", request=request)


class AnswerTooLarge(requests.exceptions.RequestException):
    """The answer is longer than any of Salesforce's."""


def _read(response: requests.Response, budget: AnswerBudget | None) -> None:
    """Read the body now, under the deadline. Raises AnswerTooLarge, or BeyondBudget if there is a budget; of an error
    with a long body only the status is kept."""
    is_error = response.status_code >= 400
    most = LONGEST_ANSWER if budget is None else min(budget.left, LONGEST_ANSWER)
    try:
        content = joined(response.iter_content(1 << 16), LONGEST_ERROR if is_error else most)
    except TooLarge:
        response.close()
        if not is_error:
            raise AnswerTooLarge(response=response) if budget is None else BeyondBudget from None
        content = b""
    if budget is not None and not is_error:
        budget.held += len(content)
    # As requests itself does it: `json` and `text` take it from there.
    response._content = content


def connection_error(
    error: requests.exceptions.RequestException | OSError, source: str, stream: str | None
) -> SourceUnavailable | SourceRefused:
    """Return the error for a request that got no answer. Its message holds no address, because that holds the query."""
    exceptions = requests.exceptions
    if not isinstance(error, exceptions.RequestException):
        # all that comes from sockets is wrapped: this is the file of certificates
        what, hint = "the certificates to trust cannot be read", "check ca_file, or $REQUESTS_CA_BUNDLE"
        return SourceRefused(what, hint=hint, source=source, stream=stream)
    if isinstance(error, AnswerTooLarge):
        what = f"an answer is longer than {LONGEST_ANSWER >> 20} MiB"
        hint = "fewer records are asked for at once; if it is of one record, map fewer fields"
        return Slow(what, hint=hint, source=source, stream=stream)
    if isinstance(error, exceptions.Timeout):
        what, hint = "Salesforce did not answer in time", "the poll is tried again; raise timeout if this happens often"
    elif isinstance(error, exceptions.ProxyError):
        what, hint = "the proxy does not let us through", "check proxy, and the proxy's own log"
    elif isinstance(error, exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        what = "the server's certificate is not accepted"
        hint = "behind an inspecting proxy set ca_file to its certificate; domain must be My Domain"
        return SourceRefused(what, hint=hint, source=source, stream=stream)
    elif isinstance(error, exceptions.JSONDecodeError):
        return unclear("it is not JSON", source, stream)
    elif isinstance(error, exceptions.InvalidSchema | exceptions.InvalidURL | exceptions.MissingSchema):
        return SourceRefused("the address cannot be used", hint="check domain and proxy", source=source, stream=stream)
    elif _is_unresolved(error):
        what, hint = "the name of Salesforce's host cannot be resolved", "check domain and the machine's DNS"
    else:
        what, hint = "the connection to Salesforce failed", "check domain and the network; the poll is tried again"
    return SourceUnavailable(what, hint=hint, source=source, stream=stream)


def _is_unresolved(error: requests.exceptions.RequestException) -> bool:
    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NameResolutionError)
