"""The callbacks never stop a training: after an error in a callback, training continues."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import seed_everything
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.utils.data import Dataset

from lightning_leaf import (
    HorizontalPathSnapshot,
    LeafError,
    LocalDataMatrixMonitor,
    OrthogonalWalkSnapshot,
)
from lightning_leaf.model import memory
from tests.support.callbacks.training import (
    SmallCNN,
    digits,
    fit,
    ignore_lightning,
    scalars,
    snapshots,
)
from tests.support.undisturbed.contract import differences
from tests.support.undisturbed.final_state import Outcome, of_module, of_streams

pytestmark = ignore_lightning

SWITCHED_OFF = "has switched itself off for the rest of this fit; training continues"


def warnings_of(record: pytest.WarningsRecorder) -> list[str]:
    return [str(each.message) for each in record if SWITCHED_OFF in str(each.message)]


REQUESTS: list[int] = []
"""The number of inputs of each forward pass. Attributes are restored after a measurement."""


class Allocator:
    """An allocator with memory for a limited number of inputs at a time."""

    def __init__(self, inputs: int) -> None:
        self._inputs = inputs
        REQUESTS.clear()

    def allocate(self, inputs: int) -> None:
        REQUESTS.append(inputs)
        if inputs > self._inputs:
            torch.empty(2**50, dtype=torch.uint8)  # torch's own error


class OutOfMemory(SmallCNN):
    """A module that runs out of memory in evaluation mode."""

    def __init__(self, allocator: Allocator) -> None:
        super().__init__()
        self._allocator = allocator

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            self._allocator.allocate(len(x))
        return super().forward(x)


def test_chunks_get_smaller_if_memory_runs_out(tmp_path: Path) -> None:
    probe = digits()[0][:40]
    limited = LocalDataMatrixMonitor(probe, every_n_steps=4, on_error="raise")
    unlimited = LocalDataMatrixMonitor(probe, every_n_steps=4)
    paths = HorizontalPathSnapshot([2], pairs=6, max_steps=4, on_error="raise")
    allocator = Allocator(3)
    for name, module, callbacks in (
        ("limited", lambda: OutOfMemory(allocator), [limited, paths]),
        ("unlimited", SmallCNN, [unlimited]),
    ):
        seed_everything(0, verbose=False)
        fit(tmp_path / name, *callbacks, module=module(), validation=None)
    assert limited.history["step"] == unlimited.history["step"]
    for name, values in unlimited.history.items():
        assert limited.history[name] == pytest.approx(values, rel=1e-4)
    assert len(snapshots(tmp_path / "limited")) == 1
    # Each callback reduces its chunk size once: the monitor from 32, the snapshot from six paths.
    assert [size for size in REQUESTS if size > 3] == [32, 16, 8, 4, 6, 6, 6, 4]


def test_one_warning_names_the_cause_if_memory_is_too_small_for_one_input(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    allocator = Allocator(0)
    monitor = LocalDataMatrixMonitor(every_n_steps=1)
    trainer = fit(tmp_path, monitor, module=OutOfMemory(allocator), validation=None)
    assert trainer.global_step == 8
    (warning,) = warnings_of(recwarn)
    assert "DefaultCPUAllocator: can't allocate memory" in warning
    assert len(REQUESTS) == 6  # with chunks of 32, 16, …, 1
    assert REQUESTS[-1] == 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1.00 GB)"), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (RuntimeError(), False),
        (OSError(28, "No space left on device"), False),
    ],
)
def test_out_of_memory_errors_are_recognised_by_their_message(
    error: Exception, expected: bool
) -> None:
    assert memory.is_out_of_memory(error) is expected


class Infinite(SmallCNN):
    """A module whose last bias becomes infinite at step 3."""

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        if batch_idx == 3:
            self.net[-1].bias.data.fill_(torch.inf)


def test_infinite_weights_are_logged_as_nan_and_training_continues(tmp_path: Path) -> None:
    monitor = LocalDataMatrixMonitor(every_n_steps=1, on_error="raise")
    walks = OrthogonalWalkSnapshot([5], starts=1, max_steps=3, on_error="raise")
    assert fit(tmp_path, monitor, walks, module=Infinite(), validation=None).global_step == 8
    assert np.isfinite(monitor.history["trace_mean"]).tolist() == [True] * 4 + [False] * 5
    assert snapshots(tmp_path)[0].paths[0].status == "non_finite"


class Unreadable(Dataset[Any]):
    """A data set whose items cannot be read."""

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> Any:
        raise OSError(5, "Input/output error", f"image-{index}.png")


@pytest.mark.parametrize(
    "callback",
    [
        lambda: LocalDataMatrixMonitor(Unreadable(), every_n_steps=2),
        lambda: HorizontalPathSnapshot(2, Unreadable()),
        lambda: OrthogonalWalkSnapshot(2, Unreadable()),
    ],
    ids=["monitor", "paths", "walks"],
)
def test_the_warning_names_the_item_of_a_data_set_that_cannot_be_read(
    tmp_path: Path, recwarn: pytest.WarningsRecorder, callback: Callable[[], Callback]
) -> None:
    assert fit(tmp_path, callback()).global_step == 8
    (warning,) = warnings_of(recwarn)
    assert "raised OSError: [Errno 5] Input/output error: 'image-" in warning
    assert set(scalars(tmp_path)["loss"]) == set(range(8))


def test_training_continues_if_the_log_folder_cannot_be_written(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    (tmp_path / "lightning_logs" / "version_7").mkdir(parents=True)
    (tmp_path / "lightning_logs" / "version_7" / "leaf").write_text("a file instead of a folder")
    snapshot = HorizontalPathSnapshot([2, 4], pairs=1, max_steps=2, save_files=True)
    trainer = fit(tmp_path, snapshot, logger=CSVLogger(tmp_path, version=7))
    assert trainer.global_step == 8
    (warning,) = warnings_of(recwarn)
    assert "NotADirectoryError" in warning


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """Mount a separate file system of this size."""
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mounting, capture_output=True).returncode != 0:
        pytest.skip("no permission to mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_no_snapshot_is_written_if_the_disk_is_nearly_full(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    with small_disk(tmp_path / "disk", "5m"):
        root = tmp_path / "disk"
        snapshot = HorizontalPathSnapshot([2, 4, 6], pairs=1, max_steps=2)
        filling = Filling(root / "other", at_step=3, size=3_000_000)
        assert fit(root, snapshot, filling).global_step == 8
        (warning,) = warnings_of(recwarn)
        assert "at least 4 MB of free disk space" in warning
        # All else that was logged before and after is there.
        assert [each.step for each in snapshots(root)] == [2]
        assert set(scalars(root)["loss"]) == set(range(8))


def test_training_continues_if_the_disk_is_full(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    folder = tmp_path / "lightning_logs" / "version_0" / "leaf" / "horizontal_path-000000000002"
    folder.mkdir(parents=True)
    (folder / "path-0.npz").symlink_to("/dev/full")
    snapshot = HorizontalPathSnapshot([2, 4], pairs=1, max_steps=2, save_files=True)
    trainer = fit(tmp_path, snapshot, logger=CSVLogger(tmp_path, version=0))
    assert trainer.global_step == 8
    (warning,) = warnings_of(recwarn)
    assert "[Errno 28] No space left on device" in warning


class Filling(Callback):
    """A callback that fills the disk at one step."""

    def __init__(self, file: Path, at_step: int, size: int) -> None:
        self._file, self._at_step, self._size = file, at_step, size

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == self._at_step:
            self._file.write_bytes(bytes(self._size))


class CalledAtStepFour(Callback):
    """A callback that calls a function before step 4, outside of any measurement."""

    def __init__(self, happen: Callable[[], None]) -> None:
        self._happen = happen

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == 4:
            self._happen()


class CalledInPath(SmallCNN):
    """A module that calls the function in the middle of a path, after drawing random numbers."""

    def __init__(self, happen: Callable[[], None]) -> None:
        super().__init__()
        self._happen = happen
        self._calls = 0

    def forward(self, x: Tensor) -> Tensor:
        if not self.training and self.trainer.global_step == 4:
            torch.rand(3), random.random(), np.random.rand()  # noqa: NPY002
            self._calls += 1
            if self._calls == 20:
                self._happen()
        return super().forward(x)


def interrupt() -> None:
    raise KeyboardInterrupt


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def interrupted_training(
    root: Path, make: Callable[[], SmallCNN], callbacks: Sequence[Callback]
) -> tuple[Outcome, BaseException]:
    """Return the state after a training that an exception ended, and the exception."""
    seed_everything(0, verbose=False)
    module = make()
    with pytest.raises(BaseException) as ended:  # noqa: PT011
        fit(root, *callbacks, module=module, validation=None)
    state = of_module(module) | of_streams()
    del state["attributes"]
    return state | {"losses": scalars(root).get("loss")}, ended.value


@pytest.mark.parametrize("happen", [interrupt, terminate], ids=["Ctrl+C", "SIGTERM"])
def test_a_run_stopped_during_a_path_ends_as_without_the_callbacks(
    tmp_path: Path, happen: Callable[[], None]
) -> None:
    plain, plain_end = interrupted_training(
        tmp_path / "without", SmallCNN, [CalledAtStepFour(happen)]
    )
    walk = HorizontalPathSnapshot(
        4, pairs=2, domain=(-9, 9), step_size=1e-6, max_steps=10**6, on_error="raise"
    )
    watched, end = interrupted_training(tmp_path / "with", lambda: CalledInPath(happen), [walk])
    assert type(end) is type(plain_end)
    assert differences(plain, watched) == []


class Failing(SmallCNN):
    """A module whose training step fails at step 5."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if batch_idx == 5:
            raise RuntimeError("in the training step")
        return super().training_step(batch, batch_idx)


def test_errors_of_the_training_step_are_raised_unchanged(tmp_path: Path) -> None:
    callbacks = [
        LocalDataMatrixMonitor(every_n_steps=1),
        HorizontalPathSnapshot([1, 3], pairs=1, max_steps=2),
    ]
    plain, plain_end = interrupted_training(tmp_path / "without", Failing, [])
    watched, end = interrupted_training(tmp_path / "with", Failing, callbacks)
    assert (str(end), type(end)) == (str(plain_end), type(plain_end))
    assert differences(plain, watched) == []
    # The logs up to the error can be read, and the callbacks can be used again.
    assert list(scalars(tmp_path / "with")["leaf/trace_mean"]) == [0, 1, 2, 3, 4, 5]
    assert [each.step for each in snapshots(tmp_path / "with")] == [1, 3]
    fit(tmp_path / "again", *callbacks)
    assert [each.step for each in snapshots(tmp_path / "again")] == [1, 3]


class AddsMonitor(Callback):
    """A callback that adds a monitor after the setup of all callbacks."""

    def __init__(self, monitor: LocalDataMatrixMonitor) -> None:
        self._monitor = monitor

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        trainer.callbacks.append(self._monitor)


def test_a_callback_that_was_added_after_setup_is_switched_off(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    trainer = fit(tmp_path, AddsMonitor(LocalDataMatrixMonitor(every_n_steps=1)))
    assert trainer.global_step == 8
    (warning,) = warnings_of(recwarn)
    assert "added during the fit. Pass it to Trainer(callbacks=[...])." in warning
    with pytest.raises(LeafError, match="added during the fit"):
        fit(tmp_path, AddsMonitor(LocalDataMatrixMonitor(on_error="raise")))


def test_on_error_raise_raises_the_error(tmp_path: Path) -> None:
    with pytest.raises(LeafError, match=r"OSError: \[Errno 5\] Input/output error"):
        fit(tmp_path, LocalDataMatrixMonitor(Unreadable(), on_error="raise"))


def test_callback_states_of_another_version_can_be_loaded(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    """The keys of the states are unknown, as in a checkpoint of another version."""

    def callbacks() -> list[Callback]:
        return [
            LocalDataMatrixMonitor(every_n_steps=4),
            HorizontalPathSnapshot(10, pairs=1),
            ModelCheckpoint(tmp_path, "saved", every_n_train_steps=8),
        ]

    fit(tmp_path / "first", *callbacks(), enable_checkpointing=True)
    content = torch.load(tmp_path / "saved.ckpt", weights_only=False)
    for name, state in content["callbacks"].items():
        if "Checkpoint" not in name:
            state.clear()
            state["an unknown key"] = 1
    torch.save(content, tmp_path / "saved.ckpt")
    resumed = fit(
        tmp_path / "again",
        *callbacks(),
        ckpt_path=tmp_path / "saved.ckpt",
        max_steps=12,
        enable_checkpointing=True,
    )
    assert resumed.global_step == 12
    assert list(scalars(tmp_path / "again")["leaf/trace_mean"]) == [8, 12]
    assert [each.step for each in snapshots(tmp_path / "again")] == [10]
    assert warnings_of(recwarn) == []
