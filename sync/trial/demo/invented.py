"""Words for the sample's companies and people: all invented.

Telephone numbers come from the ranges that regulators reserve for fiction; e-mail domains are reserved by RFC 2606.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class City:
    """A city, with patterns of its telephone numbers and postal codes."""

    city: str
    country: str
    zip: str
    phones: tuple[str, ...]
    """Patterns; `{:03d}` or `{:02d}` stands for the digits of the reserved range."""
    forms: tuple[str, ...]
    """Legal forms of companies there."""


STEMS = (
    "Quarzfeder", "Übermorgen", "Tintenfass", "Wolkenkamm", "Löwenzahn", "O'Wren", "Café Déjà-Bu", "Łąkowa",
    "Nebelkrähe", "D'Almanac", "Ærlig", "Zuckerspindel", "Mondscheibe", "Kettensäule", "Straßenstern", "Hummelflug",
    "Paperkite", "Señor Tornillo", "Glühwurm", "Moosgrün", "Copperkettle", "Žlutý Kůň", "Fjordlys", "Siebenschläfer",
    "Ivory Anchor", "Kråkebær", "Rübenzahl & Töchter", "Thistledown", "Papier 24/7", "Élan Vert",
)  # fmt: skip

BRANCHES = (
    ("Werkzeuge", "Mechanical engineering"),
    ("Logistik", "Logistics"),
    ("Software", "Software"),
    ("Möbel", "Furniture"),
    ("Energie", "Energy"),
    ("Bakery", "Food"),
    ("Instruments", "Measuring instruments"),
    ("Verlag", "Publishing"),
    ("Textil", "Textiles"),
    ("Medical", "Medical technology"),
    ("Druck", "Printing"),
    ("Garden", "Horticulture"),
)

PLACES = (
    City("Berlin", "DE", "10{:03d}", ("030 23125-{:03d}", "+49 30 23125 {:03d}", "030/23125{:03d}"), ("GmbH", "AG")),
    City("Hamburg", "DE", "20{:03d}", ("040 66969-{:03d}", "(040) 66969 {:03d}"), ("GmbH", "GmbH & Co. KG")),
    City("Köln", "DE", "50{:03d}", ("0221 4710-{:03d}", "+49 (0)221 4710 {:03d}"), ("GmbH", "KG")),
    City("München", "DE", "80{:03d}", ("089 99998-{:03d}", "089/99998 {:03d}"), ("GmbH", "SE")),
    City("London", "GB", "E1 {:03d}", ("+44 20 7946 0{:03d}",), ("Ltd", "LLP")),
    City("New York", "US", "10{:03d}", ("+1 212-555-01{:02d}", "+1 (212) 555-01{:02d}"), ("Inc.", "LLC")),
)

MOBILES = ("0171 39200{:02d}", "+49 171 39200 {:02d}", "0171-39200{:02d}")

STREETS = ("Musterstraße", "Am Beispielhof", "Probegasse", "Sample Lane", "Demoplatz", "Specimen Road")

FIRST_NAMES = (
    "Zoë", "Björn", "Anaïs", "Siobhán", "Jürgen", "Łucja", "Noor", "Ömer", "Ida", "Renée", "Tomás", "Kai", "Mette",
    "Çelik", "Hanna", "Søren", "Ada", "Matěj", "Pia-Lotte", "Ruben",
)  # fmt: skip

LAST_NAMES = (
    "Mustermann", "Probst-Beispiel", "O'Sample", "Quittenmus", "van der Probe", "Nuñez-Demo", "Åkertest", "Pfefferminz",
    "D'Exemple", "Testowska", "Dreizack", "McSpecimen", "Großbeispiel", "Ñandú", "Blindtext", "Ipsum",
)  # fmt: skip

TITLES = (
    "Managing director", "Head of purchasing", "Leiterin Einkauf", "CTO", "Geschäftsführer", "Assistant to the board",
    "Sales", "Qualitätssicherung", None,
)  # fmt: skip

SEGMENTS = ("A", "B", "B", "C", "C", "C", "X", None)
"""X is missing from the configuration's lookup table, as happens in practice."""

DOMAINS = ("example", "example.com", "example.net", "example.org")
