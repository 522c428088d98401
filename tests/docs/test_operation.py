"""What the pages and the examples say of operation: the questions to the log, the figures, the alerts."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from state.slots import Room
from sync.events import EVENTS, PARTS
from sync.service.ledger_monitor import Backlog, LedgerSnapshot
from sync.service.metrics import PREFIX, GaugeReadings, Metrics
from sync.service.service import Service
from sync.service.systemd import Notifier
from tests.docs.pages import ROOT, blocks, table

(ASKED,) = (block.text for block in blocks("sh") if block.mark == "questions")
QUESTIONS = re.findall(r"^# (.+)\n(.+)$", ASKED, re.MULTILINE)
LABELS = re.compile(r"\{[^}]*\}")


def families() -> dict[str, set[str]]:
    """Every metric of ours by its name as it is served, with its labels."""

    class Busy(Service):
        """With something of everything in its ledger."""

        def look(self) -> LedgerSnapshot:
            room = Room(0, 0, 100, 0.01, 0.0)
            waiting = {"main": Backlog(1, 1, room)}
            return LedgerSnapshot(0.0, waiting, {("a.b", "held"): 1}, {"a.b": 1}, {"a.b": 1}, {"a.b": 1}, 0, {}, 0)

    registry = CollectorRegistry()
    Metrics(registry)
    registry.register(GaugeReadings(Busy(Notifier())))
    found = {}
    for family in registry.collect():
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        found[family.name + suffix] = {*_label_names(registry, family.name)} or {
            label for sample in family.samples for label in sample.labels
        }
    return found


def _label_names(registry: CollectorRegistry, name: str) -> tuple[str, ...]:
    """Of a counter that has counted nothing yet there is no sample to ask."""
    collector = registry._names_to_collectors.get(name)
    return tuple(getattr(collector, "_labelnames", ()))


def test_every_figure_stands_there_with_its_labels() -> None:
    said = {
        PREFIX + "_" + row[0].strip("` "): set(re.findall(r"`(\w+)`", row[1])) for row in table("metrics", "metric")
    }
    real = families()
    assert said.keys() == real.keys()
    # what stands in the engine has no sample without one
    assert {name: labels for name, labels in said.items() if real[name]} == {k: v for k, v in real.items() if v}


def test_every_alert_goes_by_figures_that_there_are() -> None:
    text = (ROOT / "systemd/prometheus-alerts.yml").read_text(encoding="utf-8")
    expressions = re.findall(r"^ +expr: (.+)$", text, re.MULTILINE)
    assert len(expressions) == text.count("- alert:") >= 10
    used = {name for line in expressions for name in re.findall(rf"\b{PREFIX}_\w+", line)}
    assert used <= families().keys()
    labels = {label for line in expressions for part in LABELS.findall(line) for label in re.findall(r"(\w+)=", part)}
    assert labels <= {"job"} | set().union(*families().values()) | {"workspace", "why", "stream"}
    explained = {row[0].strip("`") for row in table("metrics", "alert")}
    assert explained <= set(re.findall(r"- alert: (\w+)", text))
    for event in re.findall(r'event=~"([^"]+)"', text):
        assert set(event.split("|")) <= EVENTS.keys()


def a_log() -> str:
    """Two lines of every event, with a value in each of their fields, and what is no JSON among them."""
    numbers = {"leads", "pending", "milliseconds", "room", "records", "read", "used", "limit", "pages", *PARTS}
    lines = ["Starting closingdealz-sync.service…"]
    for name, event in EVENTS.items():
        fields: dict[str, object] = {field: 3 if field in numbers else "4711" for field in event.fields}
        if "read" in fields:
            fields["read"] = 99
        if "streams" in fields:
            fields["streams"] = {"erp.companies": 3}
        if "verdict" in fields:
            fields["verdict"] = "created"
        line = {"timestamp": "2026-01-01T00:00:00Z", "level": event.level, "event": name, **fields}
        lines += [json.dumps(line), json.dumps(line), "Current thread 0x1 (most recent call first):"]
    return "\n".join(lines)


def test_there_are_at_least_ten_questions() -> None:
    assert len(QUESTIONS) >= 10
    for name in re.findall(r'\.event == "(\w+)"', ASKED):
        assert name in EVENTS, name


@pytest.mark.skipif(shutil.which("jq") is None, reason="there is no jq here")
@pytest.mark.parametrize(("question", "command"), QUESTIONS, ids=[question for question, _ in QUESTIONS])
def test_each_question_is_answered(question: str, command: str, tmp_path: Path) -> None:
    (tmp_path / "journal").write_text(a_log())
    definition = ASKED.splitlines()[0]
    asked = re.sub(r"journalctl .*? \|", f"cat {tmp_path}/journal |", definition)
    assert asked != definition
    done = subprocess.run(["bash", "-o", "pipefail", "-c", f"{asked}\n{command}"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() not in ("", "null", "[]", "{}")
    names = set(re.findall(r'\.event == "(\w+)"', command))
    if "jq -c 'select" in command and "|" not in command.split("'")[1]:
        assert {json.loads(line)["event"] for line in done.stdout.splitlines()} >= names
