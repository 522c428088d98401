"""Warnings about settings that are allowed and still deserve a second look."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel

from connectors.interface import Cautions
from sync.config.explain import place
from sync.config.schema import Config, LeadFields, Stream
from sync.config.value_types import is_loopback
from sync.shared.durations import format_duration
from sync.shared.errors import Problem
from sync.shared.secrets import SecretRef

_SECRET_OPTION = re.compile(r"pass|pwd|secret|token|odbc_connect", re.IGNORECASE)


def warnings_of(config: Config) -> tuple[Problem, ...]:
    """Return warnings, none of which stops the program. Reads the file's permissions and nothing else."""
    plain = [Problem(where, "is a secret in plain text", _CURE) for where in _plain_secrets(config)]
    return (*plain, *(_permissions(config) if plain else ()), *_risks(config))


_CURE = 'keep it elsewhere: { env = "NAME" }, { file = "PATH" } or { credential = "NAME" }'


def _permissions(config: Config) -> Iterator[Problem]:
    try:
        mode = config.path.stat().st_mode
    except OSError:
        return
    if mode & 0o044:
        what = f"holds a secret and can be read by other users (mode {mode & 0o777:04o})"
        yield Problem("file", what, f"chmod 600 {config.path}")


def _risks(config: Config) -> Iterator[Problem]:
    for name, workspace in config.workspaces.items():
        if workspace.on_unknown == "resend":
            what = "a batch whose outcome nobody knows is sent again: leads may be created twice"
            yield Problem(place("workspaces", name, "on_unknown"), what)
    for name, source in config.sources.items():
        if source.overlap < source.settle:
            what = f"is shorter than settle ({format_duration(source.settle)}): rows that commit late may be missed"
            yield Problem(place("sources", name, "overlap"), what, "they arrive by the sweep only")
        if isinstance(source.options, Cautions):
            for key, what, hint in source.options.cautions():
                yield Problem(place("sources", name, key), what, hint)
        for stream_name, stream in source.streams.items():
            here = ("sources", name, "streams", stream_name)
            for path in _replaced_names(stream):
                yield Problem(place(*here, *path), _REPLACES, _ADD)
            for what in _matches_nothing(stream):
                yield Problem(place(*here, "match_on"), what)


_REPLACES = "is the older form of `required`: it replaces the name, so leads without one may be sent"
_ADD = "write required = […]: it adds to the name; remove require"


def _replaced_names(stream: Stream) -> Iterator[tuple[int | str, ...]]:
    if stream.lead.require is not None:
        yield ("lead", "require")
    for index, contact in enumerate(stream.lead.contacts):
        if contact.require is not None:
            yield ("lead", "contacts", index, "require")


_MATCHED = {"email": ("emails",), "domain": ("emails", "socials"), "phone": ("phones",)}
"""From which fields the kinds of `match_on` are taken: of a lead, and but for domains of its nested contacts."""


def _matched_tables(stream: Stream, kind: str) -> Iterator[LeadFields]:
    """Yield the tables whose fields a kind of `match_on` compares: domains identify companies only, so no nested
    contacts."""
    yield stream.lead
    if kind != "domain":
        yield from stream.lead.contacts


def _matches_nothing(stream: Stream) -> Iterator[str]:
    for kind in stream.match_on:
        if kind == "domain" and stream.lead.kind == "contact":
            yield 'matches nothing by "domain": it says something of companies only'
        elif all(getattr(each, field) is None for each in _matched_tables(stream, kind) for field in _MATCHED[kind]):
            yield f'matches nothing by "{kind}": the lead has no {" or ".join(_MATCHED[kind])}'


def _plain_secrets(config: Config) -> Iterator[str]:
    for name, workspace in config.workspaces.items():
        # A key for this machine opens nothing but a sandbox.
        if workspace.api_key.is_plain and not is_loopback(urlsplit(workspace.base_url).hostname or ""):
            yield place("workspaces", name, "api_key")
    for name, source in config.sources.items():
        yield from _plain_in(source.options, ("sources", name))
        for stream_name, stream in source.streams.items():
            here = ("sources", name, "streams", stream_name)
            yield from _plain_in(stream.options, here)
            yield from _plain_in(stream.children, (*here, "children"))


def _plain_in(value: Any, path: tuple[int | str, ...]) -> Iterator[str]:
    if isinstance(value, SecretRef):
        if value.is_plain and _holds_secret(value.read().reveal()):
            yield place(*path)
        return
    if isinstance(value, BaseModel):
        items: Any = ((key, getattr(value, key)) for key in type(value).model_fields)
    else:
        items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _plain_in(inner, (*path, key))


def _holds_secret(text: str) -> bool:
    """Return False only for a URL with neither a password nor an option that may hold one."""
    try:
        url = urlsplit(text)
        return not url.scheme or url.password is not None or bool(_SECRET_OPTION.search(url.query))
    except ValueError:
        return True
