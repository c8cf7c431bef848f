"""A resumed training supersedes the interrupted one, also if the clock was set back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from lightning_leaf import HorizontalPathSnapshot, LocalDataMatrixMonitor, OrthogonalWalkSnapshot
from lightning_leaf.display import sessions
from tests.support.callbacks.training import (
    SmallCNN,
    fit,
    ignore_lightning,
    make_trainer,
    train_data,
)
from tests.support.callbacks.training import snapshots as written
from tests.support.clock_set_back import (
    HOUR,
    MachineClock,
    listed,
    new_process,
    without_memory,
)

pytestmark = [
    *ignore_lightning,
    pytest.mark.filterwarnings("ignore:The clock of this machine"),
    pytest.mark.filterwarnings("ignore:Experiment logs directory .* exists"),
]

QUICK: dict[str, Any] = {"max_steps": 1, "on_error": "raise"}


def snapshots(steps: list[int]) -> HorizontalPathSnapshot:
    return HorizontalPathSnapshot(steps, pairs=1, **QUICK)


def train(root: Path, steps: list[int], *, version: int = 0, **options: Any) -> None:
    """Train for eight steps with snapshots at some steps, and save checkpoints every three."""
    saver = ModelCheckpoint(root / "saved", every_n_train_steps=3, save_top_k=-1)
    fit(
        root,
        snapshots(steps),
        saver,
        validation=None,
        enable_checkpointing=True,
        logger=TensorBoardLogger(root, "logs", version),
        **options,
    )


def checkpoint(root: Path) -> Path:
    return next((root / "saved").glob("*step=3.ckpt"))


@pytest.mark.parametrize("memory", ["checkpoint", "process", "event files", "none"])
def test_snapshots_of_a_resumed_training_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: str
) -> None:
    """The session is known from the checkpoint, from the process or from the event files."""
    clock = MachineClock.installed(monkeypatch)
    train(tmp_path, [1, 4, 5])
    clock.now -= HOUR
    if memory == "none":  # negative control
        without_memory(monkeypatch)
    if memory != "process":
        new_process(monkeypatch)
    if memory in ("checkpoint", "process"):
        monkeypatch.setattr(sessions, "sessions_in", lambda folder: ())
    if memory != "checkpoint":
        content = torch.load(checkpoint(tmp_path), weights_only=False)
        content["callbacks"].clear()
        torch.save(content, checkpoint(tmp_path))
    train(tmp_path, [4, 7], ckpt_path=checkpoint(tmp_path))
    identifiers = [each.session for each in written(tmp_path)]
    assert len(identifiers) == 5
    expected = ([1, 4, 7], 2) if memory != "none" else ([1, 4, 5], 2)
    assert listed(tmp_path / "logs") == expected


def test_a_second_resume_from_a_checkpoint_supersedes_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = MachineClock.installed(monkeypatch)
    train(tmp_path, [1, 5])
    for steps in ([4, 6], [4, 7]):
        clock.now -= HOUR
        new_process(monkeypatch)
        train(tmp_path, steps, ckpt_path=checkpoint(tmp_path))
    assert listed(tmp_path / "logs") == ([1, 4, 7], 3)


def test_a_new_folder_contains_the_snapshots_of_the_resumed_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = MachineClock.installed(monkeypatch)
    train(tmp_path, [1, 5])
    clock.now -= HOUR
    new_process(monkeypatch)
    train(tmp_path, [4, 7], version=1, ckpt_path=checkpoint(tmp_path))
    first, again = [each.session for each in written(tmp_path) if each.step in (1, 7)]
    assert again > first
    assert listed(tmp_path / "logs") == ([1, 5, 4, 7], 0)


def test_all_fits_and_callbacks_of_a_trainer_have_increasing_sessions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = MachineClock.installed(monkeypatch)
    callbacks = [
        snapshots([1, 3, 6]),
        OrthogonalWalkSnapshot([2, 7], starts=1, **QUICK),
        LocalDataMatrixMonitor(probe=2, every_n_steps=4, on_error="raise"),
    ]
    for hours in (2, 24, 1):  # since 1970: a clock that was never set, and is set back
        clock.now = hours * HOUR
        trainer = make_trainer(tmp_path, callbacks, logger=TensorBoardLogger(tmp_path, "logs", 0))
        trainer.fit(SmallCNN(), DataLoader(train_data(), 64))
    paths = [each.session for each in written(tmp_path, "horizontal_path")]
    walks = [each.session for each in written(tmp_path, "orthogonal_walk")]
    assert len(set(paths)) == len(set(walks)) == 3
    assert set(paths) == set(walks)  # one session for each fit
    steps, superseded = listed(tmp_path / "logs")
    assert (sorted(steps), superseded) == ([1, 2, 3, 6, 7], 10)


def test_one_warning_says_that_the_clock_is_behind_the_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    def warnings() -> list[str]:
        texts = [str(each.message) for each in recwarn]
        return [text for text in texts if text.startswith("The clock of this machine shows")]

    clock = MachineClock.installed(monkeypatch)
    train(tmp_path, [1])
    clock.now -= 30  # machines of a cluster differ by less than a minute
    train(tmp_path, [1])
    assert warnings() == []
    clock.now -= HOUR
    train(tmp_path, [1])
    (warning,) = warnings()
    assert "Set the clock, or log to a new folder." in warning
    train(tmp_path, [1], version=1)
    assert len(warnings()) == 1
