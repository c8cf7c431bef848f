"""Callbacks measure fits only, several fits in a row, and can be copied at any time."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from lightning_leaf import HorizontalPathSnapshot, LocalDataMatrix, LocalDataMatrixMonitor
from lightning_leaf.callbacks.base import LeafCallback
from tests.support.callbacks.training import (
    SmallCNN,
    digits,
    fit,
    ignore_lightning,
    make_trainer,
    scalars,
    snapshots,
    train_data,
)
from tests.support.pair import HANG_GUARD_S
from tests.support.trainers import spawned
from tests.support.trainers.packages import leaf_callbacks, weights, written

pytestmark = ignore_lightning

SPAWNED = Path(spawned.__file__)


class WithAllStages(SmallCNN):
    """A module with test and predict steps."""

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.validation_step(batch, batch_idx)

    def predict_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return self(batch[0])


def loader() -> DataLoader[Any]:
    return DataLoader(train_data(), batch_size=64)


def histories(trainer: Any) -> list[dict[str, list[float]]]:
    return [
        callback.history
        for callback in trainer.callbacks
        if isinstance(callback, LocalDataMatrixMonitor)
    ]


@pytest.mark.parametrize("stage", ["validate", "test", "predict"])
@pytest.mark.parametrize("fitted", [False, True], ids=["alone", "after a fit"])
def test_other_stages_are_not_measured(tmp_path: Path, stage: str, fitted: bool) -> None:
    trainer = make_trainer(tmp_path, leaf_callbacks(), logger=True)
    module = WithAllStages()
    if fitted:
        trainer.fit(module, loader())
    before, measured, shown = weights(module), copy.deepcopy(histories(trainer)), written(tmp_path)
    streams = []
    for runner in (trainer, make_trainer(tmp_path, [])):
        torch.manual_seed(0)
        getattr(runner, stage)(module, loader())
        streams.append(torch.get_rng_state())
    assert histories(trainer) == measured
    assert measured[0]["step"] == ([0, 3, 6, 8] if fitted else [])
    after = written(tmp_path)
    assert after["snapshots"] == shown["snapshots"]
    assert {name: values for name, values in after["scalars"].items() if "leaf" in name} == {
        name: values for name, values in shown["scalars"].items() if "leaf" in name
    }
    assert not any(name.startswith("leaf/") for name in trainer.callback_metrics)
    assert all(one.equal(other) for one, other in zip(weights(module), before, strict=True))
    assert torch.equal(*streams)
    assert "log" not in vars(module)


def test_a_fit_between_other_stages_is_measured(tmp_path: Path) -> None:
    """Negative control; the earlier stages do not change the fit."""
    trainer = make_trainer(tmp_path, leaf_callbacks(), logger=True)
    module = WithAllStages()
    trainer.validate(module, loader(), verbose=False)
    trainer.fit(module, loader(), loader())
    trainer.test(module, loader(), verbose=False)
    assert histories(trainer)[0]["step"] == [0, 3, 6, 8]
    assert [shown.step for shown in snapshots(tmp_path)] == [1, 8, 8]


def test_a_second_fit_of_one_trainer_continues_the_history(tmp_path: Path) -> None:
    snapshot = HorizontalPathSnapshot(["fit_end", 10], pairs=1, max_steps=6, on_error="raise")
    monitor = LocalDataMatrixMonitor(probe=4, every_n_steps=3, on_error="raise")
    trainer = make_trainer(tmp_path, [snapshot, monitor], max_steps=-1, max_epochs=1)
    module = SmallCNN()
    trainer.fit(module, loader())
    trainer.fit_loop.max_epochs = 2
    trainer.fit(module, loader())
    assert [s.step for s in snapshots(tmp_path)] == [8, 10, 16]
    assert [s.session_start_step for s in snapshots(tmp_path)] == [0, 9, 9]
    assert monitor.history["step"] == [0, 3, 6, 8, 9, 12, 15, 16]


def test_a_second_module_in_one_trainer_is_measured(tmp_path: Path) -> None:
    """The trainer continues to count steps; the callback measures the new module."""
    probe = digits()[0][:4]
    monitor = LocalDataMatrixMonitor(probe, every_n_steps=4, on_error="raise")
    trainer = make_trainer(tmp_path, [monitor], max_steps=-1, max_epochs=1)
    modules = [SmallCNN(), SmallCNN()]
    trainer.fit(modules[0], loader())
    trainer.fit_loop.max_epochs = 2
    trainer.fit(modules[1], loader())
    assert monitor.history["step"] == [0, 4, 8, 12, 16]
    traces = [LocalDataMatrix.at(module, probe).trace().mean().item() for module in modules]
    measured = monitor.history["trace_mean"]
    assert [measured[2], measured[4]] == pytest.approx(traces, rel=1e-5)
    assert traces[0] != pytest.approx(traces[1], rel=1e-3)


def test_a_second_trainer_starts_its_own_history(tmp_path: Path) -> None:
    monitor = LocalDataMatrixMonitor(every_n_steps=4)
    fit(tmp_path / "first", monitor)
    first = monitor.history["trace_mean"][:]
    fit(tmp_path / "second", monitor)
    assert monitor.history["step"] == [0, 4, 8]
    assert monitor.history["trace_mean"] == first


def test_two_monitors_log_separately(tmp_path: Path) -> None:
    probe = digits()[0][-16:]
    first = LocalDataMatrixMonitor(probe, every_n_steps=4)
    second = LocalDataMatrixMonitor(probe[:4], every_n_steps=3, name="few")
    trainer = fit(tmp_path, first, second)
    logged = scalars(tmp_path)
    assert list(logged["leaf/trace_mean"]) == [0, 4, 8]
    assert list(logged["few/trace_mean"]) == [0, 3, 6, 8]
    assert logged["leaf/trace_mean"][0] != logged["few/trace_mean"][0]
    assert {"leaf/trace_mean", "few/trace_mean"} <= trainer.callback_metrics.keys()
    assert first.state_key != second.state_key


COPIES: dict[str, Callable[[Any], Any]] = {
    "pickled": lambda callback: pickle.loads(pickle.dumps(callback)),
    "copied": copy.deepcopy,
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_callbacks_can_be_copied_at_any_time(
    tmp_path: Path, copied: Callable[[LeafCallback], LeafCallback]
) -> None:
    originals = leaf_callbacks()
    before = [copied(callback) for callback in originals]
    trainer = fit(tmp_path / "originals", *originals)
    after = [copied(callback) for callback in originals]
    assert histories(trainer)[0] == after[0].history
    assert after[1].last_snapshot.step == 8
    # Both sets of copies measure the same as the originals.
    expected = written(tmp_path / "originals")
    for name, callbacks in {"before": before, "after": after}.items():
        fit(tmp_path / name, *callbacks)
        assert written(tmp_path / name) == expected
    assert len(expected["snapshots"]) == 3


def test_a_copy_is_independent(tmp_path: Path) -> None:
    original = LocalDataMatrixMonitor(probe=4, every_n_steps=4)
    other = copy.deepcopy(original)
    fit(tmp_path, original)
    assert other.history["step"] == []


def test_callbacks_work_in_spawned_processes(tmp_path: Path) -> None:
    """The trainer of a script pickles the callbacks for each process."""
    done = subprocess.run(
        [sys.executable, str(SPAWNED)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(SPAWNED.parents[3])},
        timeout=HANG_GUARD_S,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "has switched itself off" not in done.stderr
    assert list(scalars(tmp_path)["leaf/trace_mean"]) == [0, 2, 4]
    found = [(shown.name, shown.step) for shown in snapshots(tmp_path)]
    assert found == [("horizontal_path", 2), ("orthogonal_walk", 4), ("each_class", 4)]
