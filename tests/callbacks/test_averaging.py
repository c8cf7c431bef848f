"""A curve shows one kind of weights, in any order of callbacks; snapshots say which they show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import (
    Callback,
    EMAWeightAveraging,
    StochasticWeightAveraging,
    WeightAveraging,
)
from torch import nn

from lightning_leaf import HorizontalPathSnapshot, LocalDataMatrix, LocalDataMatrixMonitor
from lightning_leaf.trainer.averaging import TrainedWeights
from tests.support.callbacks.training import (
    SmallCNN,
    digits,
    fit,
    ignore_lightning,
    scalars,
    snapshots,
)

pytestmark = ignore_lightning


class WithoutNorm(SmallCNN):
    """A module without batch-norm."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def probe() -> torch.Tensor:
    return digits()[0][-16:]


def swa() -> Callback:
    return StochasticWeightAveraging(swa_lrs=0.05, swa_epoch_start=1)


def ema() -> Callback:
    return EMAWeightAveraging(decay=0.99)


CASES: dict[str, tuple[Any, Any, bool, bool]] = {
    # averaging callback, module, whether it is listed last, whether the module has averaged weights
    # when the LEAF callbacks run at the end of the fit
    "swa with batch-norm, last": (swa, SmallCNN, True, True),
    "swa with batch-norm, first": (swa, SmallCNN, False, True),
    "swa, last": (swa, WithoutNorm, True, False),
    "swa, first": (swa, WithoutNorm, False, True),
    "ema, last": (ema, SmallCNN, True, False),
    "ema, first": (ema, SmallCNN, False, True),
    "average, first": (WeightAveraging, WithoutNorm, False, True),
}


def trained(root: Path, averaging: Any, module: Any, last: bool) -> tuple[Any, Any]:
    monitor = LocalDataMatrixMonitor(probe(), every_n_steps=3, on_error="raise")
    paths = HorizontalPathSnapshot([3, "fit_end"], pairs=1, max_steps=1, on_error="raise")
    callbacks = [monitor, paths, averaging()] if last else [averaging(), monitor, paths]
    trainer = fit(root, *callbacks, module=module(), max_steps=-1, max_epochs=2, validation=None)
    return trainer, monitor


@pytest.mark.parametrize(
    ("averaging", "module", "last", "averaged"), CASES.values(), ids=CASES.keys()
)
def test_the_curve_shows_the_weights_that_are_trained(
    tmp_path: Path, averaging: Any, module: Any, last: bool, averaged: bool
) -> None:
    trainer, monitor = trained(tmp_path, averaging, module, last)
    final = LocalDataMatrix.at(trainer.lightning_module, probe()).trace().mean().item()
    logged = scalars(tmp_path)
    steps = [0, 3, 6, 9, 12, 15]
    assert monitor.history["step"] == (steps if averaged else [*steps, 16])
    assert list(logged["leaf/trace_mean"]) == monitor.history["step"]
    assert logged["leaf/trace_mean"][15] != pytest.approx(final, rel=0.1)
    if averaged:
        (value,) = logged["leaf_averaged/trace_mean"].values()
        assert value == pytest.approx(final, rel=1e-4)
    else:
        assert not any(name.startswith("leaf_averaged") for name in logged)
    kind = "averaged" if averaged else "trained"
    reasons = [snapshot.reason for snapshot in snapshots(tmp_path)]
    assert reasons == ["step, trained weights", f"fit_end, {kind} weights"]


def test_weights_that_were_not_recorded_would_end_the_curve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control."""
    monkeypatch.setattr(TrainedWeights, "were_replaced", lambda *_: False)
    trainer, monitor = trained(tmp_path, ema, SmallCNN, last=False)
    final = LocalDataMatrix.at(trainer.lightning_module, probe()).trace().mean().item()
    assert monitor.history["trace_mean"][-1] == pytest.approx(final, rel=1e-4)
    assert monitor.history["trace_mean"][-2] > 10 * final


def test_without_averaging_snapshots_show_the_only_weights(tmp_path: Path) -> None:
    fit(tmp_path, HorizontalPathSnapshot(pairs=1, max_steps=1, on_error="raise"), max_steps=2)
    assert [snapshot.reason for snapshot in snapshots(tmp_path)] == ["fit_end"]
