"""Long walks are announced, bounded and interruptible, and none is thrown away."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_leaf import HorizontalPathSnapshot, LocalDataMatrixMonitor, OrthogonalWalkSnapshot
from lightning_leaf.callbacks import walk_time
from lightning_leaf.callbacks.interrupts import ctrl_c
from lightning_leaf.callbacks.walk_messages import duration
from lightning_leaf.callbacks.walk_time import WalkTime, time_limit
from lightning_leaf.trainer import state
from tests.support.callbacks.training import (
    SmallCNN,
    fit,
    ignore_lightning,
    make_trainer,
    snapshots,
    validation_data,
)

pytestmark = ignore_lightning

ENDLESS: dict[str, Any] = {"step_size": 1e-6, "max_steps": 10**6, "on_error": "raise"}


class Clock:
    """A clock that each reading moves by one second."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1.0
        return self.now


def test_the_time_of_all_steps_is_announced_after_a_few_and_the_limit_ends_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(walk_time, "time", Clock())
    announced: list[float] = []
    reported: list[int] = []
    walk = WalkTime(50, 3000, announced.append, reported.append)
    over = [walk.is_over() for _ in range(60)]
    assert announced == [3000.0]  # one second for each step
    assert over.index(True) + 1 == 50
    assert reported == [9, 19, 39]
    # Negative control: short paths are not announced.
    short = WalkTime(math.inf, 9, announced.append, reported.append)
    assert not any(short.is_over() for _ in range(9))
    assert (len(announced), len(reported)) == (1, 3)


def test_the_default_limit_is_a_share_of_the_fit() -> None:
    assert time_limit(None, 10.0) == 30.0
    assert time_limit(None, 36_000.0) == 3600.0
    assert time_limit(5.0, 36_000.0) == 5.0
    assert [duration(each) for each in (0.5, 12.3, 119, 3000, 20_000)] == [
        "0.5 seconds", "12 seconds", "119 seconds", "50 minutes", "5.6 hours"
    ]  # fmt: skip


def test_paths_end_at_the_limit_and_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(walk_time, "ANNOUNCED_FROM", 0.0)
    walks = OrthogonalWalkSnapshot(starts=2, max_time=2, **ENDLESS)
    with caplog.at_level("INFO", logger="lightning_leaf"):
        fit(tmp_path, walks)
    (snapshot,) = snapshots(tmp_path)
    assert {path.status for path in snapshot.paths} == {"out_of_time"}
    assert all(path.steps > 0 for path in snapshot.paths)
    (message,) = [text for text in caplog.messages if "would take up to about" in text]
    assert "OrthogonalWalkSnapshot(name='orthogonal_walk') at step 8: 2 paths of at most" in message
    assert "They end after 2 seconds, see max_time=" in message


def test_a_dev_run_takes_two_path_steps_and_writes_nothing(tmp_path: Path) -> None:
    snapshot = HorizontalPathSnapshot(pairs=2, noise_steps=250, save_files=True, on_error="raise")
    fit(tmp_path, snapshot, fast_dev_run=True)
    assert snapshot.last_snapshot is not None
    assert [path.steps for path in snapshot.last_snapshot.paths] == [2, 2]
    assert list(tmp_path.rglob("*")) == []
    # Negative control: other trainings take all steps.
    fit(tmp_path, HorizontalPathSnapshot(pairs=2, max_steps=6, on_error="raise"))
    assert [path.steps for path in snapshots(tmp_path)[0].paths] == [6, 6]


@pytest.mark.parametrize(
    ("logger", "save_files", "written"),
    [
        ("none", None, True),
        ("csv", None, True),
        ("tensorboard", None, False),
        ("tensorboard", True, True),
        ("none", False, False),
    ],
)
def test_files_are_written_if_no_logger_shows_pictures(
    tmp_path: Path, logger: str, save_files: bool | None, written: bool
) -> None:
    loggers: dict[str, Any] = {"none": False, "csv": CSVLogger(tmp_path), "tensorboard": True}
    snapshot = HorizontalPathSnapshot(pairs=1, max_steps=2, save_files=save_files, on_error="raise")
    trainer = fit(tmp_path, snapshot, max_steps=1, logger=loggers[logger])
    folder = Path(trainer.log_dir or "") / "leaf" / "horizontal_path-000000000001"
    assert folder.exists() is written
    assert len(snapshots(tmp_path)) == (logger == "tensorboard")


@pytest.fixture
def handler() -> Iterator[Any]:
    """The handler of SIGINT, which Lightning replaces when it ends a training."""
    before = signal.getsignal(signal.SIGINT)
    yield before
    signal.signal(signal.SIGINT, before)


PRESSED_AT: list[int] = []
"""Forward passes since the start. Attributes of a module are restored after a measurement."""


class Pressed(SmallCNN):
    """A module that presses Ctrl-C at some forward passes in evaluation mode after the training."""

    def __init__(self, *at: int) -> None:
        super().__init__()
        self._at = at
        PRESSED_AT.clear()

    def forward(self, x: Tensor) -> Tensor:
        if not self.training and self.trainer.state.stage == "train" and self.trainer.global_step:
            PRESSED_AT.append(len(PRESSED_AT))
            for _ in range(self._at.count(PRESSED_AT[-1])):
                os.kill(os.getpid(), signal.SIGINT)
        return super().forward(x)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.log("tested", float(batch_idx))


def test_ctrl_c_ends_the_walk_and_nothing_else(
    tmp_path: Path, handler: Any, caplog: pytest.LogCaptureFixture
) -> None:
    walk = HorizontalPathSnapshot(pairs=2, domain=(-9, 9), max_time=math.inf, **ENDLESS)
    trainer = make_trainer(tmp_path, [walk], max_steps=2, limit_val_batches=0)
    module = Pressed(30)
    data = DataLoader(validation_data(), 64)
    with caplog.at_level("INFO", logger="lightning_leaf"):
        trainer.fit(module, data)
    assert trainer.state.status == "finished"
    assert len(PRESSED_AT) < 40
    assert {path.status for path in snapshots(tmp_path)[0].paths} == {"out_of_time"}
    assert "ends early after Ctrl-C" in caplog.text
    assert signal.getsignal(signal.SIGINT) is handler
    trainer.test(module, data, verbose=False)
    assert "tested" in trainer.callback_metrics
    # Negative control: the second Ctrl-C ends the training, as without the callback.
    with pytest.raises(SystemExit):
        fit(tmp_path / "twice", walk, module=Pressed(30, 30), max_steps=2, validation=None)


class PressedInTraining(SmallCNN):
    """A module that presses Ctrl-C while the monitor measures in the middle of the training."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training and self.trainer.global_step == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return super().forward(x)


def test_ctrl_c_stops_the_training_also_while_the_monitor_measures(
    tmp_path: Path, handler: Any
) -> None:
    monitor = LocalDataMatrixMonitor(every_n_steps=4, on_error="raise")
    with pytest.raises(SystemExit):
        fit(tmp_path, monitor, module=PressedInTraining(), validation=None)
    assert monitor.history["step"] == [0]


def test_only_the_first_ctrl_c_is_caught(handler: Any) -> None:
    presses: list[str] = []
    with ctrl_c(lambda: presses.append("first")) as pressed:
        assert not pressed()
        signal.raise_signal(signal.SIGINT)
        assert pressed()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert presses == ["first"]
    assert signal.getsignal(signal.SIGINT) is handler
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with ctrl_c(lambda: presses.append("ignored")):
        signal.raise_signal(signal.SIGINT)
    assert presses == ["first"]


class Bar(Callback):
    """A progress bar of tqdm, by its name."""


class TQDMProgressBar(Bar):
    is_enabled = True


class RichProgressBar(TQDMProgressBar):
    """A bar that is not of tqdm."""


def test_a_bar_is_shown_beside_bars_of_tqdm_only() -> None:
    from types import SimpleNamespace

    def shown(bar: Any, is_global_zero: bool = True) -> bool:
        trainer = SimpleNamespace(progress_bar_callback=bar, is_global_zero=is_global_zero)
        return state.shows_progress(trainer)

    assert shown(TQDMProgressBar())
    assert not shown(None)
    assert not shown(Bar())
    assert not shown(TQDMProgressBar(), is_global_zero=False)
