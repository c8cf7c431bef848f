"""In plain loops too, a resumed training supersedes the interrupted one under any clock."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.fabric.loggers import TensorBoardLogger
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from lightning_leaf import LeafMonitor, LeafPath, LeafWriter
from lightning_leaf.display import sessions
from lightning_leaf.loops import hugging_face
from lightning_leaf.loops.hugging_face import LeafTrainerCallback, log_dir_of
from tests.support.clock_set_back import (
    HOUR,
    MachineClock,
    listed,
    new_process,
    without_memory,
)
from tests.support.made_paths import make_path, random_log_probs

pytestmark = [
    pytest.mark.filterwarnings("ignore:LeafWriter. The clock of this machine"),
    pytest.mark.filterwarnings("ignore:Experiment logs directory .* exists"),
]

WALKS = LeafPath([make_path(random_log_probs(5, 3), (6,), "orthogonal")])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> MachineClock:
    return MachineClock.installed(monkeypatch)


def write(target: Any, *steps: int) -> None:
    with LeafWriter(target, on_error="raise") as writer:
        for step in steps:
            writer.snapshot(WALKS, step)


def targets(folder: Path) -> dict[str, Any]:
    return {
        "path": folder / "run",
        "SummaryWriter": SummaryWriter(str(folder / "run")),
        "logger": TensorBoardLogger(folder, "run", version=""),
    }


@pytest.mark.parametrize("kind", ["path", "SummaryWriter", "logger"])
def test_a_writer_follows_the_event_files_of_its_folder(
    tmp_path: Path, clock: MachineClock, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    write(targets(tmp_path)[kind], 1, 4, 5)
    for step in (6, 7):
        clock.now -= HOUR
        new_process(monkeypatch)
        write(targets(tmp_path)[kind], 4, step)
    assert listed(tmp_path) == ([1, 4, 7], 4)
    # Negative control: by the clock alone, the new session is taken for the oldest one.
    clock.now -= HOUR
    without_memory(monkeypatch)
    write(targets(tmp_path)[kind], 4, 8)
    assert listed(tmp_path) == ([1, 4, 7], 6)


def test_two_writers_of_a_process_have_increasing_sessions(
    tmp_path: Path, clock: MachineClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "sessions_in", lambda folder: ())  # a remote folder
    write(tmp_path, 1, 5)
    clock.now -= HOUR
    write(tmp_path, 4, 7)
    assert listed(tmp_path) == ([1, 4, 7], 1)


def test_the_state_of_a_monitor_contains_the_session(
    tmp_path: Path, clock: MachineClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "sessions_in", lambda folder: ())  # a remote folder
    monitor = LeafMonitor(torch.rand(2, 4), writer=LeafWriter(tmp_path))
    write(tmp_path, 1, 5)
    state = monitor.state_dict()
    clock.now -= HOUR
    new_process(monkeypatch)
    resumed = LeafMonitor(torch.rand(2, 4), writer=LeafWriter(tmp_path))
    resumed.load_state_dict(state)
    write(tmp_path, 4, 7)
    assert listed(tmp_path) == ([1, 4, 7], 1)


def test_a_writer_warns_once_that_the_clock_is_behind_the_logs(
    tmp_path: Path, clock: MachineClock, recwarn: pytest.WarningsRecorder
) -> None:
    write(tmp_path, 1)
    clock.now -= HOUR
    write(tmp_path, 4, 5)
    texts = [str(each.message) for each in recwarn]
    (warning,) = [each for each in texts if each.startswith("LeafWriter: The clock")]
    assert "Set the clock" in warning


def test_a_transformers_training_follows_the_event_files(
    tmp_path: Path, clock: MachineClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hugging_face, "TrainerCallback", object)
    args = SimpleNamespace(output_dir=str(tmp_path), report_to=[], load_best_model_at_end=False)
    state = SimpleNamespace(is_world_process_zero=True, global_step=0)
    for steps in ((1, 5), (4, 7)):
        callback = LeafTrainerCallback(torch.rand(2, 4), on_error="raise")
        callback.on_train_begin(args, state, None)
        assert callback.writer is not None
        for step in steps:
            callback.writer.snapshot(WALKS, step)
        callback.on_train_end(args, state, None, model=nn.Linear(4, 3))
        clock.now -= HOUR
        new_process(monkeypatch)
    assert listed(tmp_path) == ([1, 4, 7], 1)


def test_the_folder_of_a_trainer_is_that_of_this_process(tmp_path: Path) -> None:
    """Its time is earlier than that of an older folder if the clock was set back."""
    older, own = tmp_path / "runs" / "Nov01", tmp_path / "runs" / "Nov02"
    for folder, process in ((own, os.getpid()), (older, os.getpid() + 1)):
        folder.mkdir(parents=True)
        (folder / f"events.out.tfevents.1700000000.host.{process}.0").touch()
    os.utime(own, (0, 0))
    args = SimpleNamespace(output_dir=str(tmp_path), report_to=["tensorboard"])
    assert log_dir_of(args) == str(own)
    # Negative control: the latest of the others.
    next(own.iterdir()).rename(own / "events.out.tfevents.1700000000.host.0.0")
    os.utime(own, (0, 0))
    assert log_dir_of(args) == str(older)
