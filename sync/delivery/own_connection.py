"""A connection for one request: opened for it, closed after it, and kept by no pool."""

from __future__ import annotations

from collections.abc import Iterator

import httpcore
import httpx


class OwnConnections(httpx.BaseTransport):
    """The way to one server, a connection for each request. Several threads may use it at once.

    A pool would keep nothing here, so there is none: its bookkeeping costs as much as the request itself.
    """

    def __init__(self, url: httpx.URL) -> None:
        """Prepare connections to the host of this address. Raises OSError if the certificates of the environment cannot
        be used."""
        self._origin = httpcore.Origin(scheme=url.raw_scheme, host=url.raw_host, port=url.port or _PORTS[url.scheme])
        # it takes longer to read the certificates than to send a batch
        self._context = httpx.create_ssl_context() if url.scheme == "https" else None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request and return the head of its response; close that to close the connection.

        Raises httpcore's own exceptions, and TooLate and whatever else the hooks of the request raise.
        """
        connection = httpcore.HTTPConnection(self._origin, ssl_context=self._context)
        url = httpcore.URL(
            scheme=self._origin.scheme, host=self._origin.host, port=request.url.port, target=request.url.raw_path
        )
        # whatever fails from here on, httpcore closes the connection itself
        response = connection.handle_request(
            httpcore.Request(
                request.method,
                url,
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(response.status, headers=response.headers, stream=_AnswerStream(response, connection))


_PORTS = {"http": 80, "https": 443}


class _AnswerStream(httpx.SyncByteStream):
    """The body of a response; its end, whole or not, is that of the connection."""

    def __init__(self, response: httpcore.Response, connection: httpcore.HTTPConnection) -> None:
        self._response = response
        self._connection = connection

    def __iter__(self) -> Iterator[bytes]:
        yield from self._response.iter_stream()

    def close(self) -> None:
        self._response.close()
        self._connection.close()
