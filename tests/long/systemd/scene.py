"""The scene that the parts of the proof share."""

from __future__ import annotations

from dataclasses import dataclass

from tests.long.systemd.box import Box
from tests.long.systemd.checks import Checks
from tests.long.systemd.service import Service, Wheels


@dataclass(frozen=True, slots=True)
class Scene:
    """A box, two versions of the program as wheels, and the service in it."""

    box: Box
    wheels: Wheels
    newer: Wheels
    checks: Checks
    service: Service
