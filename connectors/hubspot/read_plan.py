"""The plan by which a stream is read: its object, and the associated objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from pydantic import BaseModel

from connectors.hubspot.options import HubspotChild, HubspotStream
from connectors.hubspot.properties import Schema
from connectors.interface import StreamSpec
from sync.shared.words import Wanted


@dataclass(frozen=True, slots=True)
class AssociatedObject:
    """Associated records that the mapping reads. `limit`: how many are nested into one record at most."""

    name: str
    object: str
    limit: int
    wanted: Wanted


@dataclass(frozen=True, slots=True)
class HubSpotReadPlan:
    """A stream with its object and children by their names in the paths."""

    spec: StreamSpec
    object: str
    children: tuple[AssociatedObject, ...]

    @property
    def own(self) -> Wanted:
        """Return the wanted fields of the record itself."""
        fields, names = self.spec.wanted.fields, {child.name for child in self.children}
        return Wanted(None if fields is None else frozenset(path for path in fields if path[0] not in names))

    @property
    def called(self) -> dict[str, str]:
        """Return the objects' names in the configuration, by their names in the paths."""
        own = {self.object: cast("HubspotStream", self.spec.options).object}
        return {**{child.object: _object_of(self.spec.children[child.name]) for child in self.children}, **own}

    def child(self, name: str) -> AssociatedObject:
        """Return the child of that name."""
        return next(child for child in self.children if child.name == name)


def _object_of(options: BaseModel) -> str:
    return cast("HubspotChild", options).object


def plan_of(spec: StreamSpec, schema: Schema) -> HubSpotReadPlan:
    """Return the plan of a stream. Raises SourceRefused if an object does not exist."""
    children = []
    for name, options in sorted(spec.children.items()):
        wanted = spec.wanted.of_child(name)
        # A child that the mapping does not read costs no calls.
        if wanted is not None:
            child = cast("HubspotChild", options)
            children.append(AssociatedObject(name, schema.object_name(child.object), child.limit, wanted))
    return HubSpotReadPlan(spec, schema.object_name(cast("HubspotStream", spec.options).object), tuple(children))


def read_by_name(plan: HubSpotReadPlan, *child: str) -> set[str]:
    """Return the fields of the stream's object, or of that child, that the mapping reads by name."""
    children = {each.name for each in plan.children}
    paths = [path[len(child) :] for path in plan.spec.readers if path[: len(child)] == child]
    return {path[0] for path in paths if path and (child or path[0] not in children)}
