"""docs/sources.md: sections that the code cites exist, facts have sources, and the files that they name exist."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.docs.pages import PAGES, ROOT, cells, prose
from tests.docs.test_pages import anchors

SECTIONS = anchors(PAGES["sources"])
CITED = re.compile(r"docs/sources\.md#([\w-]+)")


def citations() -> Iterator[tuple[str, str]]:
    """Yield the code's links to the page: file and section."""
    for package in ("connectors", "state", "sync"):
        for path in sorted((ROOT / package).rglob("*.py")):
            yield from ((str(path), section) for section in CITED.findall(path.read_text(encoding="utf-8")))


def facts() -> Iterator[list[str]]:
    """Yield the rows of all tables: fact, source, places of use."""
    for line in prose("sources").splitlines():
        if line.startswith("| ") and not line.startswith(("| ---", "| fact ")):
            yield cells(line)


def test_each_cited_section_exists() -> None:
    assert [(path, section) for path, section in citations() if section not in SECTIONS] == []


@pytest.mark.parametrize("vendor", ["hubspot-", "salesforce-", "simple-salesforce"])
def test_each_section_about_a_crm_is_cited(vendor: str) -> None:
    about = {section for section in SECTIONS if section.startswith(vendor)}
    assert about
    assert about <= {section for _, section in citations()}


def test_each_fact_has_a_source_and_a_place_that_exists() -> None:
    for fact, source, used in facts():
        assert re.search(r"\]\(https://|recorded|observed|tried|read in its source", source), fact
        places = re.findall("`(.+?)`", used)
        assert places, fact
        assert [place for place in places if not (ROOT / place).exists()] == [], fact
