"""An account to which things happen: records come, change, merge and go; definitions, lists of names and scopes go and
come back."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Protocol

from sync.shared.errors import SyncError
from tests.hubspot.hubspot_portal import Portal, definitions, owner, pipeline, prop

UNKNOWN = "zzz"
"""A code that no list has: of an option that was deleted."""


class Reader(Protocol):
    """Who reads the account."""

    def wait(self, seconds: float) -> None: ...
    def reopen(self) -> None: ...


class Account:
    """An account and what it called its codes, ever: a name that was changed may still be sent for a while."""

    def __init__(self, portal: Portal) -> None:
        self.portal = portal
        self.writes = 0
        self.merged: dict[int, list[int]] = {}
        self.gone: dict[tuple[str, str], Any] = {}
        self.names: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        portal.definitions = definitions()
        portal.clear()
        portal.hidden.clear()
        portal.halved.clear()
        portal.denied.clear()
        portal.owners, portal.pipelines["companies"] = [], [pipeline("p", "Sales", s0="x"), pipeline("q", "Other")]
        stage = prop("hs_pipeline_stage", "enumeration", "radio", externalOptions=True)
        line = prop("hs_pipeline", "enumeration", "select", externalOptions=True)
        portal.definitions["companies"] += [
            prop("do_not_sync", "bool", "booleancheckbox"),
            prop("tier", "enumeration", "select", ["0=x"]),
            line,
            stage,
        ]
        portal.definitions["contacts"] += [
            prop("blocked", "bool", "booleancheckbox"),
            prop("role", "enumeration", "select", ["0=x"]),
        ]
        for kind in ("tier", "owner", "stage", "role"):
            self.name(kind)

    # ---- what happens

    def name(self, kind: str) -> str:
        """A code that is added to its list."""
        code = str(len(self.names[kind]) + 1)
        label = f"{kind} {code}"
        self.names[kind][code].append(label)
        match kind:
            case "tier":
                self._define("companies", "tier")["options"].append({"value": code, "label": label, "hidden": False})
            case "role":
                self._define("contacts", "role")["options"].append({"value": code, "label": label, "hidden": False})
            case "owner":
                self.portal.owners.append(owner(code, label))
            case _:
                known = self.portal.pipelines["companies"][0]["stages"]
                known.append({**known[0], "id": code, "label": label})
        return code

    def _define(self, name: str, property_: str) -> Any:
        of = self.gone.get((name, property_))
        return of or next(each for each in self.portal.definitions[name] if each["name"] == property_)

    def code(self, kind: str, n: int) -> str | None:
        """None, an unknown one, or one of the list."""
        known = list(self.names[kind])
        return [None, UNKNOWN, *known][min(n, len(known) + 1)]

    def act(self, feed: Reader, action: Any) -> None:
        match action:
            case "put", id_, flag, n, lag:
                self.put(id_, lag, do_not_sync=flag, **self._codes(n))
            case "new name", id_, kind:
                code = self.name(kind)
                key = {"tier": "tier", "owner": "hubspot_owner_id", "stage": "hs_pipeline_stage"}.get(kind, "city")
                self.put(id_, 0, **{key: code}, do_not_sync=None)
            case ("renamed",):
                for kind, name, property_ in (("tier", "companies", "tier"), ("role", "contacts", "role")):
                    for option in self._define(name, property_)["options"][1:]:
                        option["label"] += "'"
                        self.names[kind][option["value"]].append(option["label"])
            case ("deactivated",):
                self._deactivate()
            case "archive", (name, property_):
                self.archive(name, property_)
            case "hide", place:
                self.portal.hidden.add(place)
            case "hide in part", place:
                self.portal.halved.add(place)
            case "deny", place:
                self.portal.denied[place] = ".".join(("scope", *place)).rstrip(".")
            case ("all back",):
                self.all_back()
            case "gone at once", id_, place, how:
                self.act(feed, ("turn", None))
                self.act(feed, (how, place))
                for each in {id_, 4, 5}:
                    self.put(each, 0, do_not_sync="true")
                self.act(feed, ("wait", 6))
                self.act(feed, ("turn", None))
            case "wait", seconds:
                feed.wait(seconds)
            case "turn", pages:
                self.turn(feed, pages)
            case ("reopen",):
                feed.reopen()
            case _:
                self._associate(action)

    def _codes(self, n: int) -> dict[str, str | None]:
        codes = {"tier": self.code("tier", n), "hubspot_owner_id": self.code("owner", n)}
        return {**codes, "hs_pipeline_stage": self.code("stage", n), "hs_pipeline": "p"}

    def put(self, id_: int, lag: int, **properties: str | None) -> None:
        if id_ not in self._losers():
            self.writes += 1
            self.portal.put_late("companies", id_, lag, name=f"Firm {self.writes}", **properties)

    def _associate(self, action: Any) -> None:
        portal, all_ = self.portal, {*self.portal.things["companies"], *self.portal.things["contacts"]}
        free = all_ - self._losers()
        match action:
            case "contact", id_, company, flag, n:
                self.writes += 1
                more = {"email": f"w{self.writes}@corp.example", "blocked": flag, "role": self.code("role", n)}
                portal.put("contacts", id_, **more)
                portal.unlink("contacts", id_, "companies")
                if company in portal.things["companies"]:
                    portal.link("contacts", id_, "companies", company)
            case "link", contact, company, primary if {contact, company} <= all_:
                portal.link("contacts", contact, "companies", company, primary=primary)
            case ("merge",):
                living = sorted(portal.living("companies"))
                if len(living) > 1:
                    new, (one, other) = 5000 + len(self.merged), living[:2]
                    portal.merge("companies", one, other, new)
                    self.merged[new] = [old for each in (one, other) for old in (each, *self.merged.get(each, []))]
            case "delete", id_ if id_ in free:
                portal.delete("contacts" if id_ > 100 else "companies", id_)
            case "restore", id_ if id_ in free:
                portal.restore("contacts" if id_ > 100 else "companies", id_)

    def _deactivate(self) -> None:
        """HubSpot blanks the names of who left; the address stays."""
        for row in self.portal.owners:
            if not row["archived"]:
                row.update(archived=True, firstName="", lastName="", userId=None)
                self.names["owner"][row["id"]].append(row["email"])
                return

    def archive(self, name: str, property_: str) -> None:
        if (name, property_) not in self.gone:
            self.gone[name, property_] = self.portal.take_away(name, property_)

    def all_back(self) -> None:
        for (name, _), definition in self.gone.items():
            self.portal.give_back(name, definition)
        self.gone.clear()
        self.portal.hidden.clear()
        self.portal.halved.clear()
        self.portal.denied.clear()

    def _losers(self) -> set[int]:
        return {old for olds in self.merged.values() for old in olds}

    def turn(self, feed: Any, pages: int | None) -> None:
        """The account is read, so many pages of it: who reads it says how, and what must be true of that."""
        raise NotImplementedError

    def explain(self, error: SyncError, stream: str = "companies") -> None:
        """The error names something that is not there now."""
        missing = {property_ for _, property_ in [*self.gone, *self.portal.hidden, *self.portal.halved]}
        named = [each for each in missing if repr(each) in error.message]
        named += [scope for scope in self.portal.denied.values() if scope in error.message]
        assert named, f"{error.message}: {missing}, {self.portal.denied}"
        assert (error.source, error.stream) == ("hub", stream)
