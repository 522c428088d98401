"""The connectors by name. Each is imported only when a source needs it."""

from __future__ import annotations

from importlib import import_module
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from typing import TYPE_CHECKING, cast

from sync.shared.errors import ConfigError, Problem

if TYPE_CHECKING:  # the interface needs pydantic, which naming the connectors does not
    from connectors.interface import ConnectorType

CONNECTORS: dict[str, str] = {
    "hubspot": "connectors.hubspot.connector",
    "salesforce": "connectors.salesforce.connector",
    "sql": "connectors.sql.connector",
}
"""The name in the configuration, and the module that offers the connector as `CONNECTOR`."""

PACKAGES: dict[str, str] = {"hubspot": "hubspot"}
"""Connectors with an optional dependency, and the module by which it is detected; the extra of the connector's name
installs it."""


def connector_type(name: str) -> ConnectorType:
    """Return the connector of that name. Raises ConfigError, placed at `connector`, where this version has none or its
    packages are not installed."""
    module = CONNECTORS.get(name)
    if module is None:
        known = ", ".join(sorted(CONNECTORS))
        raise ConfigError([Problem("connector", f'"{name[:40]}" is no connector', f"this version has: {known}")])
    if name in PACKAGES and find_spec(PACKAGES[name]) is None:
        raise ConfigError([Problem("connector", f"the packages for {name!r} are not installed", how_to_install(name))])
    return cast("ConnectorType", import_module(module).CONNECTOR)


def how_to_install(extra: str) -> str:
    """Return how to get the packages of an extra. The program is on no index, so pip does not find it by its name."""
    return (
        f"install the program again with the extra {extra!r} beside those that you have: pipx install --force"
        f" '.[{extra}]' in a clone; for the service, --extras of its installation"
    )


def starter_file(name: str) -> Traversable:
    """Return the configuration file that `init` writes for the connector of that name; it need not exist."""
    return files(CONNECTORS[name].rpartition(".")[0]) / "starter.toml"
