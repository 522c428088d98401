"""The receipts' files: what is on the disk when a call returns, what a crash or a full disk leaves, what is refused."""

from __future__ import annotations

import errno
import multiprocessing
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.disk import SystemDisk
from state.receipts.lines import (
    decode,
    encode,
    pack_leads,
    pack_records,
    pack_values,
    unpack_leads,
    unpack_records,
    unpack_values,
)
from state.receipts.place import ReceiptsFile
from sync.shared.errors import LedgerError

FIRST: dict[str, Any] = {"t": "begin", "ledger": "a", "key": "b"}
SECOND: dict[str, Any] = {"t": "verdict", "batch": "x", "verdict": "created", "status": 200, "cause": "ü", "at": 1}


@pytest.fixture
def place(tmp_path: Path) -> ReceiptsFile:
    return ReceiptsFile(tmp_path / "ledger.db.receipts")


hashes = st.binary(min_size=16, max_size=16)


@given(st.lists(st.tuples(st.integers(0, 99), hashes, hashes, hashes)))
def test_leads_are_unpacked_as_they_were_packed(leads: list[tuple[int, bytes, bytes, bytes]]) -> None:
    assert list(unpack_leads(pack_leads(leads))) == leads


@given(st.lists(st.tuples(st.sampled_from(["email", "domain", "phone"]), hashes)), st.lists(hashes))
def test_values_and_records_too(values: list[tuple[str, bytes]], records: list[bytes]) -> None:
    assert list(unpack_values(pack_values(values))) == values
    assert list(unpack_records(pack_records(records))) == records


@pytest.mark.parametrize("packed", ["x", "AAAA", "not base64!", "é"])
def test_what_was_not_packed_here_is_refused(packed: str) -> None:
    with pytest.raises(ValueError, match="packed"):
        list(unpack_leads(packed))


@given(st.data())
def test_a_line_with_any_one_byte_changed_or_cut_off_does_not_count(data: st.DataObject) -> None:
    whole = encode(SECOND)
    assert decode(whole) == SECOND
    at = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda each: each != whole[at]))
    assert decode(whole[:at] + bytes([byte]) + whole[at + 1 :]) is None
    assert decode(whole[:at]) is None


def test_lines_are_there_in_order_and_for_their_owner_alone(place: ReceiptsFile) -> None:
    assert list(place.read()) == []
    assert place.history() is None
    place.replace([FIRST])
    place.append([SECOND, FIRST])
    assert list(place.read()) == [FIRST, SECOND, FIRST]
    assert stat.S_IMODE(place.path.stat().st_mode) == 0o600


def test_every_append_is_synced_before_it_returns(tmp_path: Path) -> None:
    told: list[str] = []

    class Watched(SystemDisk):
        def write(self, descriptor: int, data: bytes) -> int:
            told.append("write")
            return super().write(descriptor, data)

        def sync(self, descriptor: int) -> None:
            told.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync")
            super().sync(descriptor)

    place = ReceiptsFile(tmp_path / "receipts", Watched())
    place.replace([FIRST])
    place.append([SECOND])
    assert told == ["write", "sync", "folder", "write", "sync"]


def test_a_torn_last_line_is_left_out_and_the_next_one_stands_alone(place: ReceiptsFile) -> None:
    place.replace([FIRST, SECOND])
    whole = place.path.read_bytes()
    for cut in range(1, len(encode(SECOND))):
        place.path.write_bytes(whole[:-cut])
        assert list(place.read()) == [FIRST]
        place.append([SECOND])
        assert list(place.read()) == [FIRST, SECOND]


def test_a_long_torn_line_is_cut_off_too(place: ReceiptsFile) -> None:
    place.replace([FIRST])
    with place.path.open("ab") as file:
        file.write(b"x" * 200_000)
    place.append([SECOND])
    assert list(place.read()) == [FIRST, SECOND]


def test_a_damaged_line_is_none_and_the_others_are_read(place: ReceiptsFile) -> None:
    place.replace([FIRST, SECOND, FIRST])
    raw = place.path.read_bytes()
    at = len(encode(FIRST)) + 20
    place.path.write_bytes(raw[:at] + b"!" + raw[at + 1 :])
    assert list(place.read()) == [FIRST, None, FIRST]


class Failing(SystemDisk):
    """Writes `room` bytes, then fails; or the sync does."""

    def __init__(self, room: int, *, code: int = errno.ENOSPC, sync_fails: bool = False) -> None:
        self.room, self.code, self.sync_fails = room, code, sync_fails

    def write(self, descriptor: int, data: bytes) -> int:
        if self.room <= 0:
            raise OSError(self.code, os.strerror(self.code))
        taken = min(self.room, len(data))
        self.room -= taken
        return super().write(descriptor, data[:taken])

    def sync(self, descriptor: int) -> None:
        if self.sync_fails and not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync(descriptor)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT, errno.ESTALE])
@pytest.mark.parametrize("room", [0, 1, 40, 10_000])
def test_what_does_not_come_to_the_disk_is_an_error_and_leaves_nothing(
    place: ReceiptsFile, room: int, code: int
) -> None:
    place.replace([FIRST])
    before = place.path.read_bytes()
    full = ReceiptsFile(place.path, Failing(room, code=code, sync_fails=room == 10_000))
    with pytest.raises(LedgerError) as caught:
        full.append([SECOND])
    assert caught.value.exit_code == 74
    assert caught.value.hint
    assert place.path.read_bytes() == before


def test_a_new_file_takes_the_old_ones_place_whole_or_not_at_all(place: ReceiptsFile) -> None:
    place.replace([FIRST, SECOND])
    with pytest.raises(LedgerError):
        ReceiptsFile(place.path, Failing(60)).replace([SECOND] * 3)
    assert list(place.read()) == [FIRST, SECOND]
    place.replace([SECOND] * 3)
    assert list(place.read()) == [SECOND] * 3
    assert stat.S_IMODE(place.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("spoil", ["folder", "missing"])
def test_a_place_that_cannot_be_used_is_an_error_with_a_cure(tmp_path: Path, spoil: str) -> None:
    path = tmp_path / "place" / "receipts"
    if spoil == "folder":
        path.mkdir(parents=True)
    with pytest.raises(LedgerError) as caught:
        ReceiptsFile(path).append([FIRST])
    assert caught.value.hint


def _append(path: str, who: int, count: int) -> None:
    place = ReceiptsFile(Path(path))
    for number in range(count):
        place.append([{"t": "word", "who": who, "number": number, "filler": "x" * 3000}])


def test_several_processes_append_while_the_file_is_replaced(place: ReceiptsFile) -> None:
    """As `doubt resolve` beside a daemon that compacts: no line is lost or torn."""
    place.replace([FIRST])
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append, args=(str(place.path), who, 60)) for who in range(2)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        with place.end():
            place.replace([line for line in place.read() if line is not None])
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    lines = list(place.read())
    assert lines[0] == FIRST
    found = sorted((line["who"], line["number"]) for line in lines[1:] if line is not None)
    assert found == [(who, number) for who in range(2) for number in range(60)]
