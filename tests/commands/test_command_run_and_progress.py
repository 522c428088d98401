"""`run` is the daemon, also for the commands beside it; `once` shows on a terminal what it does."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess

from rich.console import Console

from sync.config.schema import Workspace
from sync.engine.tally import Tally
from sync.views.round_report import RoundProgress, panel, seconds_left
from tests.commands.command_world import World


def test_the_daemon_delivers_beside_status_and_send_test_and_ends_in_order(world: World) -> None:
    world.companies(range(1, 4))
    process = world.start("run", stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["event"] == "batch":
            break
    assert world.json("status")["daemon"] == {"running": True, "pid": process.pid}
    assert world.run("once").exit_code == 75
    assert world.run("send-test", "--yes").exit_code == 0
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate()
    assert process.returncode == 0
    assert json.loads(out.splitlines()[-1])["event"] == "stopped"
    assert world.arrived()[:3] == ["Firm 1", "Firm 2", "Firm 3"]
    assert len(world.arrived()) == 4


def test_without_a_file_the_daemon_is_78(world: World) -> None:
    world.config.unlink()
    assert world.run("run").exit_code == 78


def test_on_a_terminal_a_panel_shows_and_goes_and_the_summary_stays(world: World) -> None:
    world.write_config("batch_size = 1")
    world.companies(range(1, 11))
    world.companies([30], name="x" * 300)
    world.sandbox.set_faults(latency="30ms-40ms")
    ours, theirs = os.openpty()
    process = world.start("once", stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # how a terminal ends whose program has left
        os.close(ours)
    out, _ = process.communicate()
    text = shown.decode()
    assert process.returncode == 65
    assert "closingdealz-sync once" in text
    assert "of 10 in" in text
    assert "unmappable" in text
    assert "batch=" not in text
    assert text.rstrip().endswith(("\x1b[2K", "\x1b[?25h"))
    assert "queued          10 = 10 sent + 0 pending" in out.decode()


def test_the_time_left_is_the_slowest_workspaces_at_its_limit() -> None:
    quick = Workspace.model_validate({"api_key": "a"})
    slow = Workspace.model_validate({"api_key": "b", "limit": {"requests": 10, "per": "60s"}, "batch_size": 10})
    assert round(quick.leads_per_second * 60) == 10_000
    assert round(slow.leads_per_second * 60) == 100
    assert round(seconds_left({"quick": 10_000, "slow": 50}, {"quick": quick, "slow": slow})) == 60
    assert round(seconds_left({"quick": 0, "slow": 50}, {"quick": quick, "slow": slow})) == 30


def test_the_panel_has_the_summarys_figures() -> None:
    totals = {**Tally(1240).snapshot(), "read": 1500, "new": 40, "sent": 300, "in_doubt": 7, "requests": 3}
    totals |= {"queued": 1240, "pending": 933}
    screen = io.StringIO()
    moment = RoundProgress(totals, seconds=75.0, in_flight=2, left=130.0, rests={"main": "plan"})
    Console(file=screen, width=80).print(panel(moment))
    text = screen.getvalue()
    assert max(len(line) for line in text.splitlines()) <= 76
    assert "1,500, 40 of them new" in text
    assert "300 of 1,240 in 3 requests, 2 on the way" in text
    assert "933, at least 2m10s at the allowed rate" in text
    assert "in doubt  7" in text
    assert "main (plan)" in text
    assert " 1m15s ─╯" in text
