"""Labels that users see for codes: beside each field whose label is wanted stands `field@label`.

Labels come from the object's description. A code that it lacks is looked up once in a fresh one. If that lacks it too
(a value that was taken off the list) the label is null, never the code. A field without a list is its own label.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from connectors.salesforce.descriptions import NAME, Field
from connectors.salesforce.query_pages import SalesforceRow
from connectors.salesforce.rest_client import Client
from connectors.salesforce.selection import FieldSelection, Labelled
from sync.shared.words import LABEL, Json


class SalesforceLabels:
    """Adds labels to one stream's records. Missing ones are counted in the client, by `Account.Industry`."""

    def __init__(self, client: Client, stream: str) -> None:
        self._client = client
        self._stream = stream

    def look_up(self, selection: FieldSelection, rows: Sequence[SalesforceRow]) -> None:
        """Have objects described again whose description lacks a code of these rows, once for each code."""
        doubted: dict[str, set[str]] = {}
        for labelled in selection.labelled:
            for code in _unknown(self._field(labelled), labelled.path, rows):
                # By field and code: the same code may be known in another field.
                doubted.setdefault(labelled.object, set()).add(f"{labelled.path[-1]}={code}")
        for name, codes in doubted.items():
            self._client.account.doubt(name, codes)

    def add_to(self, data: dict[str, Json], selection: FieldSelection) -> None:
        """Write the labels beside their codes."""
        for labelled in selection.labelled:
            holder = _holder(data, labelled.path)
            code = None if holder is None else holder.get(labelled.path[-1])
            if holder is not None:
                holder[labelled.path[-1] + LABEL] = self._label(labelled, code)

    def _label(self, labelled: Labelled, code: Json) -> Json:
        field = self._field(labelled)
        if field is None or not isinstance(code, str) or not field.is_listed:
            return None if field is None else code
        labels, without = field.labels_of(code)
        if without:
            self._client.without_label[f"{labelled.object}.{field.name}"] += 1
        # Always a list, even of one label, so that a mapping need not distinguish.
        if field.type == "multipicklist":
            return labels or None
        return labels[0] if labels else None

    def _field(self, labelled: Labelled) -> Field | None:
        if labelled.object == NAME.name:
            return NAME.fields[labelled.path[-1]]
        return self._client.schema(labelled.object, self._stream).fields.get(labelled.path[-1])


def _unknown(field: Field | None, path: Sequence[str], rows: Sequence[SalesforceRow]) -> Iterator[str]:
    for row in rows:
        holder = _holder(row, path)
        code = None if holder is None else holder.get(path[-1])
        if field is not None and field.is_listed and isinstance(code, str):
            yield from field.labels_of(code)[1]


def _holder(record: Any, path: Sequence[str]) -> Any:
    """Return the record, or the parent inside it, that has the field at the end of a path; None if there is none."""
    for name in path[:-1]:
        record = record.get(name) if isinstance(record, dict) else None
    return record if isinstance(record, dict) else None
