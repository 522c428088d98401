"""The same companies in two databases make one lead each, whichever is read first; what exists already makes none."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.proof.harness import OLD, Source, World, command, until

SECOND = """
[sources.crm]
connector = "sql"
url = "{url}"
every = "1s"
settle = "0s"
[sources.crm.streams.firms]
table = "companies"
key = "id"
modified = "updated_at"
start = "all"
on_change = "hold"
match_on = ["email", "domain"]
[sources.crm.streams.firms.lead]
kind = "company"
name = "name"
emails = "[email]"
"""


class TwoSources:
    """`erp` and `crm`: the same 40 companies by e-mail or domain, and some of each alone."""

    def __init__(self, world: World) -> None:
        self.world, self.erp = world, world.source
        self.crm = Source(world.folder / "crm.db")
        world.write(stream='match_on = ["email", "domain"]', more=SECOND.format(url=self.crm.url))
        for n in range(1, 61):
            self.add(self.erp, n, f"Erp {n}", f"info@firm{n}.example")
        for n in range(21, 81):
            # the same address in other letters, or another one of the same domain
            self.add(self.crm, n, f"Crm {n}", f"INFO@Firm{n}.Example" if n % 2 else f"office@firm{n}.example")
        for n in range(90, 95):
            self.add(self.erp, n, f"Erp {n}", f"erp{n}@gmail.com")
            self.add(self.crm, n, f"Crm {n}", f"crm{n}@gmail.com")

    def add(self, source: Source, n: int, name: str, email: str, at: str = OLD) -> None:
        source.execute("insert into companies values (?, ?, ?, 5, ?)", n, name, email, at)

    def wanted(self, first: str) -> Counter[str]:
        """One lead a company, from the source that was read first; those with free mail from both."""
        other = "Crm" if first == "Erp" else "Erp"
        own = {"Erp": range(1, 61), "Crm": range(21, 81)}
        names = [f"{first} {n}" for n in own[first]] + [f"{other} {n}" for n in own[other] if n not in own[first]]
        return Counter(names + [f"{each} {n}" for each in ("Erp", "Crm") for n in range(90, 95)])


@pytest.mark.parametrize("first", ["erp", "crm"])
def test_two_sources_in_either_order(world: World, first: str) -> None:
    both = TwoSources(world)
    assert world.once(first).code == 0
    done = world.once()
    assert (done.code, done.summary["balanced"]) == (0, True)
    assert done.summary["duplicate"] == 40
    assert world.names() == both.wanted(first.capitalize())
    assert world.states() == {"delivered": len(both.wanted("Erp")), "duplicate": 40}


def test_two_sources_at_once_beside_an_import(world: World, tmp_path: Path) -> None:
    """A daemon reads both; meanwhile an import comes in. Nobody is created twice."""
    both = TwoSources(world)
    leads = tmp_path / "leads.csv"
    leads.write_text("Company;Website\n" + "".join(f"Late {n};www.late{n}.example\n" for n in range(5)))
    with world.daemon() as daemon:
        world.wait_for_leads(90)
        assert command("ledger", "import", "-c", world.config, "--csv", leads).code == 0
        for n in range(8):
            both.add(both.erp, 200 + n, f"Late {n}", f"late{n}@late{n}.example")
            both.add(both.crm, 200 + n, f"Late {n}", f"info@late{n}.example")
        world.wait_for_leads(93)
        until(lambda: world.query("select count(*) from records") == [(60 + 60 + 10 + 16,)], "all records")
        assert daemon.stop() == 0
    late = Counter({f"Late {n}": 1 for n in (5, 6, 7)})
    companies = Counter(name.split()[1] for name in (world.names() - late).elements())
    assert companies == Counter({str(n): 1 for n in range(1, 81)} | {str(n): 2 for n in range(90, 95)})
    assert world.names() & late == late
    assert world.states() == {"delivered": 93, "duplicate": 43, "known": 10}
