"""A time limit for code of the user that runs in the process of the training."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Literal

from lightning_leaf.errors import LeafError

REPEATED_AFTER = 1.000123
"""Seconds after which code that has caught the end of its time is ended again.

It is also the interval of the timer: a timer with another interval is one of the program.
"""


class _TimeIsUp(BaseException):
    """Ends code at its time limit. It is no Exception, so that data sets do not retry."""


@contextmanager
def time_limit(
    seconds: float, what: str, *, in_total: float | None = None
) -> Iterator[Callable[[], None]]:
    """End the code inside this context at a time limit, also while it waits.

    The limit is a timer of the operating system, whose signal (SIGALRM) interrupts the main thread.
    There is no limit in other threads, on Windows, and where the program uses this signal itself.
    A thread of its own could not be ended, and would go on to draw random numbers. A handler or a
    timer that the code inside starts replaces the limit, until the next progress after its end.

    Args:
        seconds: The limit.
        what: What takes the time, for the message.
        in_total: Limit of the whole time, however often it is started anew; None for no limit.

    Yields:
        A function that starts the time anew. Call it after progress.

    Raises:
        LeafError: If the time is over.
    """
    if not _is_available():
        yield _nothing
        return
    is_active = True

    def end(number: int, frame: FrameType | None) -> None:
        if is_active:
            raise _TimeIsUp

    latest = math.inf if in_total is None else time.monotonic() + in_total

    def start() -> None:
        remaining = min(seconds, latest - time.monotonic())
        if remaining <= 0:
            raise _TimeIsUp
        # The code inside may have installed another handler or timer, which stays.
        if signal.getsignal(signal.SIGALRM) in (end, before) and _timer() in ("none", "ours"):
            signal.signal(signal.SIGALRM, end)
            signal.setitimer(signal.ITIMER_REAL, remaining, REPEATED_AFTER)

    before = signal.SIG_DFL
    try:
        try:
            start()
            yield start
        finally:
            is_active = False
    except _TimeIsUp:
        total = "" if in_total is None else f", and {in_total:g} seconds in total"
        raise LeafError(
            f"Expected {what} to take less than {seconds:g} seconds{total}; this was ended, as it "
            "may wait for ever. Pass the inputs themselves, for example probe=(inputs, labels)."
        ) from None
    finally:
        is_active = False
        if _timer() == "ours":
            signal.setitimer(signal.ITIMER_REAL, 0)
        if signal.getsignal(signal.SIGALRM) is end:
            signal.signal(signal.SIGALRM, before)


def _is_available() -> bool:
    return (
        hasattr(signal, "setitimer")
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
        and _timer() == "none"
    )


def _timer() -> Literal["none", "ours", "of the program"]:
    """Return whose timer runs."""
    remaining, interval = signal.getitimer(signal.ITIMER_REAL)
    if remaining == 0:
        return "none"
    return "ours" if abs(interval - REPEATED_AFTER) < 1e-5 else "of the program"


def _nothing() -> None:
    pass
