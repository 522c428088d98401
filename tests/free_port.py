"""A port on which nothing listens yet."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Return a port of loopback that was free just now; somebody else may take it."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])
