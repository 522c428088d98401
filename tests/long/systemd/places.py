"""Promises about the places that the service writes to and sees."""

from __future__ import annotations

from tests.long.systemd.box import until
from tests.long.systemd.scene import Scene
from tests.long.systemd.service import CONFIG, NAME, POSTGRESQL, SECRET, UNIT

DISK = "/mnt/other"
ON_DISK = f'path = "ledger.db"\nreceipts_copy = "{DISK}/receipts"\nbackups_to = "{DISK}/copies"\n'


def writes_to_a_second_disk(scene: Scene) -> None:
    ok, box, service = scene.checks.ok, scene.box, scene.service
    box.run("mkdir", "-p", DISK)
    box.run("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", DISK)
    plain = CONFIG + POSTGRESQL
    service.write_config(plain.replace('path = "ledger.db"\n', ON_DISK))
    said = box.run(NAME, "check", check=False)
    named = f"`sudo {NAME} paths`"
    ok(said.returncode == 74 and said.stdout.count(named) == 2, "`check` sees what the unit forbids", said.stdout)
    started = service.systemctl("restart", UNIT)
    text = service.show("StatusText")
    ok(started.returncode != 0 and not service.is_up(), "the service is not ready with it", started.stderr)
    ok(f"{DISK}/receipts cannot be" in text or "receipts" in text, "systemctl status says why", text)
    hints = [each.get("hint", "") for each in service.events("gave_up")]
    ok(named in hints[-1], "the log names the command", hints[-1])
    service.systemctl("stop", UNIT)  # it would be restarted as soon as it may write
    allowed = box.run(NAME, "paths", check=False)
    ok(allowed.returncode == 0, "`paths` allows it", allowed.stdout + allowed.stderr)
    said = box.run(NAME, "check", check=False)
    ok(
        said.returncode == 0 and f"{DISK}/receipts can be written" in said.stdout,
        "then `check` is content",
        said.stdout,
    )
    left = box.out("find", DISK, "-type", "f")
    ok(not left, "and leaves nothing there", left)
    started = service.systemctl("restart", UNIT)
    ok(started.returncode == 0 and service.is_up(), "and the service starts", service.show("StatusText"))
    service.add_companies(31_000)
    until(lambda: service.arrived()["Added 31000"] == 1, "a lead with receipts on the second disk", 60)
    one = box.out("tail", "-n", "1", f"/var/lib/{NAME}/ledger.db.receipts")
    until(lambda: box.out("tail", "-n", "1", f"{DISK}/receipts/ledger.db.receipts") == one, "the same receipt there")
    ok(box.out("stat", "-c", "%U %a", f"{DISK}/receipts") == f"{NAME} 700", "in a folder of its own", one)
    ok("may write everywhere it needs to" in box.out(NAME, "paths"), "once more changes nothing")
    box.run("mount", "-o", "remount,ro", DISK)
    said = box.run(NAME, "check", check=False)
    ok(said.returncode == 74 and "the disk is read-only" in said.stdout, "a disk that went read-only", said.stdout)
    box.run("mount", "-o", "remount,rw", DISK)
    service.systemctl("stop", UNIT)
    box.run("umount", DISK)
    service.systemctl("start", UNIT)
    found = [service.show(name) for name in ("ActiveState", "ExecMainStatus", "NRestarts")]
    text = service.show("StatusText")
    ok(found[:2] == ["failed", "78"] and "are gone" in text, "a disk that is not mounted: 78, and said", text)
    service.write_config(plain)
    ok("remove" in box.out(NAME, "paths"), "without it, `paths` takes the drop-in away")
    service.systemctl("reset-failed", UNIT)
    started = service.systemctl("start", UNIT)
    ok(started.returncode == 0, "and it goes on as before", started.stderr)


def says_what_systemd_cannot_begin(scene: Scene) -> None:
    ok, box, service = scene.checks.ok, scene.box, scene.service
    for name, settings, said in (
        ("program", ("ExecStart=", "ExecStart=/usr/bin/absent"), "203/EXEC"),
        ("folder", ("ReadWritePaths=/mnt/absent",), "226/NAMESPACE"),
    ):
        service.drop_in(name, *settings)
        service.systemctl("restart", UNIT)
        told = box.run(NAME, "status", "--exit-code", check=False)
        ok(said in told.stderr and told.returncode != 0, f"a service that cannot begin: {said}", told.stderr)
        if name == "program":  # the other one keeps this command from beginning too
            ok(said in told.stdout and told.returncode == 65, "which needs a person", told.stdout)
        service.drop_in(name)
    service.systemctl("restart", UNIT)
    told = box.run(NAME, "status", "--exit-code", check=False)
    ok("systemd" not in told.stderr + told.stdout, "until it has begun again", told.stdout)


def sees_what_the_service_sees(scene: Scene) -> None:
    ok, box, service = scene.checks.ok, scene.box, scene.service
    box.run("install", "-m", "0644", "-D", "/srv/sample.db", "/home/crm/sample.db")
    box.run("chmod", "755", "/home/crm")
    plain = service.config.read_text()
    service.write_config(plain.replace("/srv/sample.db", "/home/crm/sample.db"))
    said = box.run(NAME, "check", check=False)
    told = "the SQLite file cannot be opened" in said.stdout and "ProtectHome=read-only" in said.stdout
    ok(told, "a source below /home is refused by `check` as by the service, with its cure", said.stdout)
    service.drop_in("home", "ProtectHome=read-only")
    said = box.run(NAME, "check", "--json", check=False)
    seen = "cannot be opened" not in said.stdout  # that it is another file than before is refused all the same
    ok(seen and "newest" in said.stdout, "which helps", said.stdout)
    service.drop_in("home")
    service.write_config(plain)
    copy = "/var/tmp/copies/ledger.db"
    box.run("install", "-d", "-o", NAME, "/var/tmp/copies")
    said = box.run(NAME, "ledger", "backup", copy, check=False)
    ok(said.returncode == 0 and box.out("ls", copy) == copy, "a copy goes where the administrator says", said.stderr)


def hides_tenants_from_each_other(scene: Scene) -> None:
    ok, box, service = scene.checks.ok, scene.box, scene.service
    for number, tenant in enumerate(("north", "south")):
        place = box.root / "etc" / NAME / tenant
        (place / "credentials").mkdir(parents=True, mode=0o700)
        (place / "credentials/closingdealz-api-key").write_text(f"{SECRET}-{tenant}\n")
        port = f"{9470 + number}"
        (place / "config.toml").write_text(CONFIG.replace("9464", port).replace('"all"', '"now"'))
    units = {tenant: f"{NAME}@{tenant}.service" for tenant in ("north", "south")}
    for unit in units.values():
        said = service.systemctl("start", unit)
        ok(said.returncode == 0 and service.is_up(unit), f"{unit} runs", said.stderr)
    for tenant, unit in units.items():
        other = next(each for each in units if each != tenant)
        inside = ["nsenter", f"--target={service.show('MainPID', unit)}", "--mount", "--"]
        listed = box.out(*inside, "ls", "-A", f"/var/lib/{NAME}").split()
        ok(listed == [tenant], "sees the folder of its own ledger alone", listed)
        ok("ledger.db.key" in box.out(*inside, "ls", "-A", f"/var/lib/{NAME}/{tenant}"), "which is whole")
        command = ["/opt/closingdealz-sync/current/bin/python", "-I", "-m", "sync.installation.as_service", unit]
        reads = f"cat /var/lib/{NAME}/{other}/ledger.db.key /run/credentials/{units[other]}/*"
        peeks = f"cat /proc/{service.show('MainPID', units[other])}/root/var/lib/{NAME}/{other}/ledger.db.key"
        own = f"cat /var/lib/{NAME}/{tenant}/ledger.db.key"
        for words, may in ((reads, False), (peeks, False), (own, True)):
            said = box.run(*command, "/bin/sh", "-c", words, check=False)
            ok(bool(said.stdout) == may, f"as {tenant}: {words}", said.stderr)
    for unit in units.values():
        service.systemctl("stop", unit)
    said = box.run(NAME, "@north", "status", check=False)
    ok(f"/var/lib/{NAME}/north/ledger.db" in said.stdout, "commands are for one of them", said.stderr)


def gives_a_tenant_a_user_of_its_own(scene: Scene) -> None:
    """Give a tenant a user of its own, as the example does; its ledger moves along."""
    ok, box, service = scene.checks.ok, scene.box, scene.service
    unit, user = f"{NAME}@north.service", f"{NAME}-north"
    example = (box.root / "usr/local/share/doc" / NAME / "examples/own-user.conf").read_text().replace("acme", "north")
    for line in example.splitlines():
        if line.startswith("#   "):
            box.run(*line[1:].split())
    folder = box.root / "etc/systemd/system" / f"{unit}.d"
    folder.mkdir(parents=True)
    (folder / "own-user.conf").write_text(example)
    box.run("systemctl", "daemon-reload")
    said = service.systemctl("start", unit)
    ok(said.returncode == 0 and service.is_up(unit), "an instance with a user of its own", said.stderr)
    owner = box.out("stat", "-c", "%U", f"/var/lib/{NAME}/north/ledger.db", f"/proc/{service.show('MainPID', unit)}")
    ok(owner.split() == [user, user], "has the ledger that it had", owner)
    said = box.run(NAME, "@north", "check", check=False)
    ok(said.returncode == 0, "and so have its commands", said.stdout)
    service.systemctl("stop", unit)
