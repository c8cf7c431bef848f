"""The monitor logs the geometry of the current weights to all loggers and never stops training."""

from __future__ import annotations

import copy
import math
from csv import DictReader
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import nn

from lightning_leaf import (
    LeafError,
    LocalDataMatrix,
    LocalDataMatrixMonitor,
    OrthogonalWalkSnapshot,
    effective_rank,
)
from tests.support.callbacks.training import (
    SmallCNN,
    digits,
    fit,
    ignore_lightning,
    scalars,
)

pytestmark = ignore_lightning

LOGGED = {
    "leaf/trace_mean",
    "leaf/trace_median",
    "leaf/trace_ratio",
    "leaf/effective_rank_entropy",
    "leaf/tangent_dimension",
}


def probe() -> torch.Tensor:
    return digits()[0][-16:]


class Weights(Callback):
    """A callback that copies the module before each step and at the end, by number of steps."""

    def __init__(self) -> None:
        self.at: dict[int, nn.Module] = {}

    def on_train_batch_start(self, trainer: Any, module: Any, *_: Any) -> None:
        self.at[trainer.global_step] = copy.deepcopy(module.net).eval()

    def on_train_end(self, trainer: Any, module: Any) -> None:
        self.at[trainer.global_step] = copy.deepcopy(module.net).eval()


class Diverging(SmallCNN):
    """A module whose weights become NaN at step 3."""

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        if batch_idx == 3:
            self.net[-1].weight.data.fill_(torch.nan)


class FailingAtFour(SmallCNN):
    """A module whose forward fails in evaluation mode from step 4 on."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training and self.trainer.global_step >= 4:
            raise RuntimeError("only in training mode")
        return super().forward(x)


def test_value_at_step_k_belongs_to_the_weights_after_k_steps(tmp_path: Path) -> None:
    weights = Weights()
    ranks = ["entropy", "stable"]
    fit(tmp_path, LocalDataMatrixMonitor(probe(), 3, ranks), weights, validation=None)
    logged = scalars(tmp_path)
    for step in (0, 3, 6, 8):
        g = LocalDataMatrix.at(weights.at[step], probe())
        expected = {
            "trace_mean": g.trace().mean(),
            "trace_median": g.trace().quantile(0.5),
            "effective_rank_entropy": effective_rank(g.eigenvalues()).mean(),
            "effective_rank_stable": effective_rank(g.eigenvalues(), "stable").mean(),
            "tangent_dimension": g.tangent_dimension().double().mean(),
        }
        for name, value in expected.items():
            assert logged[f"leaf/{name}"][step] == pytest.approx(float(value), rel=1e-5)
        # Negative control: other weights have other values.
        other = LocalDataMatrix.at(weights.at[step - 1 if step else 1], probe())
        assert logged["leaf/trace_mean"][step] != pytest.approx(float(other.trace().mean()), 1e-5)
    median = logged["leaf/trace_median"]
    ratio = {step: value / median[0] for step, value in median.items()}
    assert logged["leaf/trace_ratio"] == pytest.approx(ratio, rel=1e-5)


def test_measures_at_step_zero_then_every_n_steps_and_at_the_end(tmp_path: Path) -> None:
    monitor = LocalDataMatrixMonitor(every_n_steps=3)
    trainer = fit(tmp_path, monitor)
    assert monitor.history["step"] == [0, 3, 6, 8]
    logged = scalars(tmp_path)
    assert {name for name in logged if name.startswith("leaf/")} == LOGGED
    for name in LOGGED:
        column = monitor.history[name.removeprefix("leaf/")]
        assert list(logged[name]) == [0, 3, 6, 8]
        assert list(logged[name].values()) == pytest.approx(column)
        assert trainer.callback_metrics[name] == pytest.approx(column[-1])


def test_accumulated_batches_are_measured_once_per_step(tmp_path: Path) -> None:
    monitor = LocalDataMatrixMonitor(every_n_steps=1)
    fit(tmp_path, monitor, max_steps=4, accumulate_grad_batches=2)
    assert monitor.history["step"] == [0, 1, 2, 3, 4]


def test_effective_ranks_are_optional(tmp_path: Path) -> None:
    monitor = LocalDataMatrixMonitor(every_n_steps=4, ranks=[], on_error="raise")
    fit(tmp_path, monitor)
    assert set(scalars(tmp_path)) >= LOGGED - {"leaf/effective_rank_entropy"}
    assert not any("rank" in column for column in monitor.history)


def test_all_loggers_receive_the_values(tmp_path: Path) -> None:
    loggers = [TensorBoardLogger(tmp_path / "tb"), CSVLogger(tmp_path / "csv")]
    fit(tmp_path, LocalDataMatrixMonitor(every_n_steps=4), logger=loggers)
    (csv,) = (tmp_path / "csv").rglob("metrics.csv")
    rows = list(DictReader(csv.read_text().splitlines()))
    assert rows[0].keys() >= LOGGED
    # Rows have an epoch, as those that Lightning writes.
    measured = [row for row in rows if row["leaf/trace_mean"]]
    assert [(row["step"], row["epoch"]) for row in measured] == [("0", "0"), ("4", "0"), ("8", "1")]
    assert set(scalars(tmp_path / "tb")) >= LOGGED


@pytest.mark.parametrize("options", [{"logger": False}, {"fast_dev_run": True}], ids=str)
def test_a_trainer_without_loggers_is_supported(tmp_path: Path, options: dict[str, Any]) -> None:
    monitor = LocalDataMatrixMonitor(every_n_steps=1, on_error="raise")
    fit(tmp_path, monitor, **options)
    assert monitor.history["step"][0] == 0
    assert not list(tmp_path.rglob("events*"))


def test_the_history_continues_after_a_resume(tmp_path: Path) -> None:
    saver = ModelCheckpoint(tmp_path / "saved", every_n_train_steps=5, save_top_k=-1)
    options: dict[str, Any] = {"enable_checkpointing": True, "validation": None}
    whole = LocalDataMatrixMonitor(probe(), every_n_steps=2)
    fit(tmp_path / "first", whole, saver, **options)
    (saved,) = (tmp_path / "saved").glob("*step=5.ckpt")
    resumed = LocalDataMatrixMonitor(probe(), every_n_steps=2)
    saver = ModelCheckpoint(tmp_path / "saved", every_n_train_steps=5, save_top_k=-1)
    fit(tmp_path / "second", resumed, saver, ckpt_path=saved, **options)
    assert resumed.history["step"] == [0, 2, 4, 6, 8]
    assert resumed.history["trace_mean"][:3] == whole.history["trace_mean"][:3]
    assert list(scalars(tmp_path / "second")["leaf/trace_mean"]) == [6, 8]
    first = resumed.history["trace_median"][0]
    assert resumed.history["trace_ratio"][-1] == resumed.history["trace_median"][-1] / first


def test_diverged_weights_are_logged_as_nan_and_training_continues(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = LocalDataMatrixMonitor(every_n_steps=2, on_error="raise")
    trainer = fit(tmp_path, monitor, module=Diverging(), validation=None)
    assert trainer.global_step == 8
    assert [math.isnan(value) for value in monitor.history["trace_mean"]] == [False] * 2 + [
        True
    ] * 3
    assert math.isnan(scalars(tmp_path)["leaf/tangent_dimension"][6])
    assert caplog.text.count("The measurement at step 4 is NaN") == 1
    assert caplog.text.count("diverged") == 1
    monitor.plot()


def test_an_error_causes_one_warning_and_training_continues(tmp_path: Path) -> None:
    monitor = LocalDataMatrixMonitor(every_n_steps=2)
    with pytest.warns(UserWarning, match="switched itself off.*only in training mode") as caught:
        trainer = fit(tmp_path, monitor, module=FailingAtFour(), validation=None)
    assert trainer.global_step == 8
    assert len([w for w in caught if "has switched itself off" in str(w.message)]) == 1
    assert monitor.history["step"] == [0, 2]
    assert list(scalars(tmp_path)["leaf/trace_mean"]) == [0, 2]


def test_on_error_raise_ends_the_training(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="only in training mode"):
        fit(
            tmp_path,
            LocalDataMatrixMonitor(every_n_steps=2, on_error="raise"),
            module=FailingAtFour(),
            validation=None,
        )


def test_equal_names_raise_an_error_before_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(LeafError, match="'leaf' more than once"):
        fit(tmp_path, LocalDataMatrixMonitor(), OrthogonalWalkSnapshot(name="leaf"))
    # Lightning checks callbacks of the same type, whose states would have the same key.
    with pytest.raises(RuntimeError, match="documentation of `LocalDataMatrixMonitor`"):
        fit(tmp_path, LocalDataMatrixMonitor(), LocalDataMatrixMonitor())


def test_the_history_can_be_plotted(tmp_path: Path) -> None:
    monitor = LocalDataMatrixMonitor(every_n_steps=2, ranks=["entropy", "stable"])
    fit(tmp_path, monitor)
    panels = monitor.plot().axes
    assert [panel.get_title() for panel in panels] == [
        "Trace of the local data matrix",
        "Effective rank",
        "Tangent dimension",
    ]
    assert [line.get_label() for line in panels[0].lines] == ["median", "mean", "initial value"]
    assert panels[1].lines[0].get_xdata().tolist() == [0, 2, 4, 6, 8]


def test_ranks_can_be_one_name() -> None:
    one, several = LocalDataMatrixMonitor(ranks="stable"), LocalDataMatrixMonitor(ranks=["stable"])
    assert list(one.history) == list(several.history)
    assert "effective_rank_stable" in one.history
    assert "effective_rank_stable" not in LocalDataMatrixMonitor().history  # negative control


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no inputs": ({"probe": 0}, "probe expects a whole number of at least 1"),
    "no steps": ({"every_n_steps": 0}, "every_n_steps expects"),
    "unknown single rank": ({"ranks": "nuclear"}, "got 'nuclear'"),
    "unknown rank": ({"ranks": ["nuclear"]}, "'participation'"),
    "name": ({"name": "my probe/2"}, "letters, digits"),
    "on_error": ({"on_error": "ignore"}, "one of 'warn', 'raise'"),
    "chunk_size": ({"chunk_size": 0}, "chunk_size expects"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD.keys())
def test_errors_name_the_argument(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(LeafError, match=message):
        LocalDataMatrixMonitor(**arguments)
