"""The promises of the service, one part after the other: they build on one another in this order."""

from __future__ import annotations

from collections.abc import Callable

from tests.long.systemd import administration, life, places
from tests.long.systemd.scene import Scene

PARTS: list[Callable[[Scene], None]] = [
    administration.installs,
    administration.refuses_to_start_without_secrets,
    life.starts_hardened,
    life.serves_the_sample,
    life.answers_a_monitor,
    life.reloads,
    life.survives_kills,
    life.restarts_what_hangs,
    life.fails_once_for_a_bad_file,
    life.stops_within_a_slow_request,
    life.comes_back_after_a_reboot,
    administration.is_upgraded,
    places.writes_to_a_second_disk,
    places.says_what_systemd_cannot_begin,
    places.sees_what_the_service_sees,
    administration.runs_an_instance,
    places.hides_tenants_from_each_other,
    places.gives_a_tenant_a_user_of_its_own,
    administration.takes_an_encrypted_secret,
    administration.keeps_its_secrets,
    administration.is_removed,
    administration.makes_an_image,
    administration.is_installed_from_a_checkout,
]
