"""Checks single values of the configuration file; raises ValueError in plain words. What was computed from one is
kept with it."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, TypeVar, cast
from urllib.parse import SplitResult, urlsplit

LABEL_LENGTH = 64
"""The API's limit on a label, in UTF-16 units as the server counts them."""
BATCH_CHARACTERS = 22
"""Characters that a label reserves for a batch's number."""

_WEEKDAY_NUMBER = re.compile(r"(?<![/\d])\d")
_HOST_PART = re.compile(r"[A-Za-z0-9_-]{1,63}")
_NOT_A_URL = 'must be an address such as "https://app.closingdealz.io"'
_INT64 = 2**63


def check_expression(value: Any) -> Any:
    """Check one expression of a mapping: text, or a number or boolean that stands for itself."""
    if not isinstance(value, str | bool | int | float):
        raise ValueError('must be an expression in quotes, such as "name", or a number, true or false')
    return _finite(value)


def check_expressions(value: Any) -> Any:
    """Check an expression, or a list of them."""
    if not isinstance(value, list):
        if not isinstance(value, str | bool | int | float):
            raise ValueError('must be an expression in quotes, such as "[email]", or a list of expressions')
        return _finite(value)
    return [check_expression(item) for item in value]


def check_constant(value: Any) -> Any:
    """Check a value of a look-up table."""
    if not isinstance(value, str | bool | int | float):
        raise ValueError("must be text in quotes, a number, true or false")
    return _finite(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be a finite number")
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        raise ValueError("must be a number of at most 64 bits")
    return value


def parse_start(value: Any) -> Any:
    """Return `"all"`, `"now"`, or the date, which may be quoted or not."""
    if value in ("all", "now") or (isinstance(value, date) and not isinstance(value, datetime)):
        return value
    try:
        if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise ValueError('must be "all", "now" or a date such as "2026-01-31"')


def check_label(value: str) -> str:
    """Check a label as it is sent."""
    if not value.strip() or not value.isprintable():
        raise ValueError("must be printable text and not empty")
    if len(value.encode("utf-16-le")) // 2 > LABEL_LENGTH:
        raise ValueError(f"must be at most {LABEL_LENGTH} characters long")
    return value


def check_label_template(value: str) -> str:
    """Check a label in which `{batch}` stands for the batch's number."""
    longest = value.replace("{batch}", "9" * BATCH_CHARACTERS)
    if "{" in longest or "}" in longest:
        raise ValueError("may hold no braces except in the placeholder {batch}")
    try:
        check_label(longest)
    except ValueError as error:
        room = (
            f", with the {BATCH_CHARACTERS} characters of a batch in the place of {{batch}}" if longest != value else ""
        )
        raise ValueError(f"{error}{room}") from None
    return value


def check_cron(value: str) -> str:
    """Check five cron fields: weekdays are names, and the time exists."""
    from apscheduler.triggers.cron import CronTrigger

    fields = value.split()
    if len(fields) != 5:
        raise ValueError(
            f'must be five fields (minute, hour, day, month, weekday) such as "*/5 6-20 * * mon-fri", not {len(fields)}'
        )
    # APScheduler counts from Monday = 0, cron from Sunday = 0.
    if _WEEKDAY_NUMBER.search(fields[4]):
        raise ValueError("must name weekdays (mon, tue, …, sun): their numbers do not mean the same everywhere")
    try:
        trigger = CronTrigger.from_crontab(value, timezone=UTC)
    except ValueError as error:
        raise ValueError(f"is not a cron expression: {error}") from error
    if trigger.get_next_fire_time(None, datetime.now(UTC)) is None:
        raise ValueError("names a time that never comes")
    return value


def check_base_url(value: str) -> str:
    """Return the address of a ClosingDealz server as `scheme://host[:port]`. No message shows it: it may hold a
    password."""
    url, port = _split_url(value)
    if url.scheme not in ("https", "http") or not _is_host(url.hostname or ""):
        raise ValueError(_NOT_A_URL)
    if url.username is not None or url.password is not None:
        raise ValueError("must hold no user or password: the API key is the only credential")
    if url.path not in ("", "/") or "?" in value or "#" in value:
        raise ValueError("must end after the host and port: the program adds the API's path")
    if port == 0:
        raise ValueError("must name a port from 1 to 65535")
    if url.scheme == "http" and not is_loopback(url.hostname or ""):
        raise ValueError("must be https: plain http is allowed only to this machine (127.0.0.1, ::1, localhost)")
    # One spelling for one server: a digest of the address tells whether it was changed.
    return f"{url.scheme}://{url.netloc.lower().rstrip(':')}"


def check_listen(value: str) -> str:
    """Check an address of this machine as `host:port`, with a port above 0. It must be loopback: no password protects
    it."""
    host, _, port = value.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not port.isdecimal() or not port.isascii() or not 0 < int(port) < 65536 or not host:
        raise ValueError('must be an address and a port such as "127.0.0.1:9464"')
    if not is_loopback(host):
        raise ValueError(
            "must be on this machine (127.0.0.1, ::1, localhost): to reach it from elsewhere, put a proxy "
            "with a login in front of it"
        )
    return value


def is_loopback(host: str) -> bool:
    """Return whether a name or address never leaves this machine."""
    return host.lower() == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_host(host: str) -> bool:
    parts = host.removesuffix(".").split(".")
    return all(_HOST_PART.fullmatch(part) for part in parts) or _is_address(host)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _split_url(value: str) -> tuple[SplitResult, int | None]:
    if not value.isascii() or not value.isprintable() or " " in value or "\\" in value:
        raise ValueError(_NOT_A_URL)
    try:
        url = urlsplit(value)
        return url, url.port
    except ValueError:
        raise ValueError(
            'must be an address such as "https://app.closingdealz.io", with a port from 1 to 65535'
        ) from None


# ---- computed values


InputsT = TypeVar("InputsT")
ComputedT = TypeVar("ComputedT")


class Memo:
    """Computed values by key, each with the inputs that it was computed from. May be used from several threads.

    All memos are equal: what was computed from an object is no part of what the object says.
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[object, object]] = {}

    def get(self, key: str, inputs: InputsT, compute: Callable[[InputsT], ComputedT]) -> ComputedT:
        """Return the value kept under `key` if it was computed from equal inputs, or compute and keep it."""
        kept = self._kept.get(key)
        if kept is None or kept[0] != inputs:
            # two threads may compute the same value at once; either is right, and assignment is atomic
            kept = self._kept[key] = (inputs, compute(inputs))
        return cast("ComputedT", kept[1])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Memo)

    def __hash__(self) -> int:
        return hash(Memo)
