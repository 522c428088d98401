"""Sends requests through simple-salesforce, checks answers, translates errors. Not thread-safe.

The library is given a session and never logs in itself: it would retry a refused session nearly a thousand times, lose
headers on the way, and keep the old host after the organisation moved. (docs/sources.md#simple-salesforce)
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote_plus

import requests
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import SalesforceError

from connectors.bounds import AnswerBudget, BeyondBudget, Budgeted, longest_record
from connectors.salesforce.descriptions import ObjectSchema
from connectors.salesforce.errors import (
    FieldRefused,
    LocatorLost,
    NotAccessible,
    RequestTooLong,
    Slow,
    error_of,
    fault_of,
    unclear,
)
from connectors.salesforce.fault_kinds import SalesforceFault
from connectors.salesforce.query_pages import QueryPage, SalesforceRow, number
from connectors.salesforce.selection import lacking
from connectors.salesforce.session import SalesforceSession, Token
from connectors.salesforce.soql import BATCH, Select, id_literal, ids_in
from connectors.salesforce.transport import connection_error
from sync.shared.errors import SourceRefused
from sync.shared.words import Json

SMALLEST_BATCH = 100
"""Rows below which a query that is too slow is not cut further."""
IDS = 200
"""Ids in one query: each takes 27 bytes of the address."""


class Client(Budgeted):
    """One connector's connection to Salesforce, opened by its first request."""

    def __init__(self, account: SalesforceSession) -> None:
        self.account = account
        self._http = account.http()
        self._salesforce: Salesforce | None = None
        self._token: Token | None = None
        self.held = 0
        """Bytes in which the last batch of `batches` came, where no budget was set."""
        self.without_label: Counter[str] = Counter()
        """Values without a label since the last page, by `Account.Industry`."""

    def close(self) -> None:
        self._http.close()
        self._salesforce = None

    # ---- what it reads

    def now(self, stream: str) -> int:
        """Return Salesforce's time in whole seconds since 1970, by the date of any answer. Asks for the versions if
        there was none."""
        clock = self.account.server_clock()
        if clock is None:
            self.versions(stream)
            clock = self.account.server_clock()
        if clock is None:
            raise unclear("it bears no date", self.account.source, stream)
        return math.floor(clock)

    def versions(self, stream: str) -> list[str]:
        """Return the versions of the API that exist, the oldest first. Not counted as an API request."""

        def ask(salesforce: Salesforce) -> Json:
            return self._plain(f"https://{salesforce.sf_instance}/services/data/")

        answer = self._ask(ask, stream)
        try:
            return sorted((str(each["version"]) for each in answer), key=float)
        except (TypeError, KeyError, ValueError):
            raise unclear("a list of versions was expected", self.account.source, stream) from None

    def user(self, stream: str) -> Json:
        """Return the user as the OpenID endpoint describes it, or None if the session may not ask, which does not
        invalidate it."""
        token = self.account.token(self._http, stream)
        # Not by the library: a refusal here must not count as one of the session.
        headers = {"Authorization": f"Bearer {token.session_id}"}
        try:
            response = self._http.get(f"https://{token.host}/services/oauth2/userinfo", headers=headers)
            return response.json() if response.status_code == 200 else None
        except (requests.exceptions.RequestException, ValueError):
            return None

    def schema(self, name: str, stream: str) -> ObjectSchema:
        """Return an object's description, at most a day old. Raises NotAccessible if the user sees no such object."""

        def describe() -> ObjectSchema:
            # through `restful`: the library's own objects would log in a thousand times over a refused session
            try:
                answer = self._ask(lambda salesforce: salesforce.restful(f"sobjects/{name}/describe"), stream)
            except NotAccessible as absent:
                raise absent.of(name) from None
            try:
                return ObjectSchema.of(answer)
            except (TypeError, KeyError, AttributeError):
                raise unclear(f"a description of {name} was expected", self.account.source, stream) from None

        return self.account.schema(name, describe)

    def objects(self, stream: str) -> list[SalesforceRow]:
        """Return all objects that the user sees, with `name`, `label` and `queryable`."""
        answer = self._ask(lambda salesforce: salesforce.restful("sobjects"), stream)
        try:
            return [dict(each) for each in answer["sobjects"] if each["name"]]
        except (TypeError, KeyError, ValueError):
            raise unclear("a list of objects was expected", self.account.source, stream) from None

    def count(self, select: Select, stream: str) -> int:
        """Return how many rows a query has."""
        answer = self._query(select.count(), select.deleted, stream)
        return QueryPage.of(answer, self.account.source, stream).total

    def one(self, soql: str, stream: str) -> SalesforceRow | None:
        """Return the first row of a query, or None."""
        rows = QueryPage.of(self._query(soql, False, stream), self.account.source, stream).rows
        return rows[0] if rows else None

    def try_out(self, select: Select, stream: str) -> SalesforceRow | None:
        """Return the first row, if any, of exactly the query that reads the rows. Raises whatever reading would
        raise."""
        rows = self._batch(select, None, 1, stream).rows
        return rows[0] if rows else None

    def batches(
        self, select: Select, stream: str, after: str | None = None, *, patient: bool = False
    ) -> Iterator[list[SalesforceRow]]:
        """Yield all rows in the order of their ids, in batches.

        Each batch begins after the last id of the one before, so a lost locator costs nothing. Raises Slow if a batch
        takes too long; if `patient`, only after trying with fewer rows. Where rows are long, there are fewer.
        """
        limit = BATCH
        while True:
            try:
                batch = self._batch(select, after, limit, stream)
            except Slow:
                if not patient or limit <= SMALLEST_BATCH:
                    raise
                # Fewer rows may come in time; it does not grow again for this reading.
                limit = max(SMALLEST_BATCH, limit // 4)
                continue
            except BeyondBudget:
                if self.budget is not None:
                    raise  # whoever set it asks for fewer
                limit = max(1, limit // 4)
                continue
            if batch.rows:
                if batch.rows[-1]["Id"] == after:
                    raise unclear("the same rows come again", self.account.source, stream)
                after = str(batch.rows[-1]["Id"])
                yield batch.rows
            # Only a whole answer with fewer rows than asked for is the end: a short page is not.
            if batch.done and batch.total < limit:
                return

    def rows_of(
        self, select: Select, field: str, ids: Sequence[str], stream: str, at_once: int = IDS
    ) -> Iterator[SalesforceRow]:
        """Yield all rows whose `field` is one of these ids, in the order of the rows' ids for every `at_once` of
        them."""
        for start in range(0, len(ids), at_once):
            yield from self._rows_of(select, field, ids[start : start + at_once], stream)

    def _rows_of(self, select: Select, field: str, ids: Sequence[str], stream: str) -> Iterator[SalesforceRow]:
        after = None
        try:
            for batch in self.batches(select.where(ids_in(field, ids)), stream):
                yield from batch
                after = str(batch[-1]["Id"])
        except (Slow, RequestTooLong):
            if len(ids) == 1:
                raise
            # Rows up to `after` were emitted; both halves go on behind it.
            rest, half = select.where(f"Id > {id_literal(after)}" if after else None), len(ids) // 2
            yield from self._rows_of(rest, field, ids[:half], stream)
            yield from self._rows_of(rest, field, ids[half:], stream)

    def _batch(self, select: Select, after: str | None, limit: int, stream: str) -> QueryPage:
        """Return the next rows. If the rest of an answer was lost, or is too long, it has fewer rows than exist, and is
        not `done`."""
        if self.budget is not None:
            return self._whole_batch(select, after, limit, stream)
        # Half of what may be held: the other half is for the children of these rows.
        budget = AnswerBudget()
        budget.most //= 2
        try:
            with self.within(budget):
                return self._whole_batch(select, after, limit, stream)
        except BeyondBudget:
            if limit > 1:
                raise
            what, hint = longest_record(), "map fewer fields"
            raise SourceRefused(what, hint=hint, source=self.account.source, stream=stream) from None
        finally:
            self.held = budget.held

    def _whole_batch(self, select: Select, after: str | None, limit: int, stream: str) -> QueryPage:
        source = self.account.source
        answer = first = QueryPage.of(self._query(select.page(after, limit), select.deleted, stream), source, stream)
        rows = list(first.rows)
        while answer.more is not None:
            try:
                answer = QueryPage.of(self._more(answer.more, stream), source, stream)
            except (LocatorLost, BeyondBudget):
                if not rows:
                    raise
                # The next query goes on behind these rows.
                return QueryPage(rows, first.total, None, done=False)
            rows += answer.rows
        # Rows that are silently missing must not pass for records that are gone.
        if len(rows) != first.total:
            raise unclear(f"{len(rows):,} rows came of {first.total:,}", source, stream)
        ids = [row.get("Id") for row in rows]
        if not all(isinstance(id_, str) for id_ in ids):
            raise unclear("rows without ids", source, stream)
        if (field := lacking(rows, select.fields)) is not None:
            raise self._left_out(select.object, field, stream)
        return QueryPage(rows, first.total, None, done=True)

    def _left_out(self, name: str, field: str, stream: str) -> FieldRefused:
        """Return the error for a field that is silently absent: taken for empty, it would open a filter on it."""
        error = FieldRefused(
            f"Salesforce leaves a field out of its answer: {name}.{field}",
            hint="was it deleted, or may the user not see it any more? Otherwise take it out of the mapping",
            source=self.account.source,
            stream=stream,
        )
        error.column = field.rsplit(".", maxsplit=1)[-1]
        return error

    # ---- how it asks

    def _query(self, soql: str, deleted: bool, stream: str) -> Json:
        """Return the answer to a query. A long one is sent in a body: addresses are limited by Salesforce and by every
        proxy. (docs/sources.md#salesforce-queries)"""
        path = f"{'queryAll' if deleted else 'query'}/?q={quote_plus(soql)}"
        if len(path) <= self.account.longest_uri:
            try:
                return self._rows(lambda salesforce: salesforce.query(soql, include_deleted=deleted), stream)
            except RequestTooLong:
                # A proxy takes less than Salesforce does: remembered for all streams.
                self.account.longest_uri = min(self.account.longest_uri, len(path) - 1)
        return self._rows(lambda salesforce: composite(salesforce, path, self.account.source, stream), stream)

    def _more(self, path: str, stream: str) -> Json:
        return self._rows(lambda salesforce: salesforce.query_more(path, identifier_is_url=True), stream)

    def _rows(self, ask: Callable[[Salesforce], Json], stream: str) -> Json:
        with self._http.within(self.budget):
            return self._ask(ask, stream)

    def _plain(self, url: str) -> Json:
        response = self._http.get(url)
        if response.status_code != 200:
            fault = fault_of(response.status_code, None)
            raise error_of(fault, self.account.source, None)
        return response.json()

    def _ask(self, ask: Callable[[Salesforce], Json], stream: str) -> Json:
        """Send a request; if its session is refused, once more with a new one."""
        self.account.quota.admit(stream, self.account.now())
        token = self.account.token(self._http, stream)
        fault = self._try(ask, token, stream)
        if isinstance(fault, SubrequestRefused) and fault.fault.kind == "session":
            # There are no credentials to open another one with.
            if self.account.options.auth.flow == "session":
                raise self._session_over(fault.fault, stream)
            token = self.account.token(self._http, stream, instead_of=token)
            fault = self._try(ask, token, stream)
            if isinstance(fault, SubrequestRefused) and fault.fault.kind == "session":
                error = self._session_over(fault.fault, stream)
                self.account.refused(token, error)
                raise error
        if not isinstance(fault, SubrequestRefused):
            self.account.worked()
            return fault
        if fault.fault.kind in {"daily", "crowded"}:
            self.account.limited(fault.fault)
        raise error_of(fault.fault, self.account.source, stream)

    def _session_over(self, fault: SalesforceFault, stream: str) -> SourceRefused:
        if self.account.options.auth.flow == "session":
            hint = "open another one and give it as session_id"
            return SourceRefused(fault.what, hint=hint, source=self.account.source, stream=stream)
        what = f"{fault.what}, and so is one just opened"
        hint = "see the user's sessions and policies: Setup, Session Settings; Setup, Login History"
        return SourceRefused(what, hint=hint, source=self.account.source, stream=stream)

    def _try(self, ask: Callable[[Salesforce], Json], token: Token, stream: str) -> Json | SubrequestRefused:
        try:
            return ask(self._client(token))
        except Inside as inside:
            return SubrequestRefused(inside.fault)
        except SalesforceError as error:
            return SubrequestRefused(fault_of(error.status, error.content))
        except (requests.exceptions.RequestException, OSError) as error:
            raise connection_error(error, self.account.source, stream) from None
        except (ValueError, RecursionError):
            raise unclear("it is not JSON", self.account.source, stream) from None

    def _client(self, token: Token) -> Salesforce:
        """Return the library's client for this session. A client keeps its session and host for good, so another
        session gets another client."""
        if self._salesforce is None or self._token != token:
            self._salesforce = Salesforce(
                session_id=token.session_id,
                instance=token.host,
                session=self._http,
                version=self.account.options.api_version,
                parse_float=number,
                object_pairs_hook=dict,
            )
            self._token = token
        return self._salesforce


# ---- queries that are sent in a body


@dataclass(frozen=True, slots=True)
class SubrequestRefused:
    """Salesforce answered with an error."""

    fault: SalesforceFault


class Inside(Exception):
    """An error inside the answer to a composite request, which itself is a 200."""

    def __init__(self, fault: SalesforceFault) -> None:
        super().__init__(fault.what)
        self.fault = fault


def composite(salesforce: Salesforce, path: str, source: str, stream: str) -> Json:
    """Return the answer to a query that is sent in a request's body. Raises Inside, SourceUnavailable."""
    url = f"/services/data/v{salesforce.sf_version}/{path}"
    body = {"compositeRequest": [{"method": "GET", "url": url, "referenceId": "query"}]}
    answer = salesforce.restful("composite", method="POST", json=body)
    try:
        inner = (answer or {})["compositeResponse"][0]
        status, content = int(inner["httpStatusCode"]), inner["body"]
    except (TypeError, KeyError, IndexError, ValueError):
        raise unclear("a composite was expected", source, stream) from None
    if status >= 300:
        raise Inside(fault_of(status, content))
    return content
