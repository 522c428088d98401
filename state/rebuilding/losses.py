"""Detects losses in receipts that nothing else makes up for: a ledger made from the rest would send those leads
again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from state.database import Connect, LedgerFile, translated
from state.key_files import Hasher
from state.receipts.history import ReceiptHistory
from state.receipts.place import ReceiptsFile
from state.receipts.writing import known_batches
from sync.shared.errors import LedgerError, LedgerUntrusted, SyncError


def damaged_lines(histories: Mapping[ReceiptsFile, ReceiptHistory]) -> int:
    """Return the number of damaged lines, 0 if another place is sound and knows all batches."""
    if _is_made_up_for(histories):
        return 0
    return min((history.damaged for history in histories.values() if history.damaged), default=0)


def tails(histories: Mapping[ReceiptsFile, ReceiptHistory]) -> list[ReceiptsFile]:
    """Return the places that have lost their beginning, unless another place makes up for it."""
    if _is_made_up_for(histories):
        return []
    return [place for place, history in histories.items() if history.is_a_tail]


def _is_made_up_for(histories: Mapping[ReceiptsFile, ReceiptHistory]) -> bool:
    return any(covers(history, histories.values()) for history in histories.values())


def covers(history: ReceiptHistory, others: Collection[ReceiptHistory]) -> bool:
    """Return True if one place is sound and knows everything that the others can still tell."""
    named = {name for each in others for name in (*each.batches, *each.damaged_batches)}
    told = max((each.told for each in others), default=0)
    return history.has_begin and not history.damaged and history.told >= told and named <= history.batches.keys()


def refuse(
    path: Path,
    histories: Mapping[ReceiptsFile, ReceiptHistory],
    hasher: Hasher,
    connector: Connect,
    *,
    accept_loss: bool,
) -> None:
    """Raise LedgerUntrusted if nothing can be made of these receipts, or not everything they once told."""
    if not any(history.lines for history in histories.values()):
        raise no_receipts(path)
    for place, history in histories.items():
        history.refuse_strangers(ledger=None, key=hasher.key_id, where=place.path)
    if accept_loss:
        return
    damaged = damaged_lines(histories)
    if damaged:
        raise LedgerUntrusted(
            f"{damaged:,} {'line of the receipts is' if damaged == 1 else 'lines of the receipts are'} damaged: what"
            " they recorded is lost, and leads recorded there would be sent again",
            hint="restore the receipts from their second place or a backup; --accept-loss rebuilds without them",
        )
    if found := tails(histories):
        raise _a_tail(path, found[0], _knows_all(path, histories, connector))


def _a_tail(path: Path, place: ReceiptsFile, ledger_knows_all: bool) -> LedgerUntrusted:
    what = f"the receipts {place.path} have no beginning: they are what was written after the file was lost"
    if ledger_knows_all:
        return LedgerUntrusted(
            f"{what}. The ledger {path} is sound and knows all that they tell",
            hint="closingdealz-sync once   (or start the service: they are written anew from the ledger)",
        )
    return LedgerUntrusted(
        f"{what}, and leads that were sent before would be sent again",
        hint="restore the ledger, or the receipts from their second place; --accept-loss rebuilds without what is lost",
    )


def no_receipts(path: Path) -> LedgerUntrusted:
    """Build the error for a rebuild without any receipts."""
    return LedgerUntrusted(
        f"there are no receipts beside {path}, so the ledger cannot be rebuilt",
        hint="restore a backup of the ledger, or the receipts from their second place ([ledger] receipts_copy)",
    )


def _knows_all(path: Path, histories: Mapping[ReceiptsFile, ReceiptHistory], connector: Connect) -> bool:
    """Return True if the ledger can be read whole and has every batch that the receipts name."""
    if not path.exists():
        return False
    try:
        with translated(path):
            file = LedgerFile(path, connector=connector)
            try:
                refuse_damaged(file)
                with file.read() as connection:
                    known = known_batches(connection)
            finally:
                file.close()
    except SyncError:
        return False
    return all(name in known for history in histories.values() for name in history.batches)


def refuse_damaged(file: LedgerFile) -> None:
    """Raise LedgerError if the ledger cannot be read whole."""
    with file.read() as connection:
        found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise LedgerError(f"the ledger {file.path} is damaged: {found}")
