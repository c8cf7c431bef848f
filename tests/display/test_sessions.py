"""Sessions increase whatever the clock says and whatever the event files contain."""

from __future__ import annotations

import os
import random
import struct
from pathlib import Path

import pytest
import torch
from torch.utils.tensorboard import SummaryWriter

from lightning_leaf import LeafWriter, OrthogonalWalkSnapshot, horizontal_path
from lightning_leaf.display import event_files, sessions
from lightning_leaf.display.event_files import newest_time, sessions_in
from lightning_leaf.display.sessions import (
    clock_warning,
    latest_session,
    new_session,
    note_session,
)
from lightning_leaf.display.snapshots import LONGEST_NAME
from lightning_leaf.errors import LeafError
from tests.support.clock_set_back import HOUR, MachineClock

NAME = "events.out.tfevents.1700000000.host.1.0"
NOW = f"{1_700_000_000_000_000_000:016x}"


def record(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + b"sum1" + data + b"sum2"


def tagged(session: str, step: int = 3, size: int = 1000) -> bytes:
    return record(b"\x09 event \x0a" + f"walks/{step:012d}-{session}".encode() + bytes(size))


def scalar(tag: str = "loss") -> bytes:
    return record(b"\x09 event \x0a" + tag.encode() + b"\x15\x00\x00\x00\x3f")


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> MachineClock:
    return MachineClock.installed(monkeypatch)


def test_sessions_increase_whatever_the_clock_says(clock: MachineClock) -> None:
    made = []
    for now in (1.8e9, 1.8e9, 1.7e9, 0.0, -5.0, 4e9, 1.8e9):
        clock.now = now
        made.append(new_session([]))
    assert made == sorted(set(made))
    assert made[0] == f"{int(1.8e18):016x}"
    assert all(len(each) == 16 for each in made)


def test_a_session_follows_those_of_checkpoints_and_of_event_files(
    tmp_path: Path, clock: MachineClock
) -> None:
    clock.now = 0
    (tmp_path / NAME).write_bytes(scalar() + tagged(NOW) + scalar("x" * 900) + tagged("0" * 16))
    assert list(sessions_in(tmp_path)) == [int(NOW, 16), 0]
    assert new_session([tmp_path, "s3://bucket/run"]) == f"{int(NOW, 16) + 1:016x}"
    later = f"{int(NOW, 16) + 10:016x}"
    note_session(later)
    note_session(None)
    assert latest_session() == later
    assert new_session([tmp_path]) > later


@pytest.mark.parametrize("state", ["", "xyz", NOW.upper(), NOW + "0", 3, 1.0, [NOW], b"0" * 16])
def test_other_states_than_sessions_are_refused(state: object) -> None:
    with pytest.raises(LeafError, match="Expected a session of 16 hexadecimal digits"):
        note_session(state)


@pytest.mark.parametrize("forged", ["f" * 16, "8" + "0" * 15])
def test_forged_identifiers_that_nothing_could_follow_are_ignored(
    tmp_path: Path, forged: str
) -> None:
    (tmp_path / NAME).write_bytes(tagged(forged) + tagged(NOW))
    note_session(forged)
    assert NOW < new_session([tmp_path]) < forged


@pytest.mark.parametrize("now", [0, 1.8e9, 4e9])
def test_the_largest_plausible_identifier_is_followed_again_and_again(
    tmp_path: Path, clock: MachineClock, monkeypatch: pytest.MonkeyPatch, now: float
) -> None:
    clock.now = now
    identifiers = [f"{int(now * 1e9) + sessions.IMPLAUSIBLE_AFTER - 1:016x}"]
    for _ in range(3):  # processes
        (tmp_path / NAME).write_bytes(b"".join(map(tagged, identifiers)))
        monkeypatch.setattr(sessions, "_latest", 0)
        clock.now += 1
        identifiers.append(new_session([tmp_path]))
    assert identifiers == sorted(set(identifiers))
    assert all(len(each) == 16 for each in identifiers)


def test_sessions_of_snapshots_with_long_names_are_found(tmp_path: Path) -> None:
    writer = LeafWriter(tmp_path, on_error="raise")
    path = horizontal_path(torch.nn.Linear(4, 3), torch.rand(1, 4), torch.rand(1, 4), max_steps=1)
    snapshot = writer.snapshot(path, 10**9, name="n" * LONGEST_NAME)
    writer.close()
    assert snapshot is not None
    assert list(sessions_in(tmp_path)) == [int(snapshot.session, 16)]


def test_longer_names_are_refused(tmp_path: Path) -> None:
    name = "n" * (LONGEST_NAME + 1)
    with pytest.raises(LeafError, match=r"name expects .*at most 200 .*; got 'nnn"):
        OrthogonalWalkSnapshot(name=name)
    path = horizontal_path(torch.nn.Linear(4, 3), torch.rand(1, 4), torch.rand(1, 4), max_steps=1)
    with pytest.raises(LeafError, match="at most 200 characters; got 201"):
        LeafWriter(tmp_path, on_error="raise").snapshot(path, 1, name=name)


def test_the_names_of_tensorboard_s_own_files_are_known(
    tmp_path: Path, clock: MachineClock
) -> None:
    SummaryWriter(str(tmp_path)).close()
    assert newest_time(tmp_path) == int(clock.now)
    assert newest_time(tmp_path / "missing") is None
    assert newest_time("s3://bucket/run") is None
    assert clock_warning([tmp_path, "s3://bucket/run"]) is None
    clock.now -= HOUR
    assert "Set the clock" in (clock_warning([tmp_path]) or "")


@pytest.mark.parametrize("seconds", ["9" * 12, "9" * 300, "", "x"])
def test_any_time_in_the_name_of_a_file_can_be_shown(tmp_path: Path, seconds: str) -> None:
    (tmp_path / f"events.out.tfevents.{seconds}").write_bytes(b"") if len(seconds) < 99 else None
    assert (clock_warning([tmp_path]) is None) == (len(seconds) != 12)


def test_damaged_event_files_are_read_as_far_as_possible(tmp_path: Path) -> None:
    valid = scalar() + tagged(NOW, 1) + scalar() + tagged(NOW, 2, 200_000) + tagged(NOW, 3)
    file, chance = tmp_path / NAME, random.Random(0)
    for _ in range(300):
        content = bytearray(valid)
        for _ in range(chance.choice([1, 1, 3, 40])):
            content[chance.randrange(len(content))] = chance.randrange(256)
        file.write_bytes(bytes(content[: chance.choice([len(content), chance.randrange(400)])]))
        assert all(0 <= each < 2**64 for each in sessions_in(tmp_path))
    for length in (2**63, 2**64 - 1, len(valid), 0):
        file.write_bytes(tagged(NOW) + struct.pack("<Q", length) + valid)
        assert next(iter(sessions_in(tmp_path))) == int(NOW, 16)


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    """Opening a pipe would wait for a writer."""
    os.mkfifo(tmp_path / NAME)
    (tmp_path / f"{NAME}.2").symlink_to("/dev/zero")
    (tmp_path / f"{NAME}.3").symlink_to(tmp_path / "missing")
    (tmp_path / f"{NAME}.4").mkdir()
    (tmp_path / f"{NAME}.5").write_bytes(tagged(NOW))
    (tmp_path / f"{NAME}.6").touch(mode=0)
    assert list(sessions_in(tmp_path)) == [int(NOW, 16)]
    assert list(sessions_in(f"{tmp_path}\0")) == list(sessions_in(tmp_path / NAME)) == []


def test_the_time_of_reading_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / NAME).write_bytes(scalar() * 20_000 + tagged(NOW))
    assert list(sessions_in(tmp_path)) == [int(NOW, 16)]
    monkeypatch.setattr(event_files, "MAX_SECONDS", 0.0)
    opened = []
    monkeypatch.setattr("builtins.open", lambda *each, **_: opened.append(each))
    assert list(sessions_in(tmp_path)) == []
    assert not opened


def test_the_time_of_listing_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / NAME).touch()
    assert newest_time(tmp_path) == 1_700_000_000
    monkeypatch.setattr(event_files, "LISTED_WITHIN", 0.0)
    assert newest_time(tmp_path) is None


def test_of_large_records_only_the_beginning_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / NAME).open("wb") as file:
        file.write(struct.pack("<Q", 2**40) + b"sum1")
        file.truncate(2**40 + 16)  # a file with a hole
        file.seek(2**40 + 16)
        file.write(tagged(NOW))
    assert list(sessions_in(tmp_path)) == [int(NOW, 16)]


def test_an_identifier_has_sixteen_digits_at_the_end_of_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions, "_latest", 2**64 - 1)
    assert new_session([]) == "f" * 16
