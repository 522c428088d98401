"""The wanted fields of one object: chooses the properties to request, and checks that rows carry them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from connectors.hubspot.api_paths import modified_property
from connectors.hubspot.crm import HubSpotRow
from connectors.hubspot.labels import HubSpotLabels
from connectors.hubspot.values import Property, milliseconds, nearest, without_label
from connectors.interface import StreamSpec
from sync.shared.words import LABEL, Json, Wanted

MERGED = "hs_merged_object_ids"
ASSOCIATION = "association"
"""The field of a nested record that describes its association with the parent: `primary` (a boolean) and `labels`."""
PIPELINES = ("pipeline", "hs_pipeline")
"""The property that holds a record's pipeline: the first for deals, the second for all other objects."""

GONE_HINT = "restore it in HubSpot if it was deleted, else map another one: sensitive data cannot be read"
LACKING_HINT = (
    "its definition exists: may the token see its values (scopes, sensitive data)? It is checked again at each try"
)

SOME_HINT = "it may just have been deleted or restored in HubSpot: it is checked again at the next try"


@dataclass(frozen=True, slots=True)
class RequestedFields:
    """The wanted fields of one object. `asked` are the properties to request, `needed` those that every row must carry.

    HubSpot returns a property without a value as null. One that it does not know, or does not show to the token, it
    leaves out without an error. (docs/sources.md#hubspot-reading-records)
    """

    object: str
    names: tuple[str, ...]
    known: Mapping[str, Property]
    asked: tuple[str, ...]
    needed: frozenset[str]

    @classmethod
    def of(cls, name: str, wanted: Wanted, known: Mapping[str, Property], read: Iterable[str] = ()) -> RequestedFields:
        """Return the fields of an object. `read`: names that the mapping reads although it wants the record whole; the
        other properties may be absent from rows then."""
        named = (set(read) if wanted.fields is None else {path[0] for path in wanted.fields}) - {ASSOCIATION}
        names = sorted({*named, *(known if wanted.fields is None else ())})
        # Always read: without it a merge looks like a new record, and becomes a second lead.
        extra = [MERGED] if MERGED in known else []
        if any(_is_stage(each, known) for each in names):
            # Pipelines may share the ids of stages, so a stage's label depends on the pipeline.
            extra += [each for each in PIPELINES if each in known]
        asked = dict.fromkeys([*(without_label(each) for each in names), *extra, modified_property(name)])
        needed = {*(without_label(each) for each in named), *extra}
        return cls(name, tuple(names), known, tuple(asked), frozenset(needed))

    @property
    def missing(self) -> list[str]:
        """Return the properties that the account does not have: HubSpot would leave them out without an error."""
        return [each for each in dict.fromkeys(map(without_label, self.names)) if each not in self.known]

    @property
    def calculated(self) -> list[str]:
        """Return the wanted properties whose changes do not move the record's modified time.
        (docs/sources.md#hubspot-modified-times)"""
        return [each for each in self.names if each in self.known and self.known[each].calculated]

    @property
    def labelled(self) -> list[Property]:
        """Return the properties whose labels are wanted."""
        wanted = (without_label(each) for each in self.names if each.endswith(LABEL))
        return [self.known[each] for each in wanted if each in self.known]

    def lacking(self, rows: Sequence[HubSpotRow]) -> dict[str, int]:
        """Return the properties that rows lack although they were asked for, each with the number of such rows."""
        counts: dict[str, int] = {}
        for row in rows:
            properties = row.get("properties") or {}
            # The usual case is one comparison; the difference is counted only for rows that lack something.
            if not self.needed <= properties.keys():
                for name in self.needed - properties.keys():
                    counts[name] = counts.get(name, 0) + 1
        return dict(sorted(counts.items()))

    def data(self, row: HubSpotRow, labels: HubSpotLabels, after: int) -> dict[str, Json]:
        """Return the row's values and labels. `after` is the moment (`Schema.mark`) when the row was read."""
        properties = row.get("properties") or {}
        pipeline = next((properties[each] for each in PIPELINES if properties.get(each)), None)
        found: dict[str, Json] = {}
        for name in self.names:
            of = self.known[without_label(name)]
            text = properties.get(of.name)
            label = name.endswith(LABEL)
            found[name] = labels.label(self.object, of, text, pipeline, after) if label else of.value(text)
        return found

    def modified(self, row: HubSpotRow) -> int | None:
        """Return when the record last changed, in milliseconds since 1970; None if the row does not say."""
        when = (row.get("properties") or {}).get(modified_property(self.object)) or row.get("updatedAt")
        return milliseconds(when)


def _is_stage(name: str, known: Mapping[str, Property]) -> bool:
    of = known.get(without_label(name))
    return name.endswith(LABEL) and of is not None and of.naming == "stages"


def missing_words(spec: StreamSpec, name: str, missing: str, *child: str) -> str:
    """Return words such as: `companies has no property 'nmae' (read by sources.hub.streams.companies.lead.name)`."""
    return f"{name} has no property {missing!r}{_readers(spec, missing, *child)}"


def lacking_words(spec: StreamSpec, name: str, lacking: str, *child: str) -> str:
    """Return words such as: `HubSpot leaves out the property 'tier' of companies (read by ….lead.labels)`."""
    return f"HubSpot leaves out the property {lacking!r} of {name}{_readers(spec, lacking, *child)}"


def _readers(spec: StreamSpec, name: str, *child: str) -> str:
    keys = dict.fromkeys([*spec.read_by(*child, name), *spec.read_by(*child, name + LABEL)])
    return f" (read by {', '.join(keys)})" if keys else ""


def missing_hint(name: str, known: Iterable[str]) -> str:
    """Return the cure for a missing property: the most similar name, if there is any."""
    near = nearest(name, known)
    return f"did you mean {near!r}?" if near else GONE_HINT
