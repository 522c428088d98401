"""docs/configuration.md is what the schema says."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from connectors.registry import CONNECTORS, connector_type
from sync.config.explain import keys_of
from sync.config.schema import Table
from tests.docs.reference import PAGE, SECTIONS, page


def test_the_page_is_what_the_script_writes() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it anew: python -m tests.docs.reference"


def test_every_table_of_the_file_has_its_section() -> None:
    connectors = [connector_type(name) for name in CONNECTORS]
    own = {model for each in connectors for model in (each.source_options, each.stream_options, each.child_options)}
    missing = {*own, *models_below(Table)} - {model for _, _, model in SECTIONS}
    assert {model.__name__ for model in missing} == {"LeadFields", "Extended"}, "which only lend their fields"


def models_below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for each in model.__subclasses__():
        if each.__module__ == Table.__module__:
            yield each
        yield from models_below(each)


def test_every_key_says_what_it_means() -> None:
    silent = [
        (title, name)
        for title, _, model in SECTIONS
        for name in keys_of(model)
        if name != "flow" and not model.model_fields[{"from": "from_"}.get(name, name)].description
    ]
    assert not silent
