"""An example on a real database, rounds of the program over it, and the leads that the database itself answers."""

from __future__ import annotations

import io
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sync import log
from sync.config.load import load_config
from sync.engine.ledger_opening import open_ledger
from sync.engine.round import Round, Summary
from sync.shared.clock import SystemClock
from sync.trial.sandbox import reports
from sync.trial.sandbox.running import RunningSandbox
from tests.connectors.sql_servers import Server
from tests.proof.meaning_columns import Column, path, quoted
from tests.proof.meaning_scenario import (
    ODD_DATES,
    ODD_EMAILS,
    ODD_TEXTS,
    PARENTS,
    WAYS,
    Row,
    Scenario,
    key_of,
    tenant_of,
)

TABLE, VIEW, PARENT = "firms", "firms_view", "groups"
MOST_PAGES = 400
"""More than any round needs: a poll that reads a page for ever is ended."""
TWO_DAYS = 2 * 86_400.0
AGO = 120
"""Changes are dated so many seconds ago: room for each column's own precision, and well within `overlap`."""

Lead = Any
"""A lead as both sides write it: nested tuples that compare."""


@dataclass(frozen=True, slots=True)
class Ahead(SystemClock):
    """The ledger's clock, so far ahead that a sweep is due."""

    seconds: float = 0.0

    def wall(self) -> float:
        return time.time() + self.seconds


class Example:
    """One scenario made real. `mark` tells its leads from those of other examples in the same sandbox."""

    def __init__(self, server: Server, sandbox: RunningSandbox, folder: Path, scenario: Scenario, mark: str) -> None:
        self._server = server
        self._sandbox = sandbox
        self._folder = folder
        self._scenario = scenario
        self._mark = mark
        self._create()
        self._configure()

    # ---- the source

    def _q(self, name: str) -> str:
        return quoted(name, self._server.backend)

    def _create(self) -> None:
        scenario, run = self._scenario, self._server.run
        cascade = " cascade" if scenario.backend == "postgresql" else ""
        run(f"drop view if exists {VIEW}")
        for table in (TABLE, PARENT):
            run(f"drop table if exists {self._q(table)}{cascade}")
        key, cursor = scenario.key.types[scenario.backend], scenario.cursor_type
        own = "".join(f", {self._q(column.name)} {column.sql_type}" for column in scenario.columns)
        keys, primary = f"tenant int, k {key}", f"primary key ({'tenant, k' if scenario.composite else 'k'})"
        run(f"create table {self._q(PARENT)} ({keys}, tag int, u {cursor}, {primary})")
        run(
            f"create table {TABLE} ({keys}, tag int, u {cursor}, parent_tenant int, parent {key},"
            f" odd varchar(40), odd_date varchar(40), odd_mail varchar(40){own}, {primary})"
        )
        run(f"create view {VIEW} as select * from {TABLE}")
        for n in range(PARENTS):
            values = f"{tenant_of(n)}, {key_of(scenario, n)}, {n}, {scenario.rows[0].moment}"
            run(f"insert into {self._q(PARENT)} values ({values})")
        for row in scenario.rows:
            self._insert(row, row.moment)

    def _insert(self, row: Row, moment: str | None) -> None:
        parent = key_of(self._scenario, row.parent, row.parent_spelling)
        own = [str(tenant_of(row.tag)), key_of(self._scenario, row.tag), str(row.tag), moment]
        values = [*own, str(tenant_of(row.parent)), parent, *row.texts, *row.cells]
        self._server.run(f"insert into {TABLE} values ({', '.join('null' if v is None else v for v in values)})")

    def change(self) -> None:
        """What the scenario has happen between the first poll and the second."""
        scenario = self._scenario
        count = 0
        for change in scenario.changes:
            sets = [] if change.spelling is None else [f"k = {key_of(scenario, change.tag, change.spelling)}"]
            if change.touched:
                count += 1
                sets.append(f"u = {self._later(count)}")
            for column, cell in zip(scenario.columns, change.cells or (), strict=False):
                sets.append(f"{self._q(column.name)} = {cell or 'null'}")
            if sets:
                self._server.run(f"update {TABLE} set {', '.join(sets)} where tag = {change.tag}")
        for row in scenario.later:
            count += 1
            self._insert(row, self._later(count))

    def _later(self, count: int) -> str:
        """What the cursor column of the count-th change holds: more than all before."""
        scenario = self._scenario
        if scenario.cursor.modified_as == "sequence":
            return scenario.cursor.literal(scenario.next + count * scenario.step)
        return scenario.cursor.literal(int((time.time() - AGO + count) * 1_000_000))

    # ---- the program

    def _configure(self) -> None:
        scenario = self._scenario
        streams = "".join(self._stream(way, scenario.conditions[WAYS.index(way)]) for way in WAYS)
        text = f"""
[workspaces.main]
api_key = "sandbox-key"
base_url = "{self._sandbox.url}"
linger = "0s"
limit = {{ requests = 100000, per = "60s" }}
[ledger]
path = "ledger.db"
backups = 0
[sources.s]
connector = "sql"
url = {json.dumps(self._server.url)}
settle = "0s"
page_size = {scenario.page_size}
{streams}"""
        self.config = self._folder / "config.toml"
        self.config.write_text(text, encoding="utf-8")
        self.config.chmod(0o600)

    def _stream(self, way: str, condition: Any) -> str:
        scenario = self._scenario
        where = "" if condition is None else f", where = {_toml(condition.expression)}"
        name = _toml(f"join(':', ['{self._mark}{way}', to_string(tag)])")
        values = ", ".join(_toml(_piece(n, column)) for n, column in enumerate(scenario.columns))
        odd = 'employee_count = "odd", date = "odd_date", emails = "[odd_mail]"'
        as_ = "" if scenario.cursor.modified_as is None else f'modified_as = "{scenario.cursor.modified_as}"'
        key, parent = ('["tenant", "k"]', '["parent_tenant", "parent"]') if scenario.composite else ('"k"', '"parent"')
        common = f'key = {key}\nmodified = "u"\nzone = "{scenario.cursor.zone}"\n{as_}\n'
        head = f'[sources.s.streams.{way}]\nstart = "{scenario.start}"\non_change = "{scenario.on_change}"\n{common}'
        if way != "child":
            lead = f'lead = {{ kind = "company", name = {name}, addresses = [{values}], {odd}{where} }}\n'
            return f"{head}{self._relation(way)}\n{lead}"
        contact = f'{{ from = "kids", name = "to_string(tag)", addresses = [{values}]{where} }}'
        follows = common if scenario.follow_children else f"key = {key}\n"
        return (
            f'{head}table = "{PARENT}"\nlead = {{ kind = "company", name = {name}, contacts = [{contact}] }}\n'
            f"[sources.s.streams.{way}.children.kids]\nparent = {parent}\n{follows}"
            f"{self._relation(scenario.child_by)}\n"
        )

    def _relation(self, way: str) -> str:
        if way == "query":
            return f'query = "select * from {TABLE} -- all of it"'
        return f'table = "{TABLE if way == "table" else VIEW}"'

    def round(self, ahead: float = 0.0) -> Outcome:
        """One round of the program."""
        config = load_config(self.config)
        log.configure("error", "json", io.StringIO())
        heard = _Heard()
        with open_ledger(config, own=True, clock=Ahead(ahead)) as ledger, log.heard_by(heard):
            work = Round(config, ledger)
            heard.stop = work.interrupt
            return Outcome(work.run(), heard.pages > MOST_PAGES, dict(heard.missed))

    def sent(self) -> Counter[Lead]:
        """What the sandbox created of this example."""
        rows = reports.leads(self._sandbox.store_path, q=self._mark)
        return Counter(self._lead_of(row["lead"]) for row in rows)

    def _lead_of(self, lead: Mapping[str, Any]) -> Lead:
        way, _, tag = lead["name"].removeprefix(self._mark).partition(":")
        if way == "child":
            contacts = [(int(each["name"]), self._pieces_of(each)) for each in lead.get("contacts", ())]
            return way, int(tag), tuple(sorted(contacts, key=lambda contact: contact[0]))
        mails = tuple(each["Address"] for each in lead.get("email", ()))
        return way, int(tag), self._pieces_of(lead), lead.get("employeeCount"), lead.get("date"), mails

    def _pieces_of(self, values: Mapping[str, Any]) -> Lead:
        texts = [each["Address"] for each in values.get("address", ())]
        found = {int(text.partition("=")[0]): text.partition("=")[2] for text in texts}
        return tuple(_canonical(column, found.get(n)) for n, column in enumerate(self._scenario.columns))

    # ---- what the database says

    def oracle(self) -> dict[tuple[str, int], Lead]:
        """The lead of each record that is wanted now, by way and tag."""
        answers: dict[tuple[str, int], Lead] = {}
        shown = "".join(f", {self._shown(column)}" for column in self._scenario.columns)
        for way in ("table", "view", "query"):
            wanted = self._wanted(way)
            for tag, odd, day, mail, *values in self._server.run(
                f"select tag, odd, odd_date, odd_mail{shown} from {TABLE} where {wanted}"
            ):
                mails = tuple(filter(None, [ODD_EMAILS[mail] if mail is not None else None]))
                texts = None if odd is None else ODD_TEXTS[odd], None if day is None else ODD_DATES[day], mails
                answers[way, tag] = (way, tag, self._said(values), *texts)
        tenants = " and t.parent_tenant = p.pt" if self._scenario.composite else ""
        kids: dict[int, list[Lead]] = {n: [] for n in range(PARENTS)}
        for parent, tag, *values in self._server.run(
            f"select p.ptag, t.tag{shown} from {TABLE} t join"
            f" (select tenant as pt, k as pk, tag as ptag from {self._q(PARENT)}) p on t.parent = p.pk{tenants}"
            f" where {self._wanted('child')} order by t.tag"
        ):
            kids[parent].append((tag, self._said(values)))
        return answers | {("child", n): ("child", n, tuple(each)) for n, each in kids.items()}

    def _wanted(self, way: str) -> str:
        condition = self._scenario.conditions[WAYS.index(way)]
        return "1 = 1" if condition is None else condition.sql

    def _shown(self, column: Column) -> str:
        return column.kind.shown[self._server.backend].replace("{c}", self._q(column.name))

    def _said(self, values: list[Any]) -> Lead:
        return tuple(_canonical(column, value) for column, value in zip(self._scenario.columns, values, strict=True))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a round did. `missed`: how many records each stream's sweep had to read."""

    summary: Summary
    endless: bool
    missed: Mapping[str, int]


class _Heard:
    """Counts pages and hears of sweeps."""

    def __init__(self) -> None:
        self.pages = 0
        self.missed: dict[str, int] = {}
        self.stop: Callable[[], object] = lambda: None

    def __call__(self, event: str, level: object, fields: Mapping[str, Any]) -> None:
        if event == "sweep":
            self.missed[str(fields["stream"]).partition(".")[2]] = int(fields["missed"])
        self.pages += event == "page"
        if self.pages > MOST_PAGES:
            self.stop()


def _piece(n: int, column: Column) -> str:
    return f"join('', ['{n}=', to_string({path(column.name)})])"


def _canonical(column: Column, text: str | None) -> Any:
    """A value as both sides can be compared; NULL and empty text are one (a lead has neither)."""
    if text is None or text == "":
        return None
    value = column.kind.reads(text)
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value


def _toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
