"""Mutants that no test can tell from the program: by module, the line, what it becomes, and why that is the same."""

from __future__ import annotations

from typing import NamedTuple

OUTCOME = "sync/delivery/outcome.py"
ON_REJECTED = (
    'answer: Answer, *, unknown_statuses: Collection[int] = (), on_rejected: Literal["bisect", "hold"] = "bisect"'
)
BASE = 'base = Outcome("in_doubt", "", status, message, answer.retry_after, account=answer.account)'


class Known(NamedTuple):
    module: str
    line: str
    becomes: str
    why: str


KNOWN: tuple[Known, ...] = (
    *(
        Known(OUTCOME, ON_REJECTED, ON_REJECTED.removesuffix('"bisect"') + other, "all but hold is to bisect")
        for other in ('"XXbisectXX"', '"BISECT"')
    ),
    *(
        Known(OUTCOME, BASE, BASE.replace('"", status', f"{other}, status"), "each verdict puts its own cause there")
        for other in ("None", '"XXXX"')
    ),
    Known(
        "sync/delivery/outcome.py",
        'text = raw.removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace")',
        'text = raw.removeprefix(codecs.BOM_UTF8).decode("UTF-8", "replace")',
        "two names of one encoding",
    ),
    Known(
        "sync/delivery/outcome.py",
        'said = next((text for text in texts if isinstance(text, str) and text.strip()), "")',
        "said = next((text for text in texts if isinstance(text, str) and text.strip()), None)",
        "either is left out where the parts are joined",
    ),
    Known(
        "sync/delivery/outcome.py",
        'words = " ".join((rejected.message or "").lower().split())',
        'words = " ".join((rejected.message or "XXXX").lower().split())',
        "neither is one of the vendor's messages",
    ),
    Known(
        "sync/delivery/outcome.py",
        'return _http_date(date or "") or ours',
        'return _http_date(date or "XXXX") or ours',
        "neither is a date",
    ),
    Known(
        "sync/delivery/pace.py",
        "wait = min(first * 2.0 ** min(exponent, 30), most) * (0.5 + random.random() / 2)",
        "wait = min(first * 2.0 ** min(exponent, 31), most) * (0.5 + random.random() / 2)",
        "both are far beyond every longest wait",
    ),
    Known(
        "sync/polling/judge.py",
        "state = settle(version, lead_exists=False).state",
        "state = settle(version, lead_exists=None).state",
        "only its truth is asked for",
    ),
)
