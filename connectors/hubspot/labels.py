"""Labels that users see for the codes in properties. A code without a known label gets none, and is counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from connectors.hubspot.properties import A_WHILE, SOON, Schema
from connectors.hubspot.values import Property
from sync.shared.clock import Clock
from sync.shared.errors import SourceRefused
from sync.shared.words import Json

REMEMBERED = 10_000
"""Unknown codes that are remembered; beyond that they are looked up once more."""


class HubSpotLabels:
    """Looks up labels, and counts records whose codes have none.

    A list that is used is read again when it is older than `A_WHILE`, and as soon as it lacks a code, which may have
    been added since: once for all codes of an answer, and at most once in `SOON` seconds for the same code.
    """

    def __init__(self, schema: Schema, clock: Clock) -> None:
        self._schema = schema
        self._clock = clock
        self._unknown: dict[tuple[str, str, str], float] = {}
        self._lacking: dict[str, int] = {}

    def label(self, name: str, of: Property, text: Json, pipeline: Json, after: int) -> Json:
        """Return the label of a value as HubSpot sends it: text, a list where several are possible, or None.

        `name` is the object, `pipeline` the record's pipeline, `after` the moment (`Schema.mark`) when the record was
        read. Raises SourceRefused if the list may not be read.
        """
        if of.naming == "value":
            return of.value(text)
        found = [self._code(name, of, code, pipeline, after) for code in of.codes(text)]
        known = [label for label in found if label is not None]
        # Counted by record, not by code: the note tells how many leads are concerned.
        if len(known) < len(found):
            place = f"{name}.{of.name}"
            self._lacking[place] = self._lacking.get(place, 0) + 1
        if of.plural:
            return list(dict.fromkeys(known)) or None
        return known[0] if known else None

    def all(self, name: str, of: Property) -> Mapping[str, str]:
        """Return every code of a property with its label; empty if they cannot be listed. Raises SourceRefused."""
        listed, own = self._lists(name, of, None)
        return {**own, **(self._schema.pipelines(name).each if of.naming == "stages" else listed)}

    def lacking(self) -> dict[str, int]:
        """Return how many records had codes without a label, by `object.property`, since the last call."""
        lacking, self._lacking = self._lacking, {}
        return lacking

    def _code(self, name: str, of: Property, code: str, pipeline: Json, after: int) -> str | None:
        codes = (f"{pipeline}/{code}", code) if of.naming == "stages" else (code,)
        label = _first(self._lists(name, of, None), codes)
        # The list may be older than the record: it is read again, unless that was just tried.
        if label is None and not self._is_unknown(name, of, code):
            label = _first(self._lists(name, of, after), codes)
            if label is None:
                self._unknown[name, of.name, code] = self._clock.boot()
        return label

    def _is_unknown(self, name: str, of: Property, code: str) -> bool:
        # Cleared as a whole: the price is one more reading of a list.
        if len(self._unknown) > REMEMBERED:
            self._unknown.clear()
        since = self._unknown.get((name, of.name, code))
        return since is not None and self._clock.boot() - since < SOON

    def _lists(self, name: str, of: Property, after: int | None) -> Sequence[Mapping[str, str]]:
        """Return labels by code: of the list that the property refers to, and of its own options; read after that
        moment."""
        if of.labels or of.naming == "options":
            # Options are part of the definition, which may be a day old.
            of = self._schema.properties(name, within=A_WHILE, after=after).get(of.name, of)
        try:
            return self._referred(name, of, after), of.labels
        except SourceRefused as error:
            what = f"label({of.name}) of {name} needs a list that may not be read: {error.message}"
            place = {"source": error.source, "stream": error.stream}
            raise SourceRefused(what, hint=error.hint, field=of.name, **place) from error

    def _referred(self, name: str, of: Property, after: int | None) -> Mapping[str, str]:
        match of.naming:
            case "owners":
                return self._schema.owners(after=after).names
            case "users":
                return self._schema.owners(after=after).users
            case "teams":
                return self._schema.teams(after=after)
            case "pipelines":
                return self._schema.pipelines(name, after=after).pipelines
            case "stages":
                return self._schema.pipelines(name, after=after).stages
            case "value" | "options" | "nowhere":
                return {}


def _first(lists: Sequence[Mapping[str, str]], codes: Sequence[str]) -> str | None:
    return next((labels[code] for code in codes for labels in lists if code in labels), None)
