"""Errors of signal handlers and of other threads end the training, also during a measurement."""

from __future__ import annotations

import ctypes
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_leaf import HorizontalPathSnapshot, LeafMonitor, LocalDataMatrixMonitor, Trigger
from lightning_leaf.errors import is_meant_for_others, of_signal_handler, result_of
from tests.support.callbacks.training import SmallCNN, fit, ignore_lightning

pytestmark = ignore_lightning


class OutOfTime(Exception):
    """The error of a time limit around the training."""


class Cancelled(BaseException):
    """What a library injects into a thread to end it."""


def handle(number: int, frame: FrameType | None) -> None:
    raise OutOfTime


def handle_any(*arguments: Any) -> None:
    raise OutOfTime


class Handler:
    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.end()

    def end(self) -> None:
        raise OutOfTime


def handle_named(name: str, number: int, frame: FrameType | None) -> None:
    raise OutOfTime(name)


HANDLERS: list[Callable[..., None]] = [
    handle,
    handle_any,
    Handler(),
    Handler().__call__,
    partial(handle_named, "training"),
]


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)


def interrupt() -> None:
    signal.raise_signal(signal.SIGUSR1)


def inject() -> None:
    """Raise an error in this thread as another thread does."""
    thread = ctypes.c_ulong(threading.get_ident())
    ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(Cancelled))
    for _ in range(1000):
        time.sleep(0)


CALLS = ctypes.c_long(0)
"""The number of forward passes. A measurement would restore a number of Python."""


class Interrupted(SmallCNN):
    """A module that is interrupted at one of its measured forward passes, or at all (0)."""

    def __init__(self, at: int, by: Callable[[], None]) -> None:
        super().__init__()
        self.at = at
        self.by = by

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            CALLS.value += 1
            if self.at in (0, CALLS.value):
                self.by()
        return super().forward(x)


def train(root: Path, at: int, by: Callable[[], None]) -> None:
    CALLS.value = 0
    walk = HorizontalPathSnapshot([2], pairs=1, max_steps=1)
    monitor = LocalDataMatrixMonitor(every_n_steps=4)
    fit(root, monitor, walk, module=Interrupted(at, by), validation=None, max_steps=5)


@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.filterwarnings("error:.*switched itself off")
def test_a_handler_of_a_signal_ends_the_training(tmp_path: Path, handler: Any) -> None:
    signal.signal(signal.SIGUSR1, handler)
    with pytest.raises(OutOfTime):
        train(tmp_path, 2, interrupt)


@pytest.mark.parametrize("at", range(1, 13))
def test_so_it_does_wherever_it_interrupts_a_measurement(tmp_path: Path, at: int) -> None:
    signal.signal(signal.SIGUSR1, handle)
    with pytest.raises(OutOfTime):
        train(tmp_path, at, interrupt)
    assert CALLS.value == at


@pytest.mark.parametrize("at", [1, 5])
def test_an_error_of_another_thread_ends_the_training(tmp_path: Path, at: int) -> None:
    with pytest.raises(Cancelled):
        train(tmp_path, at, inject)


class InTrigger(Trigger):
    """A trigger that does something."""

    reason = "interrupted"

    def __init__(self, do: Callable[[], None]) -> None:
        self.do = do

    def fires(self, moment: Any) -> bool:
        self.do()
        return False


def raise_(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("by", [interrupt, inject])
def test_so_do_errors_in_triggers(tmp_path: Path, by: Callable[[], None]) -> None:
    signal.signal(signal.SIGUSR1, handle)
    with pytest.raises((OutOfTime, Cancelled)):
        fit(tmp_path, HorizontalPathSnapshot(InTrigger(by), pairs=1), validation=None)


@pytest.mark.parametrize("error", [GeneratorExit(), Cancelled()])
def test_errors_that_code_of_the_user_raises_do_not(tmp_path: Path, error: BaseException) -> None:
    walk = HorizontalPathSnapshot(InTrigger(partial(raise_, error)), pairs=1)
    with pytest.warns(UserWarning, match=f"raised {type(error).__name__}"):
        assert fit(tmp_path, walk, validation=None).global_step == 8
    train(tmp_path, 2, partial(raise_, error))


def with_a_time_limit_of_its_own() -> None:
    before = signal.signal(signal.SIGUSR1, handle)
    try:
        interrupt()
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("outer", [signal.SIG_DFL, Handler()])
def test_a_time_limit_inside_of_a_measurement_does_not(tmp_path: Path, outer: Any) -> None:
    signal.signal(signal.SIGUSR1, outer)
    with pytest.warns(UserWarning, match="OutOfTime"):
        train(tmp_path, 0, with_a_time_limit_of_its_own)


def caught(function: Callable[[], Any]) -> BaseException:
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError


def with_frame(number: int, frame: FrameType | None) -> None:
    raise OutOfTime


def wrapped() -> None:
    try:
        interrupt()
    except OutOfTime:
        raise ValueError("wrapped") from None


def test_frames_alone_are_no_sign_of_a_signal() -> None:
    signal.signal(signal.SIGUSR1, handle)
    frame = caught(interrupt).__traceback__.tb_frame  # type: ignore[union-attr]
    assert of_signal_handler(caught(lambda: with_frame(10, frame))) is None
    assert of_signal_handler(caught(lambda: with_frame(0, None))) is None
    assert type(of_signal_handler(caught(wrapped))) is OutOfTime
    assert not is_meant_for_others(caught(lambda: raise_(SystemExit())))
    assert is_meant_for_others(caught(lambda: raise_(KeyboardInterrupt())))
    with pytest.raises(OutOfTime):
        result_of(interrupt)
    assert result_of(raise_, Cancelled()) is None


def test_chains_of_errors_may_be_long_and_have_cycles() -> None:
    first = last = ValueError()
    for _ in range(10_000):
        last.__cause__ = ValueError()
        last = last.__cause__
    last.__cause__ = first
    assert of_signal_handler(first) is None


def test_loops_pass_them_on() -> None:
    signal.signal(signal.SIGUSR1, handle)
    model = nn.Linear(4, 3)
    model.register_forward_hook(lambda *_: interrupt())
    monitor = LeafMonitor(torch.rand(8, 4), every_n_steps=1)
    with pytest.raises(OutOfTime):
        monitor.measure(model, 0)
