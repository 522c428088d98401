"""Holds every request and every answer against HubSpot's own API documents.

The documents are the published ones (github.com/HubSpot/HubSpot-public-api-spec-collection at 99893791, the read part
of them), with the patches listed in their `info.x-patches`: where the published ones reject HubSpot's recorded answers,
and where the documentation sets limits that they lack.

One of a shape is checked for all of that shape: the same operation, the same keys and types; of a request the same
lengths of lists and the same query, of an answer the same status.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode

from openapi_core import OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest, MockResponse

UNPUBLISHED = ("/crm/lists/", "/crm/v3/lists/", "/settings/", "/crm/pipelines/2")
"""Paths of which there is no document here: their answers are as the vendor's reference describes them."""
DATED = re.compile(r"/\d{4}-\d\d\b")
TOLD = ("operator", "direction", "category", "dataSensitivity")
"""Keys whose text is one of a few words."""


@cache
def document(family: str) -> OpenAPI:
    content = json.loads(gzip.decompress((Path(__file__).parent / "openapi" / f"{family}.json.gz").read_bytes()))
    for operations in content["paths"].values():
        for operation in operations.values():
            operation.pop("security", None)  # tokens are the stand-in's matter
    for path, operations in content["paths"].items():
        if path.endswith("batch/read"):  # the dated document forgot the 207 that the legacy one has
            operations["post"]["responses"].setdefault("207", operations["post"]["responses"]["200"])
    return OpenAPI.from_dict(content)


class Contract:
    """Checks exchanges; what does not fit is kept in `violations`."""

    seen: ClassVar[set[str]] = set()

    def __init__(self) -> None:
        self.is_held = True
        """Set to False by tests of answers that no document has."""
        self.violations: list[str] = []
        self.checked = 0

    def check(self, method: str, path: str, query: dict[str, str], body: Any, status: int, answer: Any) -> None:
        if path.startswith(UNPUBLISHED) or not self.is_held:
            return
        self.checked += 1
        dated = DATED.search(path)
        path = DATED.sub("/2026-09", path)  # later families take and give the same
        asked = json.dumps([method, _plain(path), sorted(query.items()), _shape(body, True)])
        answered = json.dumps([method, _plain(path), status, _shape(answer, False)])
        if self.seen >= {asked, answered}:
            return
        request = MockRequest(
            "https://api.hubapi.com",
            method.lower(),
            path,
            args=query,
            headers={"Authorization": "Bearer x", "Accept": "application/json"},
            data=None if body is None else json.dumps(body).encode(),
            content_type="application/json",
        )
        response = MockResponse(json.dumps(answer).encode(), status, content_type="application/json")
        family = "2026-09" if dated else "legacy"
        checks: dict[str, Callable[[], object]] = {
            asked: lambda: document(family).validate_request(request),
            answered: lambda: document(family).validate_response(request, response),
        }
        for shape in checks.keys() - self.seen:
            self.seen.add(shape)
            try:
                checks[shape]()
            except OpenAPIError as error:
                causes = [str(each) for each in getattr(error.__cause__, "schema_errors", [])] or [str(error.__cause__)]
                self.violations.append(f"{method} {path}?{urlencode(query)} {status}: {error}: {causes[:3]}")


def _plain(path: str) -> str:
    return "/".join("#" if part.isdigit() else part for part in path.split("/"))


def _shape(value: Any, exact: bool, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _shape(each, exact, name) for name, each in value.items()}
    if isinstance(value, list):
        kinds = {json.dumps(_shape(each, exact), sort_keys=True) for each in value}
        return [len(value) if exact else min(len(value), 1), sorted(kinds)]
    if isinstance(value, str):
        return value if key in TOLD else "text"
    if isinstance(value, int) and key == "limit":
        return value
    return type(value).__name__
