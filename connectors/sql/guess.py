"""Guesses a mapping from the names of columns: which one is the name, the e-mail, the city. Pure.

A guess is made where a name is usual; where it is not, nothing is guessed. Somebody looks at the result.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from connectors.sql.tables import words_of

ColumnTypes = Mapping[str, str]
"""The names of a table's columns, and what they hold: text, number, boolean, date, naive, zoned, json, other."""

_FIELDS: Mapping[str, Sequence[str]] = {
    "company": (
        "company name|companyname|customer name|account name|organisation name|organization name|business name",
        "firm name|firmenname|firma|unternehmen|unternehmensname|raison sociale|razon social|ragione sociale|societe",
        "denominazione|denominacion|bedrijfsnaam|bedrijf|nazwa|kunde|kundenname|client name|supplier name|vendor name",
        "accountname|company|organisation|organization|customer|account|name|name 1|nom|nombre|naam|display name|title",
        "label|bezeichnung",
    ),
    "first": ("first name|firstname|given name|forename|fname|vorname|prenom|voornaam|nome|imie|first",),
    "last": (
        "last name|lastname|surname|family name|lname|nachname|familienname|nom de famille|nom|cognome",
        "apellidos|apellido|achternaam|nazwisko|last|name",
    ),
    "person": (
        "full name|fullname|contact name|contactname|contact person|contact|ansprechpartner|kontaktperson",
        "display name|name|nom complet|nombre completo|user name",
    ),
    "industry": ("industry|industry name|sector|branche|secteur|settore|sector name|branch",),
    "employees": (
        "employees|employee count|number of employees|numberofemployees|num employees|no of employees|employee",
        "mitarbeiter|mitarbeiterzahl|anzahl mitarbeiter|effectif|empleados|dipendenti|headcount|staff count",
    ),
    "role": (
        "job title|jobtitle|position|function|funktion|role|designation|poste|cargo|puesto|ruolo|rolle|contact title",
        "title|business title|occupation|fonction",
    ),
    "notes": (
        "notes|note|comment|comments|remarks|remark|description|bemerkung|bemerkungen|notiz|notizen|kommentar|memo",
    ),
    "street": (
        "street|street address|address line 1|addressline 1|address 1|street 1|strasse|str|rue|calle|via|straat",
        "street name|address|adresse|anschrift|direccion|indirizzo|line 1",
    ),
    "zip": ("zip|zip code|zipcode|postal code|postalcode|postcode|post code|plz|code postal|cp|cap|code",),
    "city": ("city|town|ort|stadt|ville|ciudad|citta|plaats|stad|locality",),
    "country": ("country|country name|land|pays|pais|paese|country code|nation",),
    "contact_email": ("contact email|contact mail|contact e mail",),
}
"""For each part of a lead the usual names, the surest first, as `words_of` writes them."""

_EMAIL = re.compile(
    r"^(.* )?(e ?mails?|mail|courriel|correo|email id|email address|mail address)( (id|address|adresse))?( \d)?$"
)
_PHONE = re.compile(
    r"^(.* )?(tele?phones?|phones?|tel|telefon|telefono|mobile?|handy|cell|cellphone|gsm|portable|mobiltelefon)"
    r"( (no|number|nr|nummer|work|office|mobile|home|other|main|1|2))?$"
)
_SOCIAL = re.compile(
    r"^(.* )?(website|web site|web|homepage|url|site web|webseite|linkedin|linked in|xing)( (url|page))?$"
)
_NO_CHANNEL = re.compile(
    r"fax|opt|verif|valid|bounce|consent|count|sent|hash|avatar|image|logo|photo|callback|code|status"
)
_DELETED = re.compile(
    r"^(is )?(deleted|removed|archived|disabled|inactive|hidden|blocked|geloescht|geloscht|gesperrt|supprime)( at)?$"
)
_ACTIVE = re.compile(r"^(is )?(active|enabled|aktiv|actif|activo|attivo)$")
_IS_COMPANY = re.compile(r"^is (company|organi[sz]ation|business)$")
_PLACES = ("", "billing", "bill", "primary", "main", "business", "mailing", "office", "shipping", "ship")
_PEOPLE = re.compile(
    r"\b(contacts?|persons?|people|users?|members?|kontakte?|personen|ansprechpartner|employees|leads?|contactdetails"
    r"|customercontacts?|partners?|socpeople|contactos?|contatti)\b"
)
_COMPANIES = re.compile(
    r"\b(compan(y|ies)|accounts?|customers?|clients?|kunden?|firmen?|societes?|organi[sz]ations?|suppliers?|vendors?"
    r"|enterprises?|partners?|unternehmen|clientes?|clienti|lieferanten?|business(es)?|debitoren)\b"
)


@dataclass(frozen=True, slots=True)
class Guess:
    """A guessed mapping, as text for the file: keys of `lead` (or of a contact) with their expressions."""

    kind: str
    fields: Mapping[str, str | list[str]]
    where: Sequence[str] = ()
    """Conditions that somebody should look at."""
    notes: str | None = None
    """A column of free text, which may be meant for nobody else's eyes."""
    own_contact: Mapping[str, str | list[str]] = field(default_factory=dict)
    """A person who stands in the company's own row."""


def guess_lead(table: str, columns: ColumnTypes) -> Guess:
    """Return a lead for the rows of that table."""
    known = _ColumnFinder(columns)
    is_person = _is_person(table, known)
    fields = _person(known) if is_person else _given(name=known.pick("company") or _any_text(columns))
    fields |= _both(known)
    own: dict[str, str | list[str]] = {}
    if not is_person:
        fields |= _given(employee_count=known.pick("employees", ("number", "text")))
        own = _contact_in_row(known)
        if own:
            # What belongs to the person is not the company's.
            fields["emails"] = [one for one in _listed(fields.get("emails")) if one not in _listed(own.get("emails"))]
    return Guess(
        "contact" if is_person else "company",
        {key: value for key, value in fields.items() if value},
        (*(known.flags(_IS_COMPANY) if not is_person else ()), *_conditions(known)),
        known.pick("notes"),
        own,
    )


def guess_contact(columns: ColumnTypes) -> Guess | None:
    """Return a nested contact for the rows of a child; None if they do not look like people."""
    known = _ColumnFinder(columns)
    fields = _person(known) | _both(known)
    fields.pop("industry", None)
    channels = any(fields.get(one) for one in ("emails", "phones"))
    if not fields.get("name") or not (channels or known.pick("first")):
        return None
    return Guess("contact", {key: value for key, value in fields.items() if value}, tuple(_conditions(known)))


def likeliness(table: str, names: Sequence[str]) -> int:
    """Return a score for how much a table looks like one of companies or people; 0 if not at all."""
    known = _ColumnFinder(dict.fromkeys(names, "text"))
    score = sum(bool(one) for one in (known.emails(), known.phones(), known.socials(), known.addresses()))
    # A name alone says little: nearly every table has one.
    score += bool(known.pick("company") or known.pick("first"))
    named = 2 if _COMPANIES.search(words_of(table)) or _PEOPLE.search(words_of(table)) else 0
    return score + named if score >= 2 else 0


def quoted(column: str) -> str:
    """Return the column as an expression: names that are no plain words are put in quotes."""
    return column if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", column) else json.dumps(column, ensure_ascii=False)


class _ColumnFinder:
    """A table's columns, found by the words of their names."""

    def __init__(self, columns: ColumnTypes) -> None:
        self._columns = columns
        self._by_words: dict[str, str] = {}
        for name in columns:
            self._by_words.setdefault(words_of(name), name)

    def pick(self, part: str, families: Iterable[str] = ("text",)) -> str | None:
        """Return the expression for the most likely column of that part; None if there is none."""
        for usual in "|".join(_FIELDS[part]).split("|"):
            name = self._by_words.get(usual) or self._by_words.get(usual.replace(" ", ""))
            if name is not None and self._columns[name] in families:
                return quoted(name)
        return None

    def emails(self) -> list[str]:
        return self._matching(_EMAIL)

    def phones(self) -> list[str]:
        return self._matching(_PHONE, ("text", "number"))

    def socials(self) -> list[str]:
        return self._matching(_SOCIAL)

    def addresses(self) -> list[str]:
        """Return one address of street, postal code, city and country under one prefix; none without street and
        city."""
        # The plain address first, then the billing one: a shipping address may be a warehouse.
        for place in _PLACES:
            found = [self._part(place, part) for part in ("street", "zip", "city", "country")]
            if found[0] and found[2]:
                return [f"join(', ', [{', '.join(one for one in found if one)}])"]
        return []

    def flags(self, pattern: re.Pattern[str], families: Sequence[str] = ("boolean", "number")) -> list[str]:
        """Return the columns whose names match and whose values are true or false."""
        return self._matching(pattern, families)

    def _part(self, place: str, part: str) -> str | None:
        for usual in "|".join(_FIELDS[part]).split("|"):
            for text in (f"{place} {usual}", f"{place} address {usual}") if place else (usual, f"address {usual}"):
                name = self._by_words.get(text)
                if name is not None and self._columns[name] == "text":
                    return quoted(name)
        return None

    def _matching(self, pattern: re.Pattern[str], families: Sequence[str] = ("text",)) -> list[str]:
        return [
            quoted(name)
            for text, name in self._by_words.items()
            if pattern.match(text) and not _NO_CHANNEL.search(text) and self._columns[name] in families
        ]


def _is_person(table: str, known: _ColumnFinder) -> bool:
    named = words_of(table)
    has_first = bool(known.pick("first"))
    if _COMPANIES.search(named) and not (has_first and known.pick("last") and not known.pick("company")):
        return False
    return has_first or bool(_PEOPLE.search(named))


def _person(known: _ColumnFinder) -> dict[str, str | list[str]]:
    first, last, whole = known.pick("first"), known.pick("last"), known.pick("person")
    if first:
        return _given(name=first, last_name=last if last != first else None, role=known.pick("role"))
    return _given(name=whole or last, role=known.pick("role"))


def _both(known: _ColumnFinder) -> dict[str, str | list[str]]:
    return _given(
        industry=known.pick("industry"),
        emails=_list(known.emails()),
        phones=_list(known.phones()),
        socials=_list(known.socials()),
        addresses=known.addresses() or None,
    )


def _contact_in_row(known: _ColumnFinder) -> dict[str, str | list[str]]:
    """Return the contact in a company's own row (`contact_name`, `contact_title`); empty if there is none."""
    name = known.pick("person")
    if name is None or not re.search(r"contact|ansprech|kontakt", name, re.IGNORECASE):
        return {}
    role = known.pick("role")
    contact = _given(name=name, role=role if role and re.search(r"contact", role, re.IGNORECASE) else None)
    email = known.pick("contact_email")
    return contact | _given(emails=f"[{email}]" if email else None)


def _conditions(known: _ColumnFinder) -> list[str]:
    deleted = known.flags(_DELETED, ("boolean", "number", "date", "naive", "zoned"))
    return [*(f"!{name}" for name in deleted), *known.flags(_ACTIVE)]


def _any_text(columns: ColumnTypes) -> str | None:
    return next((quoted(name) for name, family in columns.items() if family == "text"), None)


def _given(**parts: str | list[str] | None) -> dict[str, str | list[str]]:
    return {key: value for key, value in parts.items() if value}


def _list(parts: Sequence[str]) -> str | None:
    return f"[{', '.join(parts)}]" if parts else None


def _listed(text: str | list[str] | None) -> list[str]:
    return [one for one in text.strip("[]").split(", ") if one] if isinstance(text, str) else list(text or ())
