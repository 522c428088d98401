"""The sweep: all ids with their times of change, in the order of ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from connectors.salesforce.options import SalesforceStream
from connectors.salesforce.query_pages import SalesforceRow
from connectors.salesforce.read_plan import SalesforceReadPlan
from connectors.salesforce.records import id_of, when_of
from connectors.salesforce.rest_client import Client
from sync.shared.words import Json, Listing


def listings(client: Client, plan: SalesforceReadPlan, cursor: Json) -> Iterator[Listing]:
    """From after `cursor` on; while requests are scarce none."""
    options = plan.spec.options
    reread = isinstance(options, SalesforceStream) and options.reread
    size, after = plan.spec.page_size, None if cursor is None else str(cursor["after"])
    waiting: Sequence[SalesforceRow] = ()
    client.account.quota.spare(plan.stream)
    for batch in client.batches(plan.source.rows(), plan.stream, after, patient=True):
        for start in range(0, len(batch), size):
            if waiting:
                yield _listing(client, plan, waiting, last=False, reread=reread)
            waiting = batch[start : start + size]
        client.account.quota.spare(plan.stream)
    yield _listing(client, plan, waiting, last=True, reread=reread)


def _listing(
    client: Client, plan: SalesforceReadPlan, rows: Sequence[SalesforceRow], *, last: bool, reread: bool
) -> Listing:
    """With `reread` no time says that a record is as it was."""
    listed = [(id_of(client, plan, row), None if reread else when_of(client, plan, row)) for row in rows]
    return Listing(None if last else {"after": listed[-1][0]}, listed)
