"""Promises about installing, upgrading and removing the service, of its instances and of its secrets."""

from __future__ import annotations

import json
import re
import time

from sync import __version__
from tests.long.systemd.box import until
from tests.long.systemd.scene import Scene
from tests.long.systemd.service import CONFIG, NAME, PASSWORD, POSTGRESQL, SECRET, UNIT
from tests.old_ledgers import names as migrations
from tests.old_ledgers import to_first_schema
from tests.proof.harness import ROOT

EXPOSURE = 1.1


def installs(scene: Scene) -> None:
    ok, box, installer = scene.checks.ok, scene.box, scene.wheels.installer
    dry = box.run(*installer, "install", *scene.wheels.options, "--dry-run", check=False)
    ok(dry.returncode == 0 and not (box.root / "opt" / NAME).exists(), "a dry run changes nothing", dry.stdout)
    began = time.monotonic()
    first = box.run(*installer, "install", *scene.wheels.options, check=False, seconds=600)
    took = time.monotonic() - began
    ok(first.returncode == 0, "installs from a wheel", f"{took:.0f} s; {(first.stderr or first.stdout)[-200:]}")
    ok(
        "Next:" in first.stdout.splitlines()[-1],
        "its last line says what to do next",
        first.stdout.splitlines()[-1],
    )
    again = box.run(*installer, "install", *scene.wheels.options, check=False)
    ok(again.stdout.strip() == "Nothing had to be changed.", "once more changes nothing", again.stdout)
    for unit in (UNIT, f"{NAME}@acme.service"):
        said = box.run("systemd-analyze", "verify", unit, check=False)
        ok(said.returncode == 0 and not said.stderr, f"systemd-analyze verify {unit} is silent", said.stderr)
        score = box.out("systemd-analyze", "security", "--no-pager", unit).splitlines()[-1]
        found = float(re.findall(r": ([\d.]+) ", score)[0])
        ok(found <= EXPOSURE, f"exposure of {unit} at most {EXPOSURE}", found)
    page = box.run("man", "-w", NAME, check=False)
    ok(page.returncode == 0, "the man page is found", page.stdout)
    word = "source /usr/local/share/bash-completion/completions/closingdealz-sync; complete -p closingdealz-sync"
    ok(box.run("bash", "-c", word, check=False).returncode == 0, "the completion is one that bash takes")


def refuses_to_start_without_secrets(scene: Scene) -> None:
    ok, service = scene.checks.ok, scene.service
    service.systemctl("start", UNIT)
    time.sleep(3)
    found = [service.show(name) for name in ("ActiveState", "ExecMainStatus", "NRestarts")]
    ok(found == ["failed", "78", "0"], "without secrets: 78, failed, no restart", found)
    status = service.systemctl("status", "--no-pager", UNIT).stdout
    ok("closingdealz-api-key" in status, "systemctl status names what is missing", service.show("StatusText"))


def is_upgraded(scene: Scene) -> None:
    ok, box, service = scene.checks.ok, scene.box, scene.service
    config, old = service.config.read_bytes(), service.pid
    service.add_companies(*range(25_000, 25_050))
    until(lambda: service.arrived()["Added 25000"], "a lead of many", 60)
    before = service.settled()
    said = box.run(*scene.newer.installer, "install", *scene.newer.options, check=False, seconds=600)
    ok(said.returncode == 0, "an upgrade of the running service", (said.stderr or said.stdout)[-160:])
    version = service.events("started")[-1]["version"]
    ok(service.pid != old and f"-{version}-" in scene.newer.wheel, "restarts it into the new version", version)
    ok(service.config.read_bytes() == config, "the configuration is as it was")
    lost = before - service.settled()  # others join them meanwhile: there is work
    ok(before and not lost, "what was delivered or in doubt still is", f"{len(before)} records; lost: {lost}")
    until(lambda: all(service.arrived()[f"Added {n}"] for n in range(25_000, 25_050)), "the rest of them", 60)
    again = [n for n in range(25_000, 25_050) if service.arrived()[f"Added {n}"] != 1]
    ok(not again, "what was under way arrives, once", again)
    service.systemctl("stop", UNIT)
    ledger = service.state / "ledger.db"
    owner = ledger.stat()
    to_first_schema(ledger)
    for path in service.state.glob("ledger.db*"):
        path.chmod(0o600)
        scene.box.run("chown", "--reference=/var/lib/" + NAME, f"/var/lib/{NAME}/{path.name}")
    arrived = service.arrived()
    started = service.systemctl("start", UNIT)
    backup = service.state / f"ledger.db.before-{migrations()[1]}"
    ok(started.returncode == 0 and backup.exists(), "a ledger of an older version: backed up, migrated, READY")
    service.add_companies(30_001)
    until(lambda: service.arrived()["Added 30001"] == 1, "a lead after the migration", 60)
    arrived["Added 30001"] = 1
    same = {name: n for name, n in service.states().items() if name == "in_doubt"}
    ok(service.arrived() == arrived, "and nothing of before is sent again", same)
    ok(ledger.stat().st_uid == owner.st_uid, "the ledger is still the service's")
    service.write_config(CONFIG.replace('key = "id"', 'kee = "id"'))
    said = box.run(*scene.wheels.installer, "install", *scene.wheels.options, check=False)
    ok(said.returncode == 1 and service.is_up(), "no version takes over that cannot use the file", said.stderr)
    service.write_config(CONFIG + POSTGRESQL)


def runs_an_instance(scene: Scene) -> None:
    ok, box, service = scene.checks.ok, scene.box, scene.service
    place = box.root / "etc" / NAME / "acme"
    (place / "credentials").mkdir(parents=True, mode=0o700)
    (place / "credentials/closingdealz-api-key").write_text(SECRET + "\n")
    (place / "config.toml").write_text(CONFIG.replace("9464", "9465").replace('"all"', '"now"'))
    unit = f"{NAME}@acme.service"
    said = service.systemctl("enable", "--now", unit)
    ok(said.returncode == 0 and service.is_up(unit), "an instance runs beside it", service.show("StatusText", unit))
    shown = box.run(NAME, "@acme", "status", check=False)
    ok(f"/var/lib/{NAME}/acme/ledger.db" in shown.stdout, "with a ledger and a configuration of its own")
    until(lambda: service.get("/healthz", 9465)[0] == 200, "its health")
    ok(True, "and a port of its own")
    service.systemctl("disable", "--now", unit)


def takes_an_encrypted_secret(scene: Scene) -> None:
    ok, box, service = scene.checks.ok, scene.box, scene.service
    place = f"/etc/{NAME}/closingdealz-api-key.cred"
    plain = service.credentials / "closingdealz-api-key"
    box.run("systemd-creds", "encrypt", "--name=closingdealz-api-key", f"/etc/{NAME}/credentials/{plain.name}", place)
    plain.unlink()
    service.drop_in("encrypted", f"LoadCredentialEncrypted=closingdealz-api-key:{place}")
    said = service.systemctl("restart", UNIT)
    service.add_companies(40_000)
    until(lambda: service.arrived()["Added 40000"] == 1, "a lead with the decrypted key", 60)
    ok(said.returncode == 0, "a secret may be encrypted with the machine's key, as the example has it")
    example = box.root / "usr/local/share/doc" / NAME / "examples/encrypted-credentials.conf"
    ok(f"LoadCredentialEncrypted=closingdealz-api-key:{place}\n" in example.read_text(), "word for word")


def keeps_its_secrets(scene: Scene) -> None:
    ok, box, service = scene.checks.ok, scene.box, scene.service
    # all of the journal but the stand-in's own entries, whose command line names its key
    entries = map(json.loads, box.out("journalctl", "--no-pager", "--output=json", "--all").splitlines())
    said = "".join(json.dumps(each) for each in entries if "sandbox.service" not in str(each))
    said += box.out("systemctl", "show", UNIT) + box.out("cat", f"/proc/{service.pid}/environ")
    said += box.out("cat", f"/proc/{service.pid}/cmdline") + service.get("/metrics")[1] + service.get("/healthz")[1]
    found = [secret for secret in (SECRET, PASSWORD) if secret in said]
    ok(not found, "no secret in the journal, the unit, the environment, the command line or a metric", len(found))
    people = [name for name in ("Added 10001", "info@added10001") if name in said]
    ok(not people, "and no value of a record", people)
    recipe = f"journalctl -u {UNIT} -o cat | jq -R -c 'fromjson? | select(.event == \"started\")' | wc -l"
    ok(int(box.out("sh", "-c", recipe)) > 5, "the journal is read with jq")


def is_removed(scene: Scene) -> None:
    ok, box, service = scene.checks.ok, scene.box, scene.service
    installer = scene.newer.installer
    said = box.run(*installer, "uninstall", check=False)
    left = service.config.exists() and (service.state / "ledger.db").exists()
    ok(said.returncode == 0 and left, "uninstall leaves configuration and ledger", said.stdout.splitlines()[-1])
    gone = not (box.root / "opt" / NAME).exists() and service.show("LoadState") == "not-found"
    ok(gone, "and nothing of the program")
    said = box.run(*installer, "uninstall", "--purge", "--yes", check=False)
    gone = not service.config.parent.exists() and not service.state.exists()
    ok(said.returncode == 0 and gone, "--purge removes these too", said.stdout.splitlines()[-1])
    ok(box.run("id", NAME, check=False).returncode != 0, "and the user")


def makes_an_image(scene: Scene) -> None:
    """Make an image on a machine without the program: it holds all, at its final place."""
    ok, box = scene.checks.ok, scene.box
    image = "/srv/image"
    words = [*scene.wheels.installer, "install", *scene.wheels.options, "--extras", "", "--root", image]
    said = box.run(*words, check=False)
    ok(said.returncode == 0, "installs into an image", said.stderr)
    box.run("mkdir", "-p", f"/opt/{NAME}")
    mounted = f"mount --bind {image}/opt/{NAME} /opt/{NAME} && /opt/{NAME}/current/bin/{NAME} --version"
    said = box.run("unshare", "--mount", "sh", "-c", mounted, check=False)
    ok(said.returncode == 0 and "version" in said.stdout, "which can run", said.stdout + said.stderr)
    listed = box.out("cat", f"{image}/opt/{NAME}/current/packages.txt")
    ok("h11==" in listed and "psycopg" not in listed, "with a list of its packages", len(listed.split()))
    box.run("rm", "-r", f"/opt/{NAME}")


def is_installed_from_a_checkout(scene: Scene) -> None:
    ok, box = scene.checks.ok, scene.box
    words = ["python3", "-m", "sync.installation", "install", *scene.wheels.options]
    said = box.run("env", f"--chdir=/host/{ROOT.name}", *words, check=False, seconds=300)
    ok(said.returncode == 0 and "Next:" in said.stdout, "installs from a checkout", (said.stderr or said.stdout)[-200:])
    ok(__version__ in box.out(NAME, "--version"), "which then answers", box.out(NAME, "--version"))
    again = box.run("env", f"--chdir=/host/{ROOT.name}", *words, check=False, seconds=300)
    ok(again.stdout.rstrip().endswith("Nothing had to be changed."), "once more changes nothing", again.stdout[-200:])
