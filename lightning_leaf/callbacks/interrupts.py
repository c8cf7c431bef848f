"""Ctrl-C during long work ends this work, and not the training."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def ctrl_c(on_press: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Catch the first Ctrl-C inside this context; a second one has its usual effect.

    Only the main thread receives signals. In other threads, and where SIGINT is ignored, nothing
    changes.

    Args:
        on_press: Called at the first Ctrl-C.

    Yields:
        A function that returns whether Ctrl-C was pressed.
    """
    before = signal.getsignal(signal.SIGINT)
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or before is None or before is signal.SIG_IGN:
        yield lambda: False
        return
    pressed = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if not pressed:
            pressed = True
            on_press()
            return
        signal.signal(signal.SIGINT, before)
        signal.raise_signal(signal.SIGINT)

    signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: pressed
    finally:
        # The work may have installed another handler, which stays.
        if signal.getsignal(signal.SIGINT) is handle:
            signal.signal(signal.SIGINT, before)
