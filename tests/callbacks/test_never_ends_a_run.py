"""Whatever happens to a measurement, the training goes on, or stops as the trainer has decided."""

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

from lightning_leaf import HorizontalPathSnapshot, LocalDataMatrixMonitor, OrthogonalWalkSnapshot
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
from tests.support.undisturbed.remains import Outcome, of_module, of_streams

pytestmark = ignore_lightning

SWITCHED_OFF = "is switched off for the rest of this fit; training continues"


def told(record: pytest.WarningsRecorder) -> list[str]:
    return [str(each.message) for each in record if SWITCHED_OFF in str(each.message)]


class Allocator:
    """Has memory for so many inputs at a time."""

    def __init__(self, inputs: int) -> None:
        self._inputs = inputs
        self.asked: list[int] = []

    def give(self, inputs: int) -> None:
        self.asked.append(inputs)
        if inputs > self._inputs:
            torch.empty(2**50, dtype=torch.uint8)  # torch's own error


class Scarce(SmallCNN):
    """Is short of memory when it is not trained."""

    def __init__(self, allocator: Allocator) -> None:
        super().__init__()
        self._allocator = allocator

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            self._allocator.give(len(x))
        return super().forward(x)


def test_where_memory_runs_out_smaller_chunks_do(tmp_path: Path) -> None:
    probe = digits()[0][:40]
    scarce = LocalDataMatrixMonitor(probe, every_n_steps=4, on_error="raise")
    ample = LocalDataMatrixMonitor(probe, every_n_steps=4)
    walks = HorizontalPathSnapshot([2], pairs=6, max_steps=4, on_error="raise")
    allocator = Allocator(3)
    for name, module, ours in (
        ("scarce", lambda: Scarce(allocator), [scarce, walks]),
        ("ample", SmallCNN, [ample]),
    ):
        seed_everything(0, verbose=False)
        fit(tmp_path / name, *ours, module=module(), validation=None)
    assert scarce.history["step"] == ample.history["step"]
    for name, values in ample.history.items():
        assert scarce.history[name] == pytest.approx(values, rel=1e-4)
    assert len(snapshots(tmp_path / "scarce")) == 1
    # Once for the monitor, and once for the walks of six paths; then both know.
    assert [size for size in allocator.asked if size > 3] == [32, 16, 8, 4, 6, 6, 6, 4]


def test_without_memory_for_one_input_the_cause_is_told_once(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    allocator = Allocator(0)
    monitor = LocalDataMatrixMonitor(every_n_steps=1)
    trainer = fit(tmp_path, monitor, module=Scarce(allocator), validation=None)
    assert trainer.global_step == 8
    (warning,) = told(recwarn)
    assert "DefaultCPUAllocator: can't allocate memory" in warning
    assert len(allocator.asked) == 6  # with chunks of 32, 16, …, 1
    assert allocator.asked[-1] == 1


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
def test_want_of_memory_is_known_by_what_is_said(error: Exception, expected: bool) -> None:
    assert memory.is_out_of_memory(error) is expected


class Infinite(SmallCNN):
    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        if batch_idx == 3:
            self.net[-1].bias.data.fill_(torch.inf)


def test_infinite_weights_are_logged_as_nan_and_the_training_goes_on(tmp_path: Path) -> None:
    monitor = LocalDataMatrixMonitor(every_n_steps=1, on_error="raise")
    walks = OrthogonalWalkSnapshot([5], starts=1, max_steps=3, on_error="raise")
    assert fit(tmp_path, monitor, walks, module=Infinite(), validation=None).global_step == 8
    assert np.isfinite(monitor.history["trace_mean"]).tolist() == [True] * 4 + [False] * 5
    assert snapshots(tmp_path)[0].paths[0].status == "non_finite"


class Unreadable(Dataset[Any]):
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
def test_a_data_set_that_cannot_be_read_is_named(
    tmp_path: Path, recwarn: pytest.WarningsRecorder, callback: Callable[[], Callback]
) -> None:
    assert fit(tmp_path, callback()).global_step == 8
    (warning,) = told(recwarn)
    assert "Cause: OSError: [Errno 5] Input/output error: 'image-" in warning
    assert set(scalars(tmp_path)["loss"]) == set(range(8))


def test_a_folder_that_cannot_be_written_to(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    (tmp_path / "lightning_logs" / "version_7").mkdir(parents=True)
    (tmp_path / "lightning_logs" / "version_7" / "leaf").write_text("a file in the folder's place")
    snapshot = HorizontalPathSnapshot([2, 4], pairs=1, max_steps=2, save_files=True)
    trainer = fit(tmp_path, snapshot, logger=CSVLogger(tmp_path, version=7))
    assert trainer.global_step == 8
    (warning,) = told(recwarn)
    assert "NotADirectoryError" in warning


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of its own, which fills up."""
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mounting, capture_output=True).returncode != 0:
        pytest.skip("no right to mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_the_last_of_a_disk_is_left_to_the_training(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    with small_disk(tmp_path / "disk", "5m"):
        root = tmp_path / "disk"
        snapshot = HorizontalPathSnapshot([2, 4, 6], pairs=1, max_steps=2)
        filling = Filling(root / "other", at_step=3, size=3_000_000)
        assert fit(root, snapshot, filling).global_step == 8
        (warning,) = told(recwarn)
        assert "at least 4 MB of free disk space" in warning
        # What was logged before and since is there.
        assert [each.step for each in snapshots(root)] == [2]
        assert set(scalars(root)["loss"]) == set(range(8))


def test_a_full_disk(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    folder = tmp_path / "lightning_logs" / "version_0" / "leaf" / "horizontal_path-000000000002"
    folder.mkdir(parents=True)
    (folder / "path-0.npz").symlink_to("/dev/full")
    snapshot = HorizontalPathSnapshot([2, 4], pairs=1, max_steps=2, save_files=True)
    trainer = fit(tmp_path, snapshot, logger=CSVLogger(tmp_path, version=0))
    assert trainer.global_step == 8
    (warning,) = told(recwarn)
    assert "[Errno 28] No space left on device" in warning


class Filling(Callback):
    """Others need the disk too."""

    def __init__(self, file: Path, at_step: int, size: int) -> None:
        self._file, self._at_step, self._size = file, at_step, size

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == self._at_step:
            self._file.write_bytes(bytes(self._size))


class StoppedAt(Callback):
    """Something happens before the fifth step: in a training of its own, or in a walk of ours."""

    def __init__(self, happen: Callable[[], None]) -> None:
        self._happen = happen

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == 4:
            self._happen()


class StoppedInWalk(SmallCNN):
    """The same, in the middle of a walk: random numbers drawn, everything in evaluation mode."""

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


def crash() -> None:
    raise SystemError("the interpreter itself")


def left_behind(
    root: Path, make: Callable[[], SmallCNN], callbacks: Sequence[Callback]
) -> tuple[Outcome, BaseException]:
    """How a training ended before its time, and what it left."""
    seed_everything(0, verbose=False)
    module = make()
    with pytest.raises(BaseException) as ended:  # noqa: PT011
        fit(root, *callbacks, module=module, validation=None)
    remains = of_module(module) | of_streams()
    del remains["attributes"]
    return remains | {"losses": scalars(root).get("loss")}, ended.value


@pytest.mark.parametrize("happen", [interrupt, terminate], ids=["Ctrl+C", "SIGTERM"])
def test_a_training_that_is_stopped_in_a_walk_ends_as_without_us(
    tmp_path: Path, happen: Callable[[], None]
) -> None:
    plain, plain_end = left_behind(tmp_path / "without", SmallCNN, [StoppedAt(happen)])
    walk = HorizontalPathSnapshot(
        4, pairs=2, domain=(-9, 9), step_size=1e-6, max_steps=10**6, on_error="raise"
    )
    watched, end = left_behind(tmp_path / "with", lambda: StoppedInWalk(happen), [walk])
    assert type(end) is type(plain_end)
    assert differences(plain, watched) == []


class Failing(SmallCNN):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if batch_idx == 5:
            raise RuntimeError("in the training itself")
        return super().training_step(batch, batch_idx)


def test_an_error_of_the_training_is_the_trainings_own(tmp_path: Path) -> None:
    ours = [
        LocalDataMatrixMonitor(every_n_steps=1),
        HorizontalPathSnapshot([1, 3], pairs=1, max_steps=2),
    ]
    plain, plain_end = left_behind(tmp_path / "without", Failing, [])
    watched, end = left_behind(tmp_path / "with", Failing, ours)
    assert (str(end), type(end)) == (str(plain_end), type(plain_end))
    assert differences(plain, watched) == []
    # What was logged before is readable, and the callbacks can be used again.
    assert list(scalars(tmp_path / "with")["leaf/trace_mean"]) == [0, 1, 2, 3, 4, 5]
    assert [each.step for each in snapshots(tmp_path / "with")] == [1, 3]
    fit(tmp_path / "again", *ours)
    assert [each.step for each in snapshots(tmp_path / "again")] == [1, 3]


def test_errors_come_through_where_that_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Input/output error"):
        fit(tmp_path, LocalDataMatrixMonitor(Unreadable(), on_error="raise"))


def test_a_state_of_another_version_is_no_error(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    """As after a resume from the checkpoint of another version."""

    def ours() -> list[Callback]:
        return [
            LocalDataMatrixMonitor(every_n_steps=4),
            HorizontalPathSnapshot(10, pairs=1),
            ModelCheckpoint(tmp_path, "saved", every_n_train_steps=8),
        ]

    fit(tmp_path / "first", *ours(), enable_checkpointing=True)
    content = torch.load(tmp_path / "saved.ckpt", weights_only=False)
    for name, state in content["callbacks"].items():
        if "Checkpoint" not in name:
            state.clear()
            state["of another version"] = 1
    torch.save(content, tmp_path / "saved.ckpt")
    resumed = fit(
        tmp_path / "again",
        *ours(),
        ckpt_path=tmp_path / "saved.ckpt",
        max_steps=12,
        enable_checkpointing=True,
    )
    assert resumed.global_step == 12
    assert list(scalars(tmp_path / "again")["leaf/trace_mean"]) == [8, 12]
    assert [each.step for each in snapshots(tmp_path / "again")] == [10]
    assert told(recwarn) == []
