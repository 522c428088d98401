"""The events of the log: their stable names, levels and fields.

Every line also has `event`, `level` and `timestamp`. No field holds a secret or a value of a record. A test holds the
table in docs/events.md to this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the log: its level, its meaning, and the names of its fields."""

    level: Level
    meaning: str
    fields: tuple[str, ...]


PARTS = (
    "new",
    "updated",
    "resend",
    "unchanged",
    "filtered",
    "quarantined",
    "known",
    "ignored",
    "held",
    "duplicate",
    "drifted",
    "waiting",
    "withdrawn",
    "forgotten",
)
"""The possible ends of a record that a poll read: these counts add up to `read`."""

EVENTS: dict[str, Event] = {
    "started": Event(
        "info", "The daemon polls and delivers.", ("version", "config", "ledger", "streams", "workspaces")
    ),
    "stopping": Event(
        "info", "A signal asked the daemon to stop; it finishes what is in flight.", ("signal", "in_flight")
    ),
    "stopped": Event("info", "The daemon has stopped.", ("in_doubt",)),
    "config_reloaded": Event(
        "info",
        "The configuration was reloaded and is in force: the streams and workspaces `changed` restart (or end), the "
        "others were not touched; the sources `refused` keep their old form.",
        ("config", "streams", "workspaces", "changed", "refused"),
    ),
    "part_refused": Event(
        "error",
        "A configuration is in force except for this source: because of one of its streams, or of a secret that cannot "
        "be read, it keeps its old form, with the workspaces that it feeds (or is left out, if it has none).",
        ("source", "stream", "workspaces", "error", "hint"),
    ),
    "config_refused": Event(
        "error", "A new configuration cannot be used; the old one stays in force.", ("config", "problems")
    ),
    "query_edited": Event(
        "info",
        "A stream's query was edited; it has the records that the ledger knows, so nothing is sent again.",
        ("stream", "asked", "found", "same"),
    ),
    "source_api_ends": Event(
        "warning",
        "A part of a source's API that the configuration uses ends in `days` days, or has ended (below 0); logged "
        "once a day.",
        ("source", "what", "date", "days", "cure"),
    ),
    "config_warning": Event("warning", "Something in the configuration deserves a look.", ("where", "problem")),
    "ledger_created": Event(
        "info", "There was no ledger, so a new one was made: it knows nothing of what was sent before.", ("ledger",)
    ),
    "recovered": Event(
        "warning",
        "The last process was cut off while a batch was on its way: the batch has the outcome that its receipt "
        "records, or is in doubt.",
        ("workspace", "batch", "leads", "outcome"),
    ),
    "left_on_the_wire": Event(
        "warning",
        "An older process may still have batches on the wire: they are left to it until an answer can no longer "
        "arrive.",
        ("batches", "seconds"),
    ),
    "answered_late": Event(
        "warning",
        "A batch was answered after another process had put it in doubt: the answer settles `settled` leads. If a "
        "person had already settled the batch, nothing changes, and `state` is its state in the ledger.",
        ("workspace", "batch", "verdict", "settled", "state"),
    ),
    "receipts_mended": Event(
        "warning",
        "Receipts that were missing, cut off, damaged or behind were written from the ledger; `why` says which.",
        ("receipts", "batches", "damaged", "made", "why"),
    ),
    "key_gone": Event(
        "error",
        "The ledger's key was removed under the running daemon. It was written again from memory, or could not be "
        "(`error`).",
        ("key", "error"),
    ),
    "poll": Event(
        "info",
        "A poll ended. The counts add up to `read`. Polls that find nothing new are logged once an hour (at debug: "
        "always).",
        (
            "stream",
            "kind",
            "outcome",
            "pages",
            "seconds",
            "read",
            *PARTS,
        ),
    ),
    "first_scan": Event(
        "info",
        "A stream is read for the first time: roughly how many records there are, and how long they take at most.",
        ("stream", "records", "seconds"),
    ),
    "first_scan_over": Event(
        "info",
        "A stream was read completely: how many leads it has, and how long all that is pending will take.",
        ("stream", "leads", "pending", "seconds"),
    ),
    "held": Event(
        "warning",
        "What a poll would create is unusual: it waits for a person's approval.",
        ("stream", "kind", "leads", "why", "settle_with"),
    ),
    "page": Event(
        "debug",
        "A page was committed together with its lane of the cursor.",
        ("stream", "lane", "records", "touched", "counts", "milliseconds"),
    ),
    "source_noted": Event(
        "warning",
        "The source behaved oddly while a page was read, or had codes without labels; no record is lost, "
        "but look into it if it persists.",
        ("stream", "lane", "notes"),
    ),
    "contacts_left_out": Event(
        "info",
        "Leads of this page are sent without contacts that have leads already: because of a common value (`match_on`), "
        "or because they were made from records that were sent (`origin`).",
        ("stream", "why", "contacts"),
    ),
    "children_cut": Event(
        "info",
        "Records of this page have more children than `limit` allows: how many were left out; the last in order are.",
        ("stream", "child", "records", "left_out", "example"),
    ),
    "poll_failed": Event(
        "warning",
        "A poll ended with an error of the source; it resumes where it stopped.",
        ("stream", "kind", "error", "hint", "failures", "retry_in"),
    ),
    "unmappable": Event(
        "warning",
        "Records of this page went to quarantine: which field breaks which rule, how often.",
        ("stream", "field", "rule", "records", "example"),
    ),
    "value_dropped": Event(
        "info",
        "A value was left out of leads of this page or cut to its limit.",
        ("stream", "field", "rule", "records", "hint"),
    ),
    "field_lost": Event(
        "warning",
        "Every lead of a poll lost a mapped field: none of the source's values for it could be used.",
        ("stream", "field", "rule", "leads", "hint"),
    ),
    "sweep": Event(
        "info",
        "All ids were compared with the ledger.",
        ("stream", "listed", "missed", "unseen", "seconds"),
    ),
    "remapped": Event(
        "info",
        "Records were mapped again: the mapping or `match_on` changed, or a person asked for it.",
        ("stream", "records"),
    ),
    "batch": Event(
        "info",
        "A batch has its verdict. `pending` and `room` come at most once a second.",
        (
            "workspace",
            "batch",
            "leads",
            "streams",
            "verdict",
            "status",
            "cause",
            "milliseconds",
            "bytes",
            "pending",
            "room",
        ),
    ),
    "batch_in_doubt": Event(
        "error",
        "Nobody can know whether this batch arrived. Its leads are frozen until a person settles it.",
        ("workspace", "batch", "leads", "streams", "status", "cause", "milliseconds", "account", "settle_with"),
    ),
    "lead_rejected": Event(
        "warning",
        "The server refused this lead alone; it is in quarantine with the server's message (see `quarantine list`).",
        ("workspace", "batch", "stream", "record", "status"),
    ),
    "workspace_rests": Event(
        "warning",
        "A workspace waits before its next request; `why` says for what reason.",
        ("workspace", "why", "cause", "seconds", "next_batch", "hint"),
    ),
    "workspace_resumes": Event("info", "A workspace that rested sends again.", ("workspace",)),
    "rate_limited": Event(
        "warning",
        "A 429; nothing is lost. Why `stranger`: another client uses this key, so we use a `share` of the limit, which "
        "climbs back; `window`: the server's window is longer than documented, so the `margin` grows.",
        ("workspace", "why", "used", "limit", "share", "margin"),
    ),
    "outbox_full": Event(
        "warning", "A poll ended because `max_pending` leads wait to be sent.", ("stream", "pending", "max_pending")
    ),
    "maintenance": Event(
        "debug", "Old payloads were dropped and the ledger tidied.", ("payloads_dropped", "milliseconds")
    ),
    "backup": Event("info", "The day's copy of the ledger was made.", ("path", "bytes", "removed")),
    "backup_failed": Event(
        "warning", "The day's copy of the ledger could not be made; the daemon goes on.", ("folder", "error")
    ),
    "ledger_failed": Event(
        "error", "The ledger cannot be written; nothing is sent that cannot be recorded.", ("error", "hint")
    ),
    "job_failed": Event("error", "A defect of this program ended a job; the others go on.", ("job", "error", "trace")),
    "stalled": Event(
        "error",
        "Work that was begun does not proceed, or a thread is gone (then without `limit`): the watchdog is no longer "
        "fed, so systemd restarts the daemon.",
        ("part", "seconds", "limit"),
    ),
    "moves_again": Event("info", "What had stalled proceeds; the watchdog is fed again.", ("part",)),
    "poked": Event(
        "debug",
        "`poke` asked for polls of these streams now.",
        ("streams",),
    ),
    "poke_off": Event(
        "warning",
        "The socket for `poke` cannot be created beside the ledger; polls continue on schedule.",
        ("error",),
    ),
    "listen_failed": Event(
        "warning",
        "The channels of this source (`listen`) cannot be listened to; this is retried until it works. Polls continue "
        "on schedule. Logged once for each outage.",
        ("source", "error", "hint"),
    ),
    "clock_set": Event(
        "warning",
        "The machine's clock was set while the daemon was running: polls keep their intervals, `cron` follows the new "
        "time.",
        ("seconds",),
    ),
    "gave_up": Event(
        "error",
        "The daemon ends on its own: why, what to do, and with which exit code.",
        ("error", "problems", "hint", "exit_code"),
    ),
}
