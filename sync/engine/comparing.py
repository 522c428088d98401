"""Edited queries are compared with what the ledger knows, source beside source: one that hangs delays no other."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from time import monotonic

from state.ledger import Ledger
from state.streams import DeclaredStream
from sync.engine.compiled_config import CompiledConfig, StreamForm
from sync.engine.edited_queries import Evidence, evidence_of, refuse
from sync.shared.errors import LedgerUntrusted, SourceRefused, SourceUnavailable, SyncError

AT_ONCE = 2.0
"""Seconds that a reload waits for all comparisons together, before it puts the rest in force."""

Answer = tuple[Evidence | None, SyncError | None]


class Unanswered(SourceUnavailable):
    """A source has not answered yet; the comparison goes on."""

    def __init__(self, stream: str) -> None:
        super().__init__(
            f"the query of the stream {stream} was edited, and its source has not answered yet whether it has the same"
            " records",
            hint="what is edited comes into force by itself once the source answers",
        )


class Comparisons:
    """Comparisons under way, and their answers. They outlive a reload, so that the next one need not ask again; a
    stream that looks otherwise by then is asked for anew."""

    def __init__(self) -> None:
        self._asked: dict[str, tuple[StreamForm, Future[Answer]]] = {}
        self._awaited: list[Future[Answer]] = []

    def look_again(self) -> None:
        """From now on those that have no answer count as awaited when they are asked for."""
        self._awaited = []

    def begin(self, plan: CompiledConfig, names: Sequence[str], ledger: Ledger) -> None:
        """Ask for these streams: a thread for each source."""
        forms, fresh = plan.stream_forms(), dict[str, list[tuple[DeclaredStream, Future[Answer]]]]()
        for declared in plan.declared:
            name = declared.name
            if name in names and (name not in self._asked or self._asked[name][0] != forms[name]):
                answer: Future[Answer] = Future()
                self._asked[name] = forms[name], answer
                fresh.setdefault(name.split(".", 1)[0], []).append((declared, answer))
        for source, asked in fresh.items():
            given = (plan, asked, ledger)
            threading.Thread(target=self._compare, args=given, name=f"compare-{source}", daemon=True).start()

    def answer(self, name: str, until: float) -> Answer:
        """Return the evidence, or why there is none, at the latest at that time of the monotonic clock. Raises
        LedgerBusy, LedgerError."""
        try:
            return self._asked[name][1].result(max(0.0, until - monotonic()))
        except TimeoutError:
            self._awaited.append(self._asked[name][1])
            return None, Unanswered(name)

    @property
    def has_news(self) -> bool:
        """Whether one has answered by now that had not."""
        return any(answer.done() for answer in self._awaited)

    @staticmethod
    def _compare(plan: CompiledConfig, asked: Sequence[tuple[DeclaredStream, Future[Answer]]], ledger: Ledger) -> None:
        for declared, answer in asked:
            try:
                answer.set_result(_compared(plan, declared, ledger))
            except BaseException as error:  # noqa: BLE001 - a thread's boundary: whoever asked raises it
                answer.set_exception(error)


def _compared(plan: CompiledConfig, declared: DeclaredStream, ledger: Ledger) -> Answer:
    name = declared.name
    evidence: Evidence | None = None
    try:
        evidence = evidence_of(plan.config, plan.specs[name], plan.mappings[name], declared, ledger)
        if evidence is not None:
            refuse(evidence)
    except (LedgerUntrusted, SourceUnavailable, SourceRefused) as failure:
        return evidence, failure
    return evidence, None
