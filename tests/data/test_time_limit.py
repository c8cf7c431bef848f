"""Code that runs in the process of the training ends at a time limit, also while it waits."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lightning_leaf.data import time_limit as module
from lightning_leaf.data.time_limit import time_limit
from lightning_leaf.errors import LeafError

LONG = 30.0
"""Longer than any of these tests takes."""


def wait_for_a_lock() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire(timeout=LONG)


def wait_for_a_pipe() -> None:
    reading, writing = os.pipe()
    try:
        os.read(reading, 1)
    finally:
        os.close(reading)
        os.close(writing)


def work() -> None:
    end = time.monotonic() + LONG
    while time.monotonic() < end:
        pass


def retry() -> None:
    """Wait, as a data set that skips examples that cannot be read."""
    end = time.monotonic() + LONG
    while time.monotonic() < end:
        try:
            time.sleep(LONG)
        except Exception:  # noqa: PERF203
            continue


def insist() -> None:
    """Catch even what is no Exception, once."""
    try:
        time.sleep(LONG)
    except BaseException:
        time.sleep(LONG)


@pytest.mark.parametrize("wait", [wait_for_a_lock, wait_for_a_pipe, work, retry, insist])
def test_what_waits_is_ended(wait: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REPEATED_AFTER", 0.05)
    started = time.monotonic()
    message = r"Expected reading to take less than 0\.05 seconds;"
    with pytest.raises(LeafError, match=message), time_limit(0.05, "reading"):
        wait()
    assert time.monotonic() - started < LONG / 2
    assert_unchanged()


def assert_unchanged() -> None:
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_progress_starts_the_time_anew() -> None:
    with time_limit(1000, "reading") as go_on:
        # As if 900 seconds had passed.
        signal.setitimer(signal.ITIMER_REAL, 100, module.REPEATED_AFTER)
        go_on()
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 500
    assert_unchanged()


def test_the_whole_time_is_limited_too() -> None:
    def read() -> None:
        with time_limit(9, "reading", in_total=0.2) as go_on:
            for _ in range(100):
                time.sleep(0.05)
                go_on()

    with pytest.raises(LeafError, match=r"less than 9 seconds, and 0\.2 seconds in total"):
        read()
    assert_unchanged()


def test_errors_pass() -> None:
    with pytest.raises(KeyError), time_limit(9, "reading"):
        raise KeyError
    assert_unchanged()


def test_a_signal_that_the_program_uses_is_left_alone() -> None:
    def handler(*_: Any) -> None: ...

    before = signal.signal(signal.SIGALRM, handler)
    try:
        with time_limit(0.01, "reading"):
            time.sleep(0.05)
            assert signal.getsignal(signal.SIGALRM) is handler
    finally:
        signal.signal(signal.SIGALRM, before)
    signal.setitimer(signal.ITIMER_REAL, 100)
    try:
        with time_limit(0.01, "reading"):
            time.sleep(0.05)
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 50
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.fixture
def alarm() -> Iterator[None]:
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


def handle(*_: Any) -> None: ...


@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("seconds", [0, 50])
def test_a_handler_and_a_timer_that_the_code_inside_starts_stay(seconds: int) -> None:
    with time_limit(1000, "reading") as go_on:
        signal.signal(signal.SIGALRM, handle)
        if seconds:
            signal.alarm(seconds)
        go_on()
        assert signal.getsignal(signal.SIGALRM) is handle
    assert signal.getsignal(signal.SIGALRM) is handle
    # Our own timer would call the other handler.
    assert seconds - 1 <= signal.getitimer(signal.ITIMER_REAL)[0] <= seconds
    # A timer alone.
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with time_limit(1000, "reading") as go_on:
        signal.setitimer(signal.ITIMER_REAL, 100)
        go_on()
    assert 50 < signal.getitimer(signal.ITIMER_REAL)[0] <= 100
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL


@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("to", ["ours", "default"])
def test_after_an_alarm_of_the_code_inside_progress_sets_the_limit_again(to: str) -> None:
    def read() -> None:
        with time_limit(0.1, "reading") as go_on:
            before = signal.signal(signal.SIGALRM, handle)
            signal.alarm(9)
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before if to == "ours" else signal.SIG_DFL)
            go_on()
            time.sleep(LONG)

    started = time.monotonic()
    with pytest.raises(LeafError, match="Expected reading to take less"):
        read()
    assert time.monotonic() - started < LONG / 2
    assert_unchanged()


def test_other_threads_have_no_limit() -> None:
    ended = []

    def run() -> None:
        with time_limit(0.01, "reading"):
            time.sleep(0.05)
        ended.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert ended
    assert_unchanged()
