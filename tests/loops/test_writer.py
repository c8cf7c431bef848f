"""The writer of a loop writes paths to directories, SummaryWriters and loggers of Lightning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
from lightning.fabric.loggers import CSVLogger, TensorBoardLogger
from torch.utils.tensorboard import SummaryWriter

from lightning_leaf import LeafError, LeafPath, LeafWriter
from tests.support.callbacks.training import scalars, snapshots
from tests.support.made_paths import make_path, random_log_probs

PATHS = LeafPath([make_path(random_log_probs(30, 5, i), seed=i) for i in range(2)])
WALKS = LeafPath([make_path(random_log_probs(30, 5), (6,), "orthogonal")])


def targets(folder: Path) -> list[Any]:
    return [folder, str(folder), SummaryWriter(str(folder)), TensorBoardLogger(folder)]


@pytest.mark.parametrize("kind", range(4), ids=["path", "text", "SummaryWriter", "logger"])
def test_tensorboard_shows_paths_and_numbers(tmp_path: Path, kind: int) -> None:
    with LeafWriter(targets(tmp_path)[kind]) as writer:
        writer.scalars({"leaf/trace_mean": 0.5}, step=20)
        batch = PATHS.start, torch.tensor([3, 1])
        taken = writer.snapshot(PATHS, 30, sources=batch, class_names=list("abcde"), epoch=2)
        writer.snapshot(lambda: WALKS, 30, name="mine")
    paths, walks = snapshots(tmp_path)
    assert (paths.name, paths.kind, paths.step, paths.epoch) == (
        "horizontal_path",
        "horizontal",
        30,
        2,
    )
    assert [path.source for path in paths.paths] == ["d", "b"]
    assert [path.destination for path in paths.paths] == ["#0", "#1"]
    assert (walks.name, walks.kind) == ("mine", "orthogonal")
    assert paths.session == walks.session
    assert paths.session_start_step == 20
    assert taken is not None
    assert taken.paths[0].steps == PATHS[0].steps
    assert scalars(tmp_path) == {"leaf/trace_mean": {20: 0.5}}


def test_prediction_paths_are_written_with_what_another_network_predicts(tmp_path: Path) -> None:
    path = LeafPath([make_path(random_log_probs(9, 3, i), (6,), "prediction") for i in range(2)])
    judge = torch.nn.Sequential(torch.nn.Linear(6, 3), torch.nn.Dropout(0.9))
    with LeafWriter(tmp_path, on_error="raise") as writer:
        writer.snapshot(path, 3, class_names=["cat", "dog", "cow"], judge=judge)
    assert judge.training
    (written,) = snapshots(tmp_path)
    assert (written.name, written.kind) == ("prediction_path", "prediction")
    ends = torch.stack([single.points[-1] for single in path])
    p = judge.eval()(ends).softmax(1)
    names = [("cat", "dog", "cow")[row] for row in p.argmax(1).tolist()]
    assert [each.judged for each in written.paths] == names
    shown = [each.judged_probability for each in written.paths]
    assert shown == pytest.approx(p.amax(1).tolist(), abs=1e-6)


def test_remote_directories_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with LeafWriter("memory://loops/run") as writer:
        writer.snapshot(PATHS, 1)
    names = fsspec.filesystem("memory").find("memory://loops/run")
    assert any("tfevents" in name for name in names)
    assert not list(tmp_path.iterdir())


def test_loggers_without_pictures_get_files(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    with LeafWriter(logger) as writer:
        writer.scalars({"leaf/trace_mean": 0.5}, step=0)
        writer.snapshot(PATHS, 3)
    assert len(list(tmp_path.rglob("leaf/horizontal_path-000000000003/path-*.npz"))) == 2
    logger.finalize("success")
    assert "leaf/trace_mean" in next(tmp_path.rglob("metrics.csv")).read_text()


def test_errors_of_paths_are_caught(tmp_path: Path) -> None:
    def diverged() -> LeafPath:
        raise ValueError("NaN in the weights")

    writer = LeafWriter(tmp_path)
    with pytest.warns(UserWarning, match=r"LeafWriter has switched itself off.*NaN in the weights"):
        assert writer.snapshot(diverged, 5) is None
    assert writer.snapshot(PATHS, 6) is None  # without another warning
    writer.close()
    assert snapshots(tmp_path) == []
    # Negative control.
    with pytest.raises(ValueError, match="NaN"):
        LeafWriter(tmp_path, on_error="raise").snapshot(diverged, 5)


def test_a_batch_of_another_size_is_reported(tmp_path: Path) -> None:
    batch = torch.rand(3, 1, 8, 8), torch.arange(3)
    with pytest.warns(UserWarning, match="one example for each of the 2 paths; got 3"):
        LeafWriter(tmp_path).snapshot(PATHS, 0, destinations=batch)


def test_other_processes_compute_and_write_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightning_leaf.loops.writer.is_rank_zero", lambda: False)
    with LeafWriter(tmp_path, on_error="raise") as writer:
        assert writer.snapshot(lambda: pytest.fail("computed"), 0) is None
        writer.scalars({"a": 1.0}, 0)
    assert not list(tmp_path.iterdir())


def test_targets_that_cannot_be_written_raise() -> None:
    with pytest.raises(LeafError, match=r"got int\. Use LeafWriter\('runs/mnist'\)"):
        LeafWriter(3)
