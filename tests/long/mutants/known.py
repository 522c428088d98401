"""Mutants that no test can tell from the program: by module, the line, what it becomes, and why that is the same."""

from __future__ import annotations

from typing import NamedTuple

JUDGE = "sync/polling/judge.py"
OUTCOME = "sync/delivery/outcome.py"
ON_REJECTED = (
    'answer: ApiResponse, *, unknown_statuses: Collection[int] = (), on_rejected: Literal["bisect", "hold"] = "bisect"'
)
BASE = 'base = Outcome("in_doubt", "", status, message, answer.retry_after, account=answer.account)'
ON_UNKNOWN = 'on_unknown="resend" if given_up else "hold",'
BY_CHANCE = "if had and not now.having.get(name) and (1 - share) ** now.leads < CHANCE:"
BY_STREAM = 'moved = Counter(stream for (stream,) in connection.execute(_DELIVER, {"batch": batch, "now": now}))'
BY_STATEMENT = 'if verdict == "created" and positions is None:'
ALL_DELIVERED = 'if moved["delivered"] == _leads_of(connection, batch):'
DELIVERED = "by_stream += _deliver(connection, batch, self._now())"
FINGERPRINTED = "fingerprinted = source if codes is projected else orjson.dumps(codes, option=orjson.OPT_SORT_KEYS)"
IS_KNOWN = 'return latest.mapping == number and latest.source_fp == source_fp and latest.fit != "deleted"'
NAMES = 'names = dict(connection.execute("SELECT id, name FROM streams").fetchall()) if moved else {}'
NO_JSON = 'return _unusable(record, number, Note("", "holds text or nesting that JSON cannot carry", None), origin)'
NO_RECORD = 'return _unusable(record, number, Note("", record.problem or "", None), origin)'
PARTS_OF = 'parts = parts_of(places, blamed, unused_part(connection), of=rows[0]["part"], by_size=by_size)'
QUICK = 'if reading.version.fit == "eligible" and rules.since is None and not rules.baseline:'
ROUNDED = 'return f"{number:,.0f}" if number >= 10 or not number else f"{max(number, 0.1):.1f}".removesuffix(".0")'
SINCE = 'since = max(self.began, min(self.ended - USUAL_DAYS * DAY, few["ended_at"] if few else self.began))'
UNUSED = "return max(int(connection.execute(sql).fetchone()[0] or 0) for sql in _GREATEST) + 1"
TOO_MANY = "if not self._notes and self._left.leads + self._report.queued > self._job.guard.max_new:"


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
        "state/diagram.py",
        "unknown = Version(latest.fit, latest.modified, latest.mapping, None, None)",
        "unknown = Version(None, latest.modified, latest.mapping, None, None)",
        "the ledger keeps no fit of a base, and nobody asks for it",
    ),
    Known(
        "sync/polling/judge.py",
        "state = settle(version, lead_exists=False).state",
        "state = settle(version, lead_exists=None).state",
        "only its truth is asked for",
    ),
    Known(
        JUDGE,
        FINGERPRINTED,
        FINGERPRINTED.replace("if codes is projected", "if (codes is projected) and False"),
        "the same text: the condition saves making it again",
    ),
    *(Known(JUDGE, line, line.replace(", None)", ", )"), "a note is about no length") for line in (NO_JSON, NO_RECORD)),
    Known(JUDGE, NO_RECORD, NO_RECORD.replace('or ""', 'or "XXXX"'), "it is called where there is a problem"),
    *(
        Known(JUDGE, IS_KNOWN, IS_KNOWN.replace("deleted", other), "of what is gone no fingerprint is kept")
        for other in ("XXdeletedXX", "DELETED")
    ),
    *(
        Known(JUDGE, QUICK, QUICK.replace("eligible", other), "the long way decides the same")
        for other in ("XXeligibleXX", "ELIGIBLE")
    ),
    Known(
        "sync/polling/guard.py",
        ROUNDED,
        ROUNDED.replace("number >= 10", "number > 10"),
        "of ten no decimal place is left over either",
    ),
    Known(
        "sync/polling/guard.py",
        BY_CHANCE,
        BY_CHANCE.replace(" < CHANCE", " <= CHANCE"),
        "no share of whole leads has just this chance",
    ),
    Known(
        "sync/polling/guard.py",
        TOO_MANY,
        TOO_MANY.replace(" > ", " >= "),
        "figures of the poll only save a query: the ledger's decide",
    ),
    Known(
        "state/gate.py",
        "return LeftBehind(polls, _made(connection, stream, latest) if polls else 0)",
        "return LeftBehind(polls, _made(connection, stream, latest) if (polls) or True else 0)",
        "without polls nothing was made: the condition saves a query",
    ),
    Known("state/gate.py", SINCE, SINCE.replace('"ended_at"', '"ENDED_AT"'), "a row's columns have no case"),
    Known(
        "state/gate.py",
        "held = self._hold(connection, stream, poll, reason)",
        "held = self._hold(connection, stream, poll, None)",
        "the next statement gives the reason to all that is held",
    ),
    Known(
        "state/recovery.py",
        '"in_doubt" if given_up else cast(Verdict, found.outcome),',
        '"in_doubt" if given_up else cast(None, found.outcome),',
        "a cast tells the type checker only",
    ),
    *(
        Known("state/recovery.py", ON_UNKNOWN, ON_UNKNOWN.replace('"hold"', other), "all but resend is to hold")
        for other in ('"XXholdXX"', '"HOLD"')
    ),
    Known(
        "state/slots.py",
        "now = clock.boot() if as_of is None else _taken_at(connection, as_of, clock)",
        "now = clock.boot() if (as_of is None) and False else _taken_at(connection, as_of, clock)",
        "no slot was taken now: the condition saves a query",
    ),
    *(
        Known(
            "state/verdicts.py",
            'on_unknown: Literal["hold", "resend"] = "hold",',
            f'on_unknown: Literal["hold", "resend"] = {other},',
            "all but resend is to hold",
        )
        for other in ('"XXholdXX"', '"HOLD"')
    ),
    *(
        Known(
            "state/verdicts.py",
            'verdict: Verdict = "created" if landed else "refused"',
            f'verdict: Verdict = "created" if landed else {other}',
            "all but created is absent: of a lead in doubt no part is kept",
        )
        for other in ('"XXrefusedXX"', '"REFUSED"')
    ),
    Known(
        "state/verdicts.py",
        'said: str = "",',
        'said: str = "XXXX",',
        "a person's word puts nothing in quarantine",
    ),
    Known(
        "state/verdicts.py",
        "by_size: bool = False,",
        "by_size: bool = True,",
        "a person's word makes no parts; every other caller says it",
    ),
    *(
        Known("state/verdicts.py", BY_STATEMENT, BY_STATEMENT.replace(text, other), "`follow` decides the same")
        for text, other in (("created", "XXcreatedXX"), ("created", "CREATED"), ("is None", "is not None"))
    ),
    Known("state/verdicts.py", DELIVERED, DELIVERED.replace("batch", "None"), "`follow` decides the same"),
    Known("state/verdicts.py", DELIVERED, DELIVERED.replace("+=", "="), "the first to be counted"),
    Known(
        "state/verdicts.py",
        'moved["delivered"] += by_stream.total()',
        'moved["delivered"] = by_stream.total()',
        "the first to be counted",
    ),
    *(
        Known(
            "state/verdicts.py",
            ALL_DELIVERED,
            ALL_DELIVERED.replace("delivered", other),
            "of a batch that was delivered whole no record is left to look at: the condition saves queries",
        )
        for other in ("XXdeliveredXX", "DELIVERED")
    ),
    Known("state/verdicts.py", BY_STREAM, "moved = Counter(None)", "`follow` decides the same"),
    Known("state/verdicts.py", NAMES, NAMES.replace("if moved", "if (moved) or True"), "the condition saves a query"),
    *(
        Known("state/parts.py", UNUSED, UNUSED.replace(text, other), "the numbers need only lie above those before")
        for text, other in ((" + 1", " + 2"), ("or 0", "or 1"))
    ),
    Known(
        "state/verdicts.py",
        "parts: Mapping[int, int] = {}",
        "parts: Mapping[int, int] = None",
        "only its truth is asked for",
    ),
    Known(
        "state/verdicts.py",
        PARTS_OF,
        PARTS_OF.replace("rows[0]", "rows[1]"),
        "a part is claimed alone: all leads of a batch are of the same one",
    ),
    Known(
        "state/verdicts.py",
        'blamed = named if is_trusted(connection, rows[0]["part"]) else ()',
        'blamed = named if is_trusted(connection, rows[1]["part"]) else ()',
        "a part is claimed alone: all leads of a batch are of the same one",
    ),
)
