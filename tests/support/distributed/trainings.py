"""Trainings of two processes. Each function runs in both processes and returns its results."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning as L
import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader, Dataset

from lightning_leaf import (
    HorizontalPathSnapshot,
    LocalDataMatrix,
    LocalDataMatrixMonitor,
    OrthogonalWalkSnapshot,
    PredictionPathSnapshot,
    Trigger,
    horizontal_path,
    orthogonal_walk,
    prediction_path,
)
from lightning_leaf.callbacks.base import LeafCallback
from tests.support.callbacks.training import (
    SmallCNN,
    digits,
    make_trainer,
    train_data,
    validation_data,
)
from tests.support.undisturbed.processes import Sharded, fsdp2

QUICK: dict[str, Any] = {"max_steps": 6, "on_error": "raise"}


def train(
    root: Path,
    *callbacks: Callback,
    module: L.LightningModule | None = None,
    ckpt_path: Path | None = None,
    **options: Any,
) -> L.Trainer:
    """Train from seed 0, each process on its own half of the data."""
    L.seed_everything(0, verbose=False)
    trainer = make_trainer(root, callbacks, **({"strategy": "ddp", "devices": 2} | options))
    loader = DataLoader(train_data(), batch_size=32, shuffle=True)
    validation = DataLoader(validation_data(), batch_size=200)
    trainer.fit(module or SmallCNN(), loader, validation, ckpt_path=ckpt_path)
    return trainer


class AsOneProcess(Callback):
    """A callback that measures all inputs in this process, with its own weights and buffers."""

    def __init__(self, inputs: Tensor) -> None:
        self._inputs = inputs
        self.traces: dict[int, float] = {}
        self.running_means: dict[int, list[float]] = {}

    def on_train_batch_start(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        step = trainer.global_step
        trace = LocalDataMatrix.at(pl_module, self._inputs).trace()
        self.traces[step] = trace.mean().item()
        self.running_means[step] = pl_module.net[1].running_mean.tolist()


def measured(root: Path) -> dict[str, Any]:
    """Return the history of a monitor, and the same measurements of this process alone."""
    inputs = digits()[0][-9:]
    monitor = LocalDataMatrixMonitor(inputs, every_n_steps=3, on_error="raise")
    alone = AsOneProcess(inputs)
    train(root, alone, monitor)
    return {
        "history": monitor.history,
        "as one process": alone.traces,
        "running means": alone.running_means,
    }


class _Counter:
    """A counter that a measurement does not restore, because threads may share it."""

    def __init__(self) -> None:
        self.count = 0
        self.lock = threading.Lock()


Counter = _Counter()


class Counted(SmallCNN):
    """A module that counts the inputs of all forward passes in evaluation mode."""

    def forward(self, x: Tensor) -> Tensor:
        Counter.count += 0 if self.training else len(x)
        return super().forward(x)


def with_paths(root: Path) -> dict[str, Any]:
    """Return snapshots of three paths of each kind, and the same paths of one process."""
    images, _ = digits()
    ends = images[100:103], images[200:203]
    paths = HorizontalPathSnapshot(pairs=ends, domain=(-1, 2), noise_steps=4, **QUICK)
    walks = OrthogonalWalkSnapshot(starts=images[:3], domain=(-1, 2), **QUICK)
    predictions = PredictionPathSnapshot(examples=images[:3], domain=(-1, 2), **QUICK)
    Counter.count = 0
    module = Counted()
    train(root, paths, walks, predictions, module=module, limit_val_batches=0)
    inputs = Counter.count
    common: dict[str, Any] = {"domain": (-1, 2), "progress": False}
    noisy = orthogonal_walk(module, ends[0], max_steps=4, **common).points[:, -1]
    return {
        "inputs": inputs,
        "snapshots": [callback.last_snapshot for callback in (paths, walks, predictions)],
        "expected": [
            horizontal_path(module, noisy, ends[1], max_steps=6, **common),
            orthogonal_walk(module, images[:3], max_steps=6, **common),
            prediction_path(
                module, images[:3], runners_up(module, images[:3]), max_steps=6, **common
            ),
        ],
    }


def runners_up(module: SmallCNN, x: Tensor) -> Tensor:
    """Return the second most probable class of each input."""
    with torch.no_grad():
        return module.eval()(x).topk(2).indices[:, 1]


class RecordedSnapshots(Callback):
    """A callback that records the steps and reasons of the snapshots of another callback."""

    def __init__(self, snapshot: HorizontalPathSnapshot) -> None:
        self.taken: list[tuple[int, str]] = []
        take = snapshot._take

        def record(trainer: Any, module: Any, moment: Any, reason: str) -> None:
            self.taken.append((moment.step, reason))
            take(trainer, module, moment, reason)

        snapshot._take = record  # type: ignore[method-assign]


class RisingAndFalling(SmallCNN):
    """A module whose trace rises and returns, as in a long training."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return super().forward(x)
        step = self.trainer.fit_loop.epoch_loop._batches_that_stepped
        return super().forward(x) * (0.1 * (1 + step) if step <= 4 else 0.001)


def snapshots_taken(root: Path, saved: Path, resumed: bool) -> list[tuple[int, str]]:
    """Return the steps and reasons of all snapshots."""
    monitor = LocalDataMatrixMonitor(every_n_steps=1, probe=4, on_error="raise")
    snapshot = HorizontalPathSnapshot(["trace_return", "checkpoint"], pairs=2, **QUICK)
    saver = ModelCheckpoint(saved, every_n_train_steps=3, save_top_k=-1)
    recorded = RecordedSnapshots(snapshot)
    train(
        root,
        monitor,
        snapshot,
        saver,
        recorded,
        module=RisingAndFalling(),
        ckpt_path=next(saved.glob("*step=3.ckpt")) if resumed else None,
        enable_checkpointing=True,
        max_steps=12,
    )
    return recorded.taken


class OnlyAt(Trigger):
    """A trigger that fires on one rank only, at one step."""

    reason = "on one rank"

    def __init__(self, rank: int, step: int) -> None:
        self._rank, self._step = rank, step

    def fires(self, moment: Any) -> bool:
        return moment.step == self._step and dist.get_rank() == self._rank


def disagreeing(root: Path) -> list[tuple[int, str]]:
    """Return the snapshots taken with triggers that differ between the ranks."""
    snapshot = HorizontalPathSnapshot([OnlyAt(0, 2), OnlyAt(1, 4)], pairs=1, **QUICK)
    recorded = RecordedSnapshots(snapshot)
    train(root, snapshot, recorded)
    return recorded.taken


class Unreadable(Dataset[Any]):
    """A data set that cannot be read on rank one."""

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> Any:
        if dist.get_rank() == 1:
            raise OSError("the disk is gone")
        return train_data()[index]


class Failing(SmallCNN):
    """A module that fails on rank one in evaluation mode, from step 3 on."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training and self.trainer.global_step >= 3 and dist.get_rank() == 1:
            raise RuntimeError("only in training mode")
        return super().forward(x)


class Exiting(SmallCNN):
    """A module that exits on rank one in evaluation mode."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training and dist.get_rank() == 1:
            sys.exit(3)
        return super().forward(x)


class FullDisk(CSVLogger):
    """A logger that cannot write the trace because the disk is full."""

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        if any("trace" in name for name in metrics) and dist.get_rank() == 0 and step:
            raise OSError("no space left on device")
        super().log_metrics(metrics, step)


FAILURES: dict[str, Callable[[Path], tuple[Sequence[LeafCallback], dict[str, Any]]]] = {
    "data": lambda root: ([LocalDataMatrixMonitor(Unreadable(), 1)], {}),
    "forward": lambda root: (
        [
            LocalDataMatrixMonitor(every_n_steps=1),
            HorizontalPathSnapshot([2, 5], pairs=2, max_steps=2),
        ],
        {"module": Failing(), "limit_val_batches": 0},
    ),
    "exit": lambda root: (
        [LocalDataMatrixMonitor(every_n_steps=1)],
        {"module": Exiting(), "limit_val_batches": 0},
    ),
    "logger": lambda root: ([LocalDataMatrixMonitor(every_n_steps=1)], {"logger": FullDisk(root)}),
    "files": lambda root: (
        [HorizontalPathSnapshot([2, 5], pairs=2, max_steps=2, save_files=True)],
        {"logger": CSVLogger(root, version=0)},
    ),
}


def failed(root: Path, failure: str) -> dict[str, Any]:
    """Return the number of steps, whether each callback is switched off, and the warnings."""
    callbacks, options = FAILURES[failure](root)
    if failure == "files":
        root.mkdir(exist_ok=True, parents=True)
        blocked = root / "lightning_logs" / "version_0" / "leaf"
        blocked.parent.mkdir(exist_ok=True, parents=True)
        blocked.write_text("a file instead of a folder")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer = train(root, *callbacks, **options)
        messages = [str(warning.message) for warning in caught]
    return {
        "steps": trainer.global_step,
        "off": [callback._switched_off for callback in callbacks],
        "warnings": [message for message in messages if "has switched itself off" in message],
    }


class OutOfMemory(SmallCNN):
    """A module with memory for two inputs at a time on rank one, in evaluation mode."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training and len(x) > 2 and dist.get_rank() == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return super().forward(x)


def out_of_memory(root: Path) -> dict[str, Any]:
    """Return the chunk size and the history, and the same measurements of rank zero alone."""
    inputs = digits()[0][-9:]
    monitor, alone = LocalDataMatrixMonitor(inputs, 4, on_error="raise"), AsOneProcess(inputs)
    others = [alone] if os.environ["RANK"] == "0" else []
    train(root, *others, monitor, module=OutOfMemory(), limit_val_batches=0)
    return {
        "chunk": monitor._chunks.size,
        "history": monitor.history["trace_mean"],
        "as one process": alone.traces,
    }


class Terminated(SmallCNN):
    """A module that sends SIGTERM to its process in the middle of a path, like a cluster."""

    def forward(self, x: Tensor) -> Tensor:
        Counter.count += not self.training
        if Counter.count == 60:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().forward(x)


def terminated(root: Path) -> dict[str, Any]:
    """Return how a training ends if its processes receive SIGTERM."""
    snapshot = HorizontalPathSnapshot(
        2, pairs=2, domain=(-9, 9), step_size=1e-6, max_steps=10**6, on_error="raise"
    )
    Counter.count = 0
    module = Terminated()
    ended = False
    with suppress(SIGTERMException):
        train(root, snapshot, module=module, limit_val_batches=0)
        ended = True
    return {"ended normally": ended, "forward passes": Counter.count, "training": module.training}


class PressesCtrlC(SmallCNN):
    """A module in whose process Ctrl-C is pressed on rank zero, in the middle of a path."""

    def forward(self, x: Tensor) -> Tensor:
        Counter.count += not self.training
        if Counter.count == 30 and dist.get_rank() == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return super().forward(x)


def limited(root: Path, sharded: bool) -> dict[str, Any]:
    """Return the paths of a training with a time limit; rank zero is interrupted before."""
    snapshot = HorizontalPathSnapshot(
        pairs=3,
        domain=(-9, 9),
        step_size=1e-6,
        max_steps=10**6,
        max_time=1 if sharded else 4,  # enough for 30 steps on a busy machine
        on_error="raise",
    )
    Counter.count = 0
    options = {"strategy": fsdp2(root), "enable_checkpointing": False} if sharded else {}
    module = Sharded() if sharded else PressesCtrlC()
    trainer = train(root, snapshot, module=module, max_steps=2, limit_val_batches=0, **options)
    taken = snapshot.last_snapshot
    return {
        "state": trainer.state.status,
        "statuses": [] if taken is None else [path.status for path in taken.paths],
        "steps": [] if taken is None else [path.steps for path in taken.paths],
    }


def sharded(root: Path) -> dict[str, Any]:
    """Return measurements under FSDP2, and those of one process with the gathered weights."""
    images, _ = digits()
    ends = images[100:103], images[200:203]
    monitor = LocalDataMatrixMonitor(images[-9:], every_n_steps=3, on_error="raise")
    paths = HorizontalPathSnapshot(pairs=ends, **QUICK)
    predictions = PredictionPathSnapshot(examples=ends[0], **QUICK)
    trainer = train(
        root,
        monitor,
        paths,
        predictions,
        module=Sharded(),
        strategy=fsdp2(root),
        enable_checkpointing=False,
    )
    whole = SmallCNN()
    whole.net.load_state_dict(
        {
            name: value.full_tensor() if isinstance(value, DTensor) else value
            for name, value in trainer.lightning_module.net.state_dict().items()
        }
    )
    return {
        "trace": monitor.history["trace_mean"],
        "last trace": LocalDataMatrix.at(whole, images[-9:]).trace().mean().item(),
        "snapshots": [paths.last_snapshot, predictions.last_snapshot],
        "expected": [
            horizontal_path(whole, *ends, max_steps=6, progress=False),
            prediction_path(
                whole, ends[0], runners_up(whole, ends[0]), max_steps=6, progress=False
            ),
        ],
    }


class Homeless(TensorBoardLogger):
    """A logger whose folder rank zero cannot read."""

    @property
    def log_dir(self) -> str:
        if os.environ["RANK"] == "0":
            raise OSError("stale file handle")
        return str(super().log_dir)

    def log_graph(self, *_: Any, **__: Any) -> None:
        """Write nothing."""

    log_metrics = log_hyperparams = save = finalize = log_graph

    @property
    def experiment(self) -> Any:
        """Nothing, as on other ranks."""
        return None


def sessions(root: Path) -> dict[str, Any]:
    """Return the session of a training, and the steps that were measured."""
    loggers = [CSVLogger(root), Homeless(root, "none")]
    monitor = LocalDataMatrixMonitor(8, 4, on_error="raise")
    seen = Session([3], pairs=1, max_steps=1, on_error="raise")
    train(root, monitor, seen, logger=loggers, max_steps=6)
    return {"session": seen.session, "measured": monitor.history["step"]}


class Session(HorizontalPathSnapshot):
    """A snapshot callback that notes the session of the fit."""

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.session = self.fit.session(trainer)
        super().on_train_end(trainer, pl_module)
