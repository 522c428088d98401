"""Whatever happens in a CRM, is read, sent and answered, in any order: nobody is created twice who was known to be
there, every lead that was created is listed as one, and nobody who is wanted is lost without being seen."""

from __future__ import annotations

import io
import shutil
import tempfile
from pathlib import Path
from typing import Any

import structlog
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from state.queues import Selection
from sync import log
from tests.engine.crm_world import STREAMS, Sent, World
from tests.sizes import machine_settings

IDS = {"leads": ("l1", "l2"), "contacts": ("c1", "c2"), "companies": ("k1", "k2")}
RECORDS = [(stream, id_) for stream, ids in IDS.items() for id_ in ids]

records = st.sampled_from(RECORDS)
contacts, leads = st.sampled_from(IDS["contacts"]), st.sampled_from(IDS["leads"])
companies = st.frozensets(st.sampled_from(IDS["companies"]), max_size=2)
emails = st.sampled_from(["x@x.example", "y@x.example", "z@x.example", None])
mostly = st.sampled_from([True, True, True, False])
verdicts = st.sampled_from(["created", "created", "created", "refused", "rejected", "in_doubt"])
orders = st.lists(st.sampled_from(STREAMS), min_size=1, max_size=3, unique=True)


class CrmMachine(RuleBasedStateMachine):
    @initialize(on_change=st.sampled_from(["hold", "hold", "resend"]), data=st.data())
    def begin(self, on_change: Any, data: st.DataObject) -> None:
        self.folder = Path(tempfile.mkdtemp())
        log.configure("error", "json", io.StringIO())
        self.world = World(self.folder, on_change=on_change)
        self.doubt: dict[str, tuple[list[Sent], bool]] = {}
        self.barred: set[tuple[str, str]] = set()
        self.imported: set[str] = set()
        self.says_why = on_change == "hold"  # of one more lead that was not sent after all the reason is over
        for stream, id_ in RECORDS:
            if data.draw(mostly):
                self.world.crm.save(stream, id_, email=data.draw(emails))
        for contact in self.world.crm.people["contacts"]:
            self.world.crm.associate(contact, *(data.draw(companies) & self.world.crm.people["companies"].keys()))

    # -- in the CRM

    @rule(record=records, email=emails)
    def a_record_is_there_or_changes(self, record: tuple[str, str], email: str | None) -> None:
        if not (record[0] == "leads" and self._is_converted(record[1])):
            self.world.crm.save(*record, email=email)

    @rule(record=records)
    def a_record_is_wanted_or_not_any_more(self, record: tuple[str, str]) -> None:
        if data := self.world.crm.people[record[0]].get(record[1]):
            self.world.crm.save(*record, wanted=not data["wanted"])

    @rule(record=records)
    def a_record_goes(self, record: tuple[str, str]) -> None:
        if record[1] in self.world.crm.people[record[0]]:
            self.world.crm.delete(*record)

    @rule(contact=contacts, belongs=companies)
    def a_contact_is_associated(self, contact: str, belongs: frozenset[str]) -> None:
        self.world.crm.associate(contact, *(belongs & self.world.crm.people["companies"].keys()))

    @rule(lead=leads, contact=contacts, company=st.sampled_from([None, *IDS["companies"]]))
    def a_lead_is_converted(self, lead: str, contact: str, company: str | None) -> None:
        if lead in self.world.crm.people["leads"]:
            self.world.crm.convert(lead, contact, company)

    @rule(stream=st.sampled_from(["contacts", "companies"]), data=st.data())
    def two_are_merged(self, stream: str, data: st.DataObject) -> None:
        there = sorted(self.world.crm.people[stream])
        if len(there) >= 2:
            loser, survivor = data.draw(st.permutations(there))[:2]
            self.world.crm.merge(stream, loser, survivor)

    def _is_converted(self, lead: str) -> bool:
        return any(lead in formers for formers in self.world.crm.former.values())

    # -- in the program

    @rule(streams=orders)
    def streams_are_read(self, streams: list[str]) -> None:
        self.world.read(*streams)

    @rule(streams=orders, most=st.sampled_from([1, 100, 100]), verdict=verdicts, landed=st.booleans())
    def streams_are_read_and_leads_sent(self, streams: list[str], most: int, verdict: Any, landed: bool) -> None:
        self.world.read(*streams)
        if batch := self.claim(most):
            self.conclude(batch, verdict, landed)

    @rule(lead=leads, contact=contacts, company=st.sampled_from(IDS["companies"]), streams=orders)
    def a_lead_is_converted_while_it_is_on_the_wire(
        self, lead: str, contact: str, company: str, streams: list[str]
    ) -> None:
        self.world.read("leads")
        self.claim(100)
        self.a_lead_is_converted(lead, contact, company)
        self.world.read(*streams)
        self.claim(100)

    @rule(lead=leads, contact=contacts, verdict=verdicts, landed=st.booleans())
    def a_lead_becomes_a_contact_that_is_on_the_wire(self, lead: str, contact: str, verdict: Any, landed: bool) -> None:
        self.world.read("contacts")
        if batch := self.claim(100):
            self.a_lead_is_converted(lead, contact, None)
            self.world.read("leads", "contacts")
            self.conclude(batch, verdict, landed)
            self.claim(100)

    @rule(stream=st.sampled_from(STREAMS))
    def a_stream_is_swept(self, stream: str) -> None:
        if self.world.crm.people[stream]:  # one that suddenly has nothing is refused
            self.world.sweep(stream)

    @rule(most=st.sampled_from([1, 100]))
    def leads_go_on_the_wire(self, most: int) -> None:
        self.claim(most)

    @precondition(lambda self: self.world.open)
    @rule(verdict=verdicts, landed=st.booleans())
    def an_answer_comes(self, verdict: Any, landed: bool) -> None:
        self.conclude(next(iter(self.world.open)), verdict, landed)

    @precondition(lambda self: self.doubt)
    @rule()
    def somebody_looks_what_landed(self) -> None:
        self.settle()

    @rule(email=emails.filter(bool))
    def an_address_is_imported(self, email: str) -> None:
        self.world.keep(email)
        self.imported.add(email)

    @precondition(lambda self: not self.world.open)
    @rule()
    def it_is_restarted(self) -> None:
        self.world.close()
        self.world.start()

    @precondition(lambda self: not self.world.open)
    @rule()
    def the_ledger_is_lost_and_rebuilt(self) -> None:
        self.world.rebuild()
        self.says_why = False

    # -- what must hold

    def claim(self, most: int) -> str | None:
        taken = self.may_exist()
        batch = self.world.claim(most)
        for sent in self.world.open[batch][1] if batch else ():
            self.check_sent(sent, taken)
            taken.append(sent)
        return batch

    def may_exist(self) -> list[Sent]:
        on_the_wire = [sent for _, leads in self.world.open.values() for sent in leads]
        return [*self.world.server, *on_the_wire, *(sent for leads, _ in self.doubt.values() for sent in leads)]

    def check_sent(self, sent: Sent, taken: list[Sent]) -> None:
        me = (sent.stream, sent.id)
        others = [each for each in taken if (each.stream, each.id) != me]
        assert len(others) == len(taken) or self.world.on_change == "resend", f"{me} is sent twice"
        for each in others:
            twice = self.matched(sent) & self.matched(each)
            assert not twice, f"{twice} of {me} are those of {each.stream}/{each.id}"
        assert not self.matched(sent) & self.imported, f"{me} has an address that was imported"
        self.check_heirs(sent, others)

    def matched(self, sent: Sent) -> set[str]:
        """One more lead of a changed record has that record's own values, whoever has them too by now."""
        return sent.nested - sent.own if sent.further else sent.own | sent.nested

    def check_heirs(self, sent: Sent, others: list[Sent]) -> None:
        """Neither a record nor who is nested in it was made from one that is there, as far as the source has said."""
        there = {each.id for each in others if each.stream == "leads"}
        named = {each["name"].split()[-1] for each in sent.lead.get("contacts", ())}
        for id_, former in self.world.crm.told:
            if former in there and not sent.further:
                assert id_ != sent.id, f"{sent.id} was made from {former}"
                assert id_ not in named, f"{id_}, nested in {sent.id}, was made from {former}"
        heirs = {id_ for id_, former in self.world.crm.told if former == sent.id} if sent.stream == "leads" else set()
        for each in others:
            bears = {each.id, *(it["name"].split()[-1] for it in each.lead.get("contacts", ()))}
            assert not heirs & bears, f"{each.id} has an heir of {sent.id}"

    def conclude(self, batch: str, verdict: Any, landed: bool) -> None:
        leads = self.world.open[batch][1]
        if verdict == "in_doubt":
            self.doubt[batch] = (leads, landed)
        if verdict == "rejected" and len(leads) == 1:
            self.barred.add((leads[0].stream, leads[0].id))
        # what landed in doubt counts once somebody has looked
        self.world.conclude(batch, verdict, landed=False)

    def settle(self) -> None:
        for batch, (leads, landed) in self.doubt.items():
            self.world.ledger.verdicts.resolve(batch, landed=landed, note="looked")
            self.world.server += leads if landed else []
        self.doubt = {}

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self.drain()
            self.check_end()
        finally:
            self.world.close()
            structlog.reset_defaults()
            shutil.rmtree(self.folder)

    def drain(self) -> None:
        for batch in list(self.world.open):
            self.conclude(batch, "created", landed=True)
        self.settle()
        self.world.read()
        self.approve()
        for _ in range(30):
            self.world.read()
            if claimed := self.claim(100):
                self.conclude(claimed, "created", landed=True)
            elif not any(self.world.poller(name).has_to_judge_again() for name in STREAMS):
                return
        raise AssertionError("there is no end to what is to be done")

    def approve(self) -> None:
        """Somebody lets go what was held for a lead in doubt that only the receipts knew."""
        held = self.world.ledger.queues.find("held", Selection())
        self.world.ledger.queues.approve([each.key for each in held])

    def check_end(self) -> None:
        created = {(each.stream, each.id) for each in self.world.server}
        for stream, id_ in RECORDS:
            if not any(each == id_ for each in self.world.crm.changes[stream]):
                continue
            row = self.world.row(stream, id_)
            assert self.is_shown_as_created(row) == ((stream, id_) in created), f"{stream}/{id_} is {row['state']}"
            if row["state"] == "delivered" and row["fit"] in ("filtered", "deleted") and row["orphaned"] is None:
                assert self.is_succeeded(stream, id_), f"the lead of {stream}/{id_} is an orphan that nobody sees"
            self.check_not_lost(stream, id_, row)

    def is_shown_as_created(self, row: dict[str, Any]) -> bool:
        """Where one more lead was rejected, its record is in quarantine, and its first lead stands."""
        if self.world.on_change == "resend" and row["state"] == "quarantined":
            return row["base_batch"] is not None
        return bool(row["state"] == "delivered")

    def is_succeeded(self, stream: str, id_: str) -> bool:
        told = any(former == id_ for _, former in self.world.crm.told)
        merged = f"{stream}/{id_}" in self.world.crm.merged
        return merged or (stream == "leads" and told)

    def check_not_lost(self, stream: str, id_: str, row: dict[str, Any]) -> None:
        data = self.world.crm.people[stream].get(id_)
        if data is None or not data["wanted"]:
            return
        match row["state"]:
            case "delivered":
                pass
            case "known":
                assert row["reason"] or row["drift"] or not self.says_why, (
                    f"{stream}/{id_} is known, and nobody says why"
                )
            case "duplicate":
                assert self.twin_is_there(row), f"{stream}/{id_} is a duplicate of one that is not sent"
            case "quarantined":
                assert (stream, id_) in self.barred
            case other:
                raise AssertionError(f"{stream}/{id_} ends as {other}")

    def twin_is_there(self, row: dict[str, Any]) -> bool:
        with self.world.ledger.file.read() as connection:
            twin = connection.execute("SELECT * FROM records WHERE key = ?", (row["twin"],)).fetchone()
            return bool(twin["lead_exists"] == "yes")


def test_nobody_is_created_twice_and_nobody_is_lost() -> None:
    run_state_machine_as_test(CrmMachine, settings=machine_settings((15, 20), (400, 40), (3000, 60)))
