"""The callbacks work in trainers of ``lightning.pytorch`` and of ``pytorch_lightning``."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lightning_leaf import (
    HorizontalPathSnapshot,
    LocalDataMatrixMonitor,
    OrthogonalWalkSnapshot,
    PredictionPathSnapshot,
)
from tests.support.callbacks.training import ignore_lightning, snapshots
from tests.support.trainers.packages import PACKAGES, leaf_callbacks, train, weights, written

pytestmark = ignore_lightning

KINDS = [
    LocalDataMatrixMonitor,
    HorizontalPathSnapshot,
    OrthogonalWalkSnapshot,
    PredictionPathSnapshot,
]


def saver(package: ModuleType, root: Path) -> Any:
    return package.callbacks.ModelCheckpoint(
        root / "saved", "{step}", every_n_train_steps=6, save_top_k=-1
    )


def resumed(package: ModuleType, root: Path) -> Any:
    """Train two epochs; then resume from the middle of the second and train a third."""
    train(package, root / "first", *leaf_callbacks(), saver(package, root))
    saved = root / "saved" / "step=12.ckpt"
    options: dict[str, Any] = {"ckpt_path": saved, "max_epochs": 3}
    return train(package, root / "second", *leaf_callbacks(), saver(package, root), **options)


def test_the_packages_have_different_callback_classes() -> None:
    """Negative control: a callback of one package is not a callback of the other."""
    first, second = (importlib.import_module(name) for name in PACKAGES)
    assert not issubclass(first.callbacks.EarlyStopping, second.Callback)
    assert not issubclass(second.callbacks.EarlyStopping, first.Callback)


@pytest.mark.parametrize("kind", KINDS)
def test_leaf_callbacks_are_callbacks_of_both_packages(package: ModuleType, kind: type) -> None:
    assert issubclass(kind, package.Callback)
    assert issubclass(kind, package.callbacks.Callback)
    # With a subclass of Checkpoint the trainer would not save checkpoints by default.
    assert not issubclass(kind, package.callbacks.Checkpoint)


def test_both_packages_write_the_same_logs(tmp_path: Path) -> None:
    one, other = (importlib.import_module(name) for name in PACKAGES)
    trainers = [resumed(one, tmp_path / "one"), resumed(other, tmp_path / "other")]
    for part in ("first", "second"):
        expected = written(tmp_path / "one" / part)
        assert written(tmp_path / "other" / part) == expected
        assert "leaf/trace_mean" in expected["scalars"]
    assert [(s.name, s.step, s.reason) for s in snapshots(tmp_path / "other" / "first")] == [
        ("horizontal_path", 1, "step"),
        ("horizontal_path", 6, "checkpoint"),
        ("horizontal_path", 8, "epoch"),
        ("horizontal_path", 12, "checkpoint"),
        ("horizontal_path", 16, "epoch"),
        ("orthogonal_walk", 16, "fit_end"),
    ]
    # The resumed training continues from the checkpoint of the first one.
    second = written(tmp_path / "other" / "second")
    assert list(second["scalars"]["leaf/trace_mean"]) == [12, 15, 18, 21, 24]
    assert [shown[1] for shown in second["snapshots"]] == [12, 16, 18, 24, 24]
    histories = [trainer.callbacks[0].history for trainer in trainers]
    assert histories[0] == histories[1]
    assert histories[0]["step"] == [0, 3, 6, 9, 12, 15, 18, 21, 24]


def test_weights_equal_those_of_a_training_without_callbacks(
    tmp_path: Path, package: ModuleType
) -> None:
    watched = train(package, tmp_path / "with", *leaf_callbacks())
    plain = train(package, tmp_path / "without")
    both = zip(weights(watched.lightning_module), weights(plain.lightning_module), strict=True)
    assert all(one.equal(other) for one, other in both)


def test_other_callbacks_can_monitor_the_values(tmp_path: Path, package: ModuleType) -> None:
    best = package.callbacks.ModelCheckpoint(
        monitor="leaf/trace_median", mode="max", every_n_train_steps=1
    )
    stopper = package.callbacks.EarlyStopping(
        "leaf/effective_rank_entropy", stopping_threshold=20.0, check_on_train_epoch_end=True
    )
    monitor = LocalDataMatrixMonitor(probe=8, every_n_steps=1, on_error="raise")
    trainer = train(package, tmp_path, monitor, best, stopper, max_epochs=5)
    assert best.best_model_score > 0
    assert trainer.current_epoch == 1


def test_trainers_still_save_checkpoints_by_default(tmp_path: Path, package: ModuleType) -> None:
    trainer = train(package, tmp_path, *leaf_callbacks())
    assert Path(trainer.checkpoint_callback.best_model_path).is_file()
    # … and there is a snapshot of that checkpoint.
    found = snapshots(tmp_path, "horizontal_path")
    assert [(shown.step, shown.reason) for shown in found][-1] == (16, "epoch")


@pytest.mark.parametrize("last", [False, True], ids=["averaging first", "averaging last"])
def test_averaging_callbacks_of_both_packages_are_recognised_in_any_order(
    tmp_path: Path, package: ModuleType, last: bool
) -> None:
    averaging = package.callbacks.StochasticWeightAveraging(swa_lrs=0.01, swa_epoch_start=1)
    leaf = leaf_callbacks()
    callbacks = [*leaf, averaging] if last else [averaging, *leaf]
    train(package, tmp_path, *callbacks)
    shown = snapshots(tmp_path, "horizontal_path")
    assert shown
    assert all(each.reason.endswith(("trained weights", "averaged weights")) for each in shown)
