"""The sessions of a run: each training has a larger identifier than those before it.

In the LEAF tab the snapshots of a session supersede those of older sessions from its first step on.
Identifiers are therefore values of a logical clock (L. Lamport, "Time, clocks, and the ordering of
events in a distributed system", 1978): the present time, or one more than the largest identifier
that is known. A clock that is set back does not change their order.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from lightning_leaf.display.event_files import newest_time, sessions_in
from lightning_leaf.errors import LeafError, result_of, shown

IMPLAUSIBLE_AFTER = 2**62
"""Identifiers from this time on, 146 years from now, are ignored: nothing follows the last of them.

The bound moves with the clock, so an identifier that follows the last plausible one of a log is
soon plausible itself. Snapshots of a damaged or forged log that have such identifiers count as
newer than all others.
"""
TOLERANCE = 60.0
"""Seconds by which a clock may be behind the event files of a folder; machines differ."""

_lock = threading.Lock()
_latest = 0
"""The largest identifier that this process knows."""


def new_session(folders: Iterable[str | Path]) -> str:
    """Return the identifier of a new session: 16 hexadecimal digits.

    It is larger than all identifiers that this process has made or seen in a checkpoint, and than
    those of the snapshots in the local folders.

    Args:
        folders: The folders or URLs to which the session will write.
    """
    global _latest
    found = result_of(_largest_in, folders) or 0  # a folder must not end a training
    with _lock:
        _latest = min(max(1, time.time_ns(), found + 1, _latest + 1), 2**64 - 1)
        return f"{_latest:016x}"


def latest_session() -> str | None:
    """Return the largest identifier that this process knows, for a checkpoint; None if none."""
    return f"{_latest:016x}" if _latest else None


def note_session(saved: Any) -> None:
    """Note the identifier of a checkpoint, which later sessions will exceed.

    Args:
        saved: What :func:`latest_session` returned, or None.

    Raises:
        LeafError: If it is something else.
    """
    global _latest
    if saved is None:
        return
    if type(saved) is not str or not re.fullmatch(r"[0-9a-f]{16}", saved):
        raise LeafError(
            f"Expected a session of 16 hexadecimal digits, or None; got {shown(saved)}."
        )
    if _is_plausible(int(saved, 16)):
        with _lock:
            _latest = max(_latest, int(saved, 16))


def clock_warning(folders: Iterable[str | Path]) -> str | None:
    """Return what to do if the clock is behind the event files of a local folder; else None.

    Args:
        folders: The folders or URLs to which a training writes.
    """
    now = time.time()
    for folder in folders:
        newest = newest_time(folder)
        if newest is not None and newest > now + TOLERANCE:
            return (
                f"The clock of this machine shows {_date(now)}, but the newest event file in "
                f"{folder} is of {_date(newest)}. TensorBoard reads event files in the order of "
                "their times, so the curves of this training can be drawn before earlier ones, or "
                "be left out. Set the clock, or log to a new folder."
            )
    return None


def _largest_in(folders: Iterable[str | Path]) -> int:
    found = (each for folder in folders for each in sessions_in(folder))
    return max(filter(_is_plausible, found), default=0)


def _is_plausible(session: int) -> bool:
    return session < time.time_ns() + IMPLAUSIBLE_AFTER


def _date(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M}"
    except (OverflowError, OSError, ValueError):  # a year that the platform does not know
        return f"{seconds:.0f} seconds after 1970"
