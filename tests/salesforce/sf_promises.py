"""What is promised of an organisation's people, held against what went on the wire and what was created."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from state.rows import Verdict
from tests.salesforce.sf_people import OBJECTS, OPTED_OUT, People, Sent


class Promises(People):
    """Looks at each lead that goes on the wire, and at the ledger after each answer."""

    def _claim(self) -> None:
        there = [*self.server, *(lead for _, leads, _ in self.doubt for lead in leads)]
        super()._claim()
        for each in self.wire[1] if self.wire else ():
            self.check_sent(each, there)
            there.append(each)

    def conclude(self, verdict: Verdict) -> None:
        super().conclude(verdict)
        self.check_listed()

    def check_sent(self, sent: Sent, there: Sequence[Sent]) -> None:
        others = [each for each in there if each.record != sent.record]
        assert self.on_change == "resend" if sent.further else len(others) == len(there), f"{sent} is sent twice"
        for each in others:
            twice = _matched(sent) & {*each.emails}
            assert not twice, f"{sent} and {each} are of one person"
        self._check_wanted(sent)
        if not sent.further:
            self._check_heirs(sent, there)
        for label in sent.lead.get("labels", ()):
            assert any(label in labels for labels in self.labels.values()), f"{label} is no label"

    def _check_wanted(self, sent: Sent) -> None:
        """Nobody shows up who had opted out, as far as could be read."""
        for id_ in {sent.id, *self._nested(sent)}:
            row = self._row(id_)
            assert not row.get(OPTED_OUT) or self._is_news(sent, id_), f"{id_} had opted out, and is in {sent}"

    def _check_heirs(self, sent: Sent, there: Sequence[Sent]) -> None:
        """Neither a record nor who is nested in it was made from a lead that is there, as far as could be read."""
        created = {each.id for each in there if each.stream == "leads"}
        people = {sent.id, *self._nested(sent)}
        for lead in self.org.tables["Lead"].values():
            if lead["Id"] in created:
                twice = [id_ for id_ in people & self.heirs(lead) if not self._is_news(sent, id_)]
                assert not twice, f"{twice} in {sent} were made from {lead['Id']}"

    def _nested(self, sent: Sent) -> set[str]:
        """The contacts in a company's lead: no two bear one name."""
        names = {each["name"] for each in sent.lead.get("contacts", ())}
        return {id_ for id_, row in self.org.tables["Contact"].items() if row.get("LastName") in names}

    def _row(self, id_: str) -> Mapping[str, Any]:
        return next(self.org.tables[name][id_] for name in OBJECTS.values() if id_ in self.org.tables[name])

    def _is_news(self, sent: Sent, id_: str) -> bool:
        """What was not read yet: it is too new, or something else that its stream reads is hidden."""
        return id_ in self.changed and self.changed[id_] > self.read_until[sent.stream]

    def check_listed(self) -> None:
        """Whose lead was created is listed as such, and nobody else; one more of a changed record may be due."""
        is_created = "state = 'delivered'" if self.on_change == "hold" else "base_batch IS NOT NULL"
        with self.ledger.file.read() as connection:
            rows = connection.execute(f"SELECT stream, id FROM records WHERE {is_created}").fetchall()
        assert {(self.names[row["stream"]], row["id"]) for row in rows} == {each.record for each in self.server}

    def check_nobody_is_lost(self) -> None:
        for name, object_ in OBJECTS.items():
            for row in self.org.tables[object_].values():
                if not (row["IsDeleted"] or row.get("IsConverted") or row.get(OPTED_OUT)) and (
                    name != "accounts" or not row["IsPersonAccount"]
                ):
                    self._check_not_lost(name, row)

    def _check_not_lost(self, name: str, row: Mapping[str, Any]) -> None:
        """Its lead was created, or that of its twin; of whom it is the duplicate has the address or became it."""
        kept = self._kept(name, row["Id"])
        assert kept is not None, f"{name}/{row['Id']} was never read"
        match kept["state"]:
            case "duplicate":
                assert kept["twin_exists"] == "yes", f"{name}/{row['Id']} is a duplicate of one that is not sent"
            case "known":
                assert kept["reason"] or kept["drift"], f"{name}/{row['Id']} is known, and nobody says why"
            case state:
                assert state == "delivered", f"{name}/{row['Id']} ends as {state}: {kept['reason']}"
        if name != "accounts":
            times = len({each.record for each in self.server if row["Email"] in _matched(each)})
            assert times == 1 or self._was_a_lead_that_is_there(row["Id"]), f"{name}/{row['Id']} is in {times} leads"

    def _kept(self, name: str, id_: str) -> Any:
        with self.ledger.file.read() as connection:
            return connection.execute(
                "SELECT r.*, t.lead_exists AS twin_exists FROM records r LEFT JOIN records t ON t.key = r.twin"
                " WHERE r.stream = ? AND r.id = ?",
                (self._workers()[name].job.row.id, id_),
            ).fetchone()

    def _was_a_lead_that_is_there(self, contact: str) -> bool:
        created = {each.id for each in self.server if each.stream == "leads"}
        leads = self.org.tables["Lead"].values()
        if any(
            row.get("MasterRecordId") == contact for name in OBJECTS.values() for row in self.org.tables[name].values()
        ):
            return True  # a merged record's lead may stand for it
        return any(lead.get("ConvertedContactId") == contact and lead["Id"] in created for lead in leads)


def _matched(sent: Sent) -> set[str]:
    """One more lead of a changed record has that record's own address, whoever has it, too, by now."""
    return {*(sent.nested if sent.further else sent.emails)}
