"""A call of sys.exit during a measurement switches the callback off; training continues."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, default_collate

from lightning_leaf import HorizontalPathSnapshot, LeafError, LocalDataMatrixMonitor, Trigger
from lightning_leaf.callbacks import base
from lightning_leaf.model import quiet as quiet_module
from lightning_leaf.model.quiet import quiet
from tests.support.callbacks.training import SmallCNN, fit, ignore_lightning, train_data

pytestmark = ignore_lightning

BATCH = 64


class InForward(SmallCNN):
    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            sys.exit("no licence")
        return super().forward(x)


class InHook(SmallCNN):
    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        if len(batch[0]) != BATCH:
            sys.exit("no licence")
        return batch


def exiting_collate(items: list[Any]) -> Any:
    if len(items) != BATCH:
        sys.exit("no licence")
    return default_collate(items)


EXITS: dict[str, tuple[type[SmallCNN], Any]] = {
    "forward": (InForward, default_collate),
    "transfer hook": (InHook, default_collate),
    "collate function": (SmallCNN, exiting_collate),
}


def train(root: Path, exiting: str, *callbacks: Any) -> Any:
    module, collate = EXITS[exiting]
    loader = DataLoader(train_data(), BATCH, collate_fn=collate)
    return fit(root, *callbacks, module=module(), train=loader, validation=None)


@pytest.mark.parametrize("exiting", EXITS)
def test_an_exit_switches_the_callback_off(
    tmp_path: Path, recwarn: pytest.WarningsRecorder, exiting: str
) -> None:
    monitor = LocalDataMatrixMonitor(every_n_steps=1)
    walk = HorizontalPathSnapshot([2], pairs=1, max_steps=2)
    assert train(tmp_path, exiting, monitor, walk).global_step == 8
    assert monitor._switched_off
    assert walk._switched_off
    warnings = [str(each.message) for each in recwarn if "switched itself off" in str(each.message)]
    assert warnings
    assert all("SystemExit" in each and "no licence" in each for each in warnings)
    with pytest.raises(LeafError, match="no licence"):
        train(tmp_path, exiting, LocalDataMatrixMonitor(every_n_steps=1, on_error="raise"))


@pytest.mark.parametrize("exiting", ["forward", "transfer hook"])
def test_without_the_precaution_an_exit_ends_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exiting: str
) -> None:
    """Negative control."""
    for module in (quiet_module, base):
        monkeypatch.setattr(module, "exits_as_errors", nullcontext)
    with pytest.raises(SystemExit, match="no licence"):
        train(tmp_path, exiting, LocalDataMatrixMonitor(every_n_steps=1))


class Cancelled(BaseException):
    """An error that no ``except Exception`` catches."""


class Exiting(Trigger):
    """A trigger that ends the program."""

    reason = "exit"

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def fires(self, moment: Any) -> bool:
        raise self._error


@pytest.mark.parametrize("error", [SystemExit(0), Cancelled("gone")], ids=["exit", "cancelled"])
def test_no_kind_of_error_in_a_trigger_ends_the_training(
    tmp_path: Path, recwarn: pytest.WarningsRecorder, error: BaseException
) -> None:
    assert fit(tmp_path, HorizontalPathSnapshot(Exiting(error), pairs=1)).global_step == 8
    (warning,) = [str(each.message) for each in recwarn if "itself off" in str(each.message)]
    assert f"raised {type(error).__name__}(" in warning


class Doing(nn.Module):
    """A module that calls a function in its forward pass."""

    def __init__(self, do: Any) -> None:
        super().__init__()
        self.do = do

    def forward(self, x: Tensor) -> Tensor:
        self.do()
        return x


def test_the_error_names_the_place() -> None:
    message = r"<lambda> \(.*test_exits.py:\d+\) raised SystemExit\(3\)"
    with pytest.raises(LeafError, match=message), quiet(model := Doing(lambda: sys.exit(3))):
        model(torch.rand(1))


def test_ctrl_c_stays_what_it_is() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), quiet(model := Doing(interrupt)):
        model(torch.rand(1))


class Stopping:
    """A handler of a signal that is an object, as those of Lightning are."""

    def __call__(self, number: int, frame: Any) -> None:
        signal.signal(number, signal.SIG_DFL)
        sys.exit(143)


@pytest.mark.parametrize("handler", [Stopping(), lambda *_: sys.exit(143)], ids=["object", "args"])
def test_handlers_of_signals_end_the_process(handler: Any) -> None:
    before = signal.signal(signal.SIGTERM, handler)
    model = Doing(lambda: os.kill(os.getpid(), signal.SIGTERM))
    try:
        with pytest.raises(SystemExit, match="143"), quiet(model):
            model(torch.rand(1))
    finally:
        signal.signal(signal.SIGTERM, before)
