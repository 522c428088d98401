"""Promises about the running service: starts, reloads, kills, hangs, stops and a reboot."""

from __future__ import annotations

import json
import time

from sync.trial.demo.sample import write_sample
from tests.long.systemd.box import until
from tests.long.systemd.scene import Scene
from tests.long.systemd.service import CONFIG, NAME, PASSWORD, POSTGRESQL, SANDBOX_UNIT, SECRET, UNIT


def starts_hardened(scene: Scene) -> None:
    ok, box, service = scene.checks.ok, scene.box, scene.service
    (service.credentials / "closingdealz-api-key").write_text(SECRET + "\n")
    port = box.out("su", "postgres", "-c", "psql -At -c 'show port'")
    (service.credentials / "database-url").write_text(f"postgresql://reader:{PASSWORD}@127.0.0.1:{port}/crm\n")
    write_sample(service.source)
    service.write_config(CONFIG)
    (box.root / "etc/systemd/system/sandbox.service").write_text(SANDBOX_UNIT)
    box.run("systemctl", "enable", "--now", "sandbox.service")
    until(service.store.exists, "the stand-in")
    time.sleep(1)
    said = box.run(NAME, "check", check=False)
    ok(said.returncode == 0, "`check` as root runs as the service, with its secrets", said.stdout[-200:])
    shown = box.run(NAME, "preview", "-n", "1", check=False)
    ok(shown.returncode == 0 and "erp.companies" in shown.stdout, "so does `preview`")
    service.systemctl("reset-failed", UNIT)
    began = time.monotonic()
    started = service.systemctl("enable", "--now", UNIT)
    ok(started.returncode == 0 and service.is_up(), "starts and says READY", f"{time.monotonic() - began:.1f} s")
    said_of = dict(
        line.split(":", 1) for line in box.out("cat", f"/proc/{service.pid}/status").splitlines() if ":" in line
    )
    ok(said_of["Uid"].split()[0] != "0", "not as root", said_of["Uid"])
    bare = int(said_of["CapEff"], 16) == 0 and int(said_of["CapBnd"], 16) == 0
    ok(bare, "without any capability")
    filtered = (said_of["NoNewPrivs"].strip(), said_of["Seccomp"].strip()) == ("1", "2")
    ok(filtered, "with its system calls filtered")
    listed = box.run("setpriv", "--reuid=65534", "--clear-groups", "ls", f"/run/credentials/{UNIT}", check=False)
    ok(listed.returncode != 0, "its credentials are for nobody else")


def serves_the_sample(scene: Scene) -> None:
    ok, service = scene.checks.ok, scene.service
    wanted = service.wanted()
    until(lambda: service.arrived().total() >= wanted.total(), "the sample's leads", 60)
    amiss = (wanted - service.arrived()) + (service.arrived() - wanted)
    ok(not amiss, "every company of the sample is a lead, once", f"{wanted.total()} leads; amiss: {dict(amiss)}")
    until(lambda: f"{wanted.total()} sent since" in service.show("StatusText"), "a status line")
    ok(True, "STATUS is a live line", service.show("StatusText"))
    entries = [each for each in service.journal() if each.get("_TRANSPORT") == "stdout"]
    own = [each for each in entries if str(each["MESSAGE"]).startswith("{")]
    levels = {json.loads(str(each["MESSAGE"]))["level"]: each["PRIORITY"] for each in own}
    right = {"debug": "7", "info": "6", "warning": "4", "error": "3"}
    ok(levels and levels.items() <= right.items(), "each line has its level as priority", levels)
    loud = service.journal("--priority=warning")
    quiet = [each for each in loud if '"level":"info"' in str(each["MESSAGE"])]
    ok(loud and not quiet, "journalctl -p warning shows what it should", len(loud))


def answers_a_monitor(scene: Scene) -> None:
    ok, service = scene.checks.ok, scene.service
    status, text = service.get("/healthz")
    ok(status == 200 and json.loads(text)["flowing"], "/healthz: 200, live, ready, flowing", text)
    status, text = service.get("/metrics")
    ok(status == 200 and 'closingdealz_sync_records{state="delivered"' in text, "/metrics answers", len(text))
    ok("process_resident_memory_bytes" in text, "with the process's own figures, under the hardening")


def reloads(scene: Scene) -> None:
    ok, box, service = scene.checks.ok, scene.box, scene.service
    sql = (
        f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'; CREATE DATABASE crm OWNER postgres;"
        "\n\\c crm\nCREATE TABLE firms (id int PRIMARY KEY, name text, changed_at timestamptz);"
        "INSERT INTO firms SELECT n, 'Firm ' || n, now() - interval '1 hour' FROM generate_series(1, 25) n;"
        "GRANT SELECT ON firms TO reader;"
    )
    (box.root / "srv/crm.sql").write_text(sql)
    box.run("su", "postgres", "-c", "psql -q -v ON_ERROR_STOP=1 -f /srv/crm.sql")
    before = service.pid
    service.write_config(CONFIG + POSTGRESQL)
    said = service.systemctl("reload", UNIT)
    until(lambda: any(name.startswith("Firm ") for name in service.arrived()), "leads of the new stream")
    until(lambda: sum(n for name, n in service.arrived().items() if name.startswith("Firm ")) == 25, "all of them")
    ok(said.returncode == 0 and service.pid == before, "a reload takes up a new stream (PostgreSQL, by password)")
    until(service.is_up, "the end of the reload")
    service.write_config(CONFIG.replace('start = "all"', 'start = "yesterday"'))
    said = service.systemctl("reload", UNIT)
    ok(said.returncode != 0 and service.is_up() and service.pid == before, "a broken file fails the reload, not it")
    box.run("kill", "-HUP", str(before))
    until(lambda: service.events("config_refused"), "the refusal")
    loud = [each for each in service.journal("--priority=err") if "config_refused" in str(each["MESSAGE"])]
    ok(loud and service.pid == before, "a bare SIGHUP is refused too, and logged as an error")
    until(lambda: "refused" in service.show("StatusText"), "the status line")
    ok(service.is_up(), "STATUS says so", service.show("StatusText"))
    service.write_config(CONFIG + POSTGRESQL)
    ok(service.systemctl("reload", UNIT).returncode == 0, "and the mended one is taken")


def survives_kills(scene: Scene) -> None:
    ok, box, service = scene.checks.ok, scene.box, scene.service
    service.drop_in("fast", "RestartSec=200ms")
    service.sandbox_faults(latency="500ms-800ms")
    restarts = int(service.show("NRestarts"))
    for round_ in range(4):
        service.add_companies(*range(10_000 + 40 * round_, 10_040 + 40 * round_))
        until(lambda: service.query("SELECT 1 FROM batches WHERE state = 'sending'"), "a request on the wire")
        old = service.pid
        box.run("kill", "-KILL", str(old))
        service.wait_for_restart(old)
    ok(int(service.show("NRestarts")) == restarts + 4, "kill -9 in the middle of a request, four times: restarted")
    service.sandbox_faults(latency="0ms")
    settled = ("delivered", "filtered", "in_doubt")
    until(lambda: set(service.states()) <= set(settled), f"all settled, not {service.states()}", 60)
    arrived = service.arrived()
    twice = {name: n for name, n in arrived.items() if n > 1 and service.wanted()[name] < n}
    ok(not twice, "nothing was sent twice", twice)
    doubt = {row[0] for row in service.query("SELECT id FROM records WHERE state = 'in_doubt'")}
    lost = [n for n in range(10_000, 10_160) if f"Added {n}" not in arrived and str(n) not in doubt]
    ok(not lost, "nothing was lost", f"{len(doubt)} records in doubt")
    events = service.events("recovered")
    ok(len(events) >= 4, "each cut-off batch is told of", len(events))
    service.drop_in("fast")


def restarts_what_hangs(scene: Scene) -> None:
    ok, box, service = scene.checks.ok, scene.box, scene.service
    service.drop_in("fast", "RestartSec=200ms", "WatchdogSec=6")
    service.systemctl("restart", UNIT)
    until(lambda: box.run("pgrep", "-f", "reader crm", check=False).returncode == 0, "a session")
    old, restarts = service.pid, int(service.show("NRestarts"))
    session = box.out("pgrep", "-f", "reader crm").split()[0]
    box.run("kill", "-STOP", session)
    began = time.monotonic()
    until(lambda: service.pid not in (0, old), "the watchdog", 60)
    took = time.monotonic() - began
    box.run("kill", "-CONT", session)
    ok(
        int(service.show("NRestarts")) == restarts + 1,
        "a poll that hangs in its driver: restarted",
        f"{took:.0f} s",
    )
    stalled = service.events("stalled")
    ok(stalled and "crm.firms" in stalled[-1]["part"], "the reason is in the log", stalled[-1:])
    texts = [str(each["MESSAGE"]) for each in service.journal()]
    said = next((n for n, text in enumerate(texts) if "Watchdog timeout" in text), 0)
    reason = next((n for n, text in enumerate(texts) if '"event":"stalled"' in text), 10**9)
    ok(reason < said, "before systemd acts")
    ok(any("most recent call first" in text for text in texts), "and where each thread was")
    service.wait_for_restart(old)
    old = service.pid
    box.run("kill", "-STOP", str(old))
    service.wait_for_restart(old)
    ok(True, "a process that stands still altogether: restarted")
    service.drop_in("fast")
    service.systemctl("restart", UNIT)


def fails_once_for_a_bad_file(scene: Scene) -> None:
    ok, service = scene.checks.ok, scene.service
    service.write_config(CONFIG.replace('key = "id"', 'kee = "id"'))
    service.systemctl("restart", UNIT)
    time.sleep(12)  # longer than RestartSec=
    found = [service.show(name) for name in ("ActiveState", "ExecMainStatus", "NRestarts")]
    ok(found == ["failed", "78", "0"], "a bad configuration: 78, failed, no restart", found)
    status = service.systemctl("status", "--no-pager", "--lines=20", UNIT).stdout
    ok(
        "kee" in status and "unknown key" in status,
        "systemctl status says what is wrong",
        service.show("StatusText"),
    )
    service.write_config(CONFIG + POSTGRESQL)
    service.systemctl("reset-failed", UNIT)
    ok(service.systemctl("start", UNIT).returncode == 0, "mended, it starts again")


def stops_within_a_slow_request(scene: Scene) -> None:
    ok, service = scene.checks.ok, scene.service
    for limit, number in (("90", 20_000), ("2", 20_001)):
        service.drop_in("stop", f"TimeoutStopSec={limit}")
        service.systemctl("restart", UNIT)
        service.sandbox_faults(latency="3s")
        service.add_companies(number)
        until(lambda: service.query("SELECT 1 FROM batches WHERE state = 'sending'"), "a request on the wire")
        began = time.monotonic()
        service.systemctl("stop", UNIT)
        took = time.monotonic() - began
        found = [service.show(name) for name in ("Result", "ExecMainStatus")]
        ok(
            found == ["success", "0"] and took > 2,
            f"a stop waits for the answer (limit {limit} s)",
            f"{took:.1f} s",
        )
        state = service.query(f"SELECT state FROM records WHERE id = '{number}'")
        ok(state == [("delivered",)], "its verdict is kept", state)
        service.sandbox_faults(latency="0ms")
    service.drop_in("stop")
    service.systemctl("start", UNIT)


def comes_back_after_a_reboot(scene: Scene) -> None:
    ok, box, service = scene.checks.ok, scene.box, scene.service
    took = box.reboot()
    until(service.is_up, "the service", 60)
    service.add_companies(30_000)
    until(lambda: service.arrived()["Added 30000"] == 1, "a lead after the reboot", 60)
    ok(True, "after a reboot it runs and goes on", f"{took:.1f} s")
