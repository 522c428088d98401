"""What users see for the codes in properties. A code that nobody knows a label for gets none, and is counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from connectors.hubspot.properties import A_WHILE, SOON, Schema
from connectors.hubspot.values import Property
from sync.shared.clock import Clock
from sync.shared.errors import SourceRefused
from sync.shared.words import Json

REMEMBERED = 10_000
"""Unknown codes that are remembered; beyond that they are asked for once more."""


class HubSpotLabels:
    """Looks up labels, and keeps count of what has none.

    A list that is used is read again when it is older than `A_WHILE`, and as soon as it lacks a code, which may have
    been added since: once for all codes of an answer, and for the same code once in `SOON`.
    """

    def __init__(self, schema: Schema, clock: Clock) -> None:
        self._schema = schema
        self._clock = clock
        self._unknown: dict[tuple[str, str, str], float] = {}
        self._lacking: dict[str, int] = {}

    def label(self, name: str, of: Property, text: Json, pipeline: Json, after: int) -> Json:
        """Return what users see for a value as HubSpot sends it: text, or a list where there may be several; None
        where there is no label.

        `name` is the object, `pipeline` the record's, `after` the moment (`Schema.mark`) when the record was read.
        Raises SourceRefused where the list may not be read.
        """
        if of.naming == "value":
            return of.value(text)
        found = [self._code(name, of, code, pipeline, after) for code in of.codes(text)]
        known = [label for label in found if label is not None]
        if len(known) < len(found):
            place = f"{name}.{of.name}"
            self._lacking[place] = self._lacking.get(place, 0) + 1
        if of.plural:
            return list(dict.fromkeys(known)) or None
        return known[0] if known else None

    def all(self, name: str, of: Property) -> Mapping[str, str]:
        """Return every code of a property and its label; nothing where they cannot be listed. Raises SourceRefused."""
        listed, own = self._lists(name, of, None)
        return {**own, **(self._schema.pipelines(name).each if of.naming == "stages" else listed)}

    def lacking(self) -> dict[str, int]:
        """Return how many records had codes without a label, by `object.property`, since this was last asked."""
        told, self._lacking = self._lacking, {}
        return told

    def _code(self, name: str, of: Property, code: str, pipeline: Json, after: int) -> str | None:
        codes = (f"{pipeline}/{code}", code) if of.naming == "stages" else (code,)
        label = _first(self._lists(name, of, None), codes)
        if label is None and not self._is_unknown(name, of, code):
            label = _first(self._lists(name, of, after), codes)
            if label is None:
                self._unknown[name, of.name, code] = self._clock.boot()
        return label

    def _is_unknown(self, name: str, of: Property, code: str) -> bool:
        if len(self._unknown) > REMEMBERED:
            self._unknown.clear()
        since = self._unknown.get((name, of.name, code))
        return since is not None and self._clock.boot() - since < SOON

    def _lists(self, name: str, of: Property, after: int | None) -> Sequence[Mapping[str, str]]:
        """Labels by their codes: the list that the property refers to, and its own options; read after that moment."""
        if of.labels or of.naming == "options":
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
