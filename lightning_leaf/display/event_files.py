"""What the event files of a folder tell about earlier trainings: their sessions and their time."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from struct import Struct
from typing import BinaryIO

from lightning_leaf.display.locations import local_path

MAX_SECONDS = 4.0
"""Time spent on reading the event files of a folder. The newest ones are read first."""
LISTED_WITHIN = 1.0
"""Time spent on listing the files of a folder, of which there may be very many."""

_BLOCK = 2**16
_HEADER, _FOOTER = 12, 4  # bytes of a record before and after its data
_HEAD = 512  # bytes at the beginning of a record of which the tag is one of the first
_SMALLEST = 200  # bytes of the smallest snapshot; most scalars are smaller
_TAG = re.compile(rb"/[0-9]{12}-([0-9a-f]{16})(?![0-9a-f])")
_TIME = re.compile(r"tfevents\.([0-9]{1,12})(?![0-9])")


def sessions_in(folder: str | Path) -> Iterator[int]:
    """Yield the sessions of the snapshots in the event files of a local folder.

    Only the beginnings of records are read. Damaged files are read as far as possible. Nothing is
    yielded for a remote folder, and nothing more after :data:`MAX_SECONDS`.

    Args:
        folder: A path, or a URL.
    """
    end = time.monotonic() + MAX_SECONDS
    for _, path in sorted(_event_files(folder), reverse=True):
        if time.monotonic() > end:
            return
        with suppress(OSError), open(path, "rb", buffering=0) as file:  # or removed since
            yield from _sessions(file, end)


def newest_time(folder: str | Path) -> int | None:
    """Return the latest time in the names of the event files of a folder, in seconds since 1970.

    TensorBoard reads the files in the order of these times.

    Args:
        folder: A path, or a URL. For a remote folder the result is None.
    """
    return max((seconds for seconds, _ in _event_files(folder)), default=None)


def _event_files(folder: str | Path) -> list[tuple[int, str]]:
    """Return the time and the path of each event file that is listed in time."""
    end = time.monotonic() + LISTED_WITHIN
    try:
        local = local_path(folder)
        if local is None:
            return []
        with os.scandir(local) as entries:
            in_time = takewhile(lambda _: time.monotonic() < end, entries)
            named = ((_TIME.search(each.name), each) for each in in_time)
            # Opening something else than a file, such as a pipe, could block.
            return [(int(time_[1]), each.path) for time_, each in named if time_ and _is(each)]
    except (OSError, ValueError):
        return []


def _is(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _sessions(file: BinaryIO, end: float) -> Iterator[int]:
    """Yield the sessions in the tags of an event file.

    A record is its length (8 bytes), a checksum (4), the data, and a checksum (4).
    """
    size = os.fstat(file.fileno()).st_size
    length_at, find = Struct("<Q").unpack_from, _TAG.search
    position, block, start = 0, b"", 0
    while position + _HEADER + _FOOTER <= size:
        offset = position - start
        if offset + _HEADER + _HEAD > len(block) and start + len(block) < size:
            if time.monotonic() > end:
                return
            file.seek(position)
            block, start, offset = file.read(_BLOCK), position, 0
        if offset + _HEADER > len(block):  # the file has become shorter
            return
        (length,) = length_at(block, offset)
        begin = offset + _HEADER
        position += _HEADER + length + _FOOTER
        if position > size:  # truncated or damaged
            return
        if length >= _SMALLEST and (tag := find(block, begin, begin + min(length, _HEAD))):
            yield int(tag[1], 16)
