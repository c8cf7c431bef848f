"""Overhead of the callbacks at several intervals, beside the same training without them."""

from __future__ import annotations

import logging
import math
import os
import statistics
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler, TensorDataset
from torchvision import models
from torchvision.io import ImageReadMode, decode_image

from lightning_leaf import HorizontalPathSnapshot, LocalDataMatrixMonitor, OrthogonalWalkSnapshot
from lightning_leaf.callbacks.base import LeafCallback
from lightning_leaf.callbacks.triggers import Moment, Trigger
from lightning_leaf.demo.classifier import SmallCNN
from tests.benchmarks.machine import describe
from tests.benchmarks.models import digits
from tests.benchmarks.timing import devices, finish, readable, table

INTERVALS = (1, 4, 16, 64, 256)
IMAGES = 1024
WARM_UP = 20
"""Steps before the first block; in them the monitor chooses its interval."""
IDLE_CALLS = 1000
PATH_STEPS = 10
NEVER = 10**9


@dataclass(frozen=True)
class Case:
    """A training.

    Attributes:
        name: What is trained.
        build: Makes the module.
        data: Returns images and labels, and their description.
        batch: Examples per step.
        probe: Inputs of a measurement. A quarter as many paths are computed.
        longest: Longest interval that is run; the overhead of longer ones is computed.
        shortest: Fewest steps of a block.
        rounds: Repeats of each block.
    """

    name: str
    build: Callable[[], L.LightningModule]
    data: Callable[[], tuple[Tensor, Tensor, str]]
    batch: int
    probe: int
    longest: int
    shortest: int
    rounds: int

    def steps(self, interval: int) -> int:
        """Return the number of steps of a block, a multiple of the interval."""
        return interval * math.ceil(self.shortest / interval)


class ResNet18(SmallCNN):
    """ResNet-18 for images of 32×32 pixels: its first layers do not scale them down."""

    def __init__(self) -> None:
        super().__init__((3, 32, 32))
        self.network = models.resnet18(num_classes=10)
        self.network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.network.maxpool = nn.Identity()


def paper_cnn() -> L.LightningModule:
    """Return the paper's CNN, with SGD."""
    return SmallCNN((1, 28, 28))


def mnist() -> tuple[Tensor, Tensor, str]:
    """Return digits of MNIST, or random images of their shape; the labels are random."""
    images, description = digits(IMAGES)
    return images, torch.arange(IMAGES) % 10, description


def cifar10() -> tuple[Tensor, Tensor, str]:
    """Return images of CIFAR-10 and their labels, or random ones of their shape."""
    labels = torch.arange(IMAGES) % 10
    archive = Path(os.environ.get("LEAF_DATA", "")) / "cifar10-jpeg.zip"
    if not archive.exists():
        generator = torch.Generator().manual_seed(0)
        return torch.randn(IMAGES, 3, 32, 32, generator=generator), labels, "random images"
    with zipfile.ZipFile(archive) as files:
        names = sorted(name for name in files.namelist() if name.startswith("train/"))
        classes = sorted({name.split("/")[1] for name in names})
        by_class = [[name for name in names if f"/{each}/" in name] for each in classes]
        images = [
            decode_image(
                torch.frombuffer(
                    bytearray(files.read(by_class[i % 10][i // 10])), dtype=torch.uint8
                ),
                ImageReadMode.RGB,
            )
            for i in range(IMAGES)
        ]
    return torch.stack(images) / 127.5 - 1, labels, "CIFAR-10"


def cases(device: torch.device) -> list[Case]:
    """Return the trainings; on the CPU they are shorter."""
    if device.type == "cpu":
        return [
            Case("the paper's CNN", paper_cnn, mnist, 60, 32, longest=16, shortest=8, rounds=2),
            Case("ResNet-18", ResNet18, cifar10, 8, 4, longest=4, shortest=2, rounds=1),
        ]
    return [
        Case("the paper's CNN", paper_cnn, mnist, 60, 32, longest=256, shortest=8, rounds=2),
        Case("ResNet-18", ResNet18, cifar10, 128, 32, longest=64, shortest=8, rounds=1),
    ]


class AtMeasurements(Trigger):
    """A trigger that fires at each measurement of the monitor."""

    reason = "measurement"
    needs_history = True
    same_on_all_ranks = True

    def fires(self, moment: Moment) -> bool:
        return moment.history is not None and moment.history["step"][-1:] == [moment.step]


def trace_only(probe: int) -> list[LeafCallback]:
    return [LocalDataMatrixMonitor(probe, ranks=(), on_error="raise")]


def default(probe: int) -> list[LeafCallback]:
    return [LocalDataMatrixMonitor(probe, on_error="raise")]


def everything(probe: int) -> list[LeafCallback]:
    ranks = ("entropy", "stable", "participation", "threshold")
    options: dict[str, Any] = {"max_steps": PATH_STEPS, "on_error": "raise"}
    return [
        LocalDataMatrixMonitor(probe, ranks=ranks, on_error="raise"),
        HorizontalPathSnapshot(AtMeasurements(), pairs=probe // 4, **options),
        OrthogonalWalkSnapshot(AtMeasurements(), starts=probe // 4, **options),
    ]


CONFIGURATIONS: dict[str, Callable[[int], list[LeafCallback]]] = {
    "trace only": trace_only,
    "default": default,
    "everything": everything,
}


@dataclass
class Blocks(Callback):
    """Divides one training into blocks of steps with and without the LEAF callbacks, in turn.

    Each block with the callbacks follows a block of as many steps without them, so that a
    temporary slowdown affects both.

    Attributes:
        leaf: The LEAF callbacks, the monitor first.
        case: The training.
        chosen: The interval that the monitor has chosen.
        seconds: Durations of the blocks of each interval, without and with the callbacks.
        idle: Duration of the hook of the monitor at a step without a measurement, in seconds.
    """

    leaf: Sequence[Any]
    case: Case
    chosen: int = 0
    seconds: dict[int, list[tuple[float, float]]] = field(default_factory=dict)
    idle: float = math.nan
    plan: list[tuple[int, bool, int]] = field(default_factory=list)
    next: int = WARM_UP
    started: float = math.nan
    without: float = math.nan

    def on_train_batch_start(
        self, trainer: L.Trainer, module: L.LightningModule, batch: Any, _: int
    ) -> None:
        if trainer.global_step < self.next:
            return
        finish(module.device)
        now = time.perf_counter()
        if trainer.global_step == WARM_UP:
            self.chosen = self.leaf[0].interval
            self._make_plan()
        else:
            self._record(now - self.started)
        if not self.plan:
            self._time_idle_calls(trainer, module, batch)
            trainer.should_stop = True
            self.next = NEVER
            return
        interval, measures, steps = self.plan[0]
        self._switch(interval if measures else None)
        self.next += steps
        self.started = time.perf_counter()

    def _make_plan(self) -> None:
        run = sorted({*INTERVALS, self.chosen})
        for _ in range(self.case.rounds):
            for interval in run:
                if interval <= self.case.longest:
                    steps = self.case.steps(interval)
                    self.plan += [(interval, False, steps), (interval, True, steps)]

    def _record(self, seconds: float) -> None:
        interval, measures, _ = self.plan.pop(0)
        if measures:
            self.seconds.setdefault(interval, []).append((self.without, seconds))
        else:
            self.without = seconds

    def _switch(self, interval: int | None) -> None:
        """Measure at this interval; None: as if the callbacks were not there."""
        self.leaf[0]._interval.steps = interval or NEVER
        for callback in self.leaf:
            if interval is None:
                callback.on_train_batch_start = _nothing
            else:
                vars(callback).pop("on_train_batch_start", None)

    def _time_idle_calls(self, trainer: Any, module: Any, batch: Any) -> None:
        self._switch(NEVER)
        started = time.perf_counter()
        for _ in range(IDLE_CALLS):
            self.leaf[0].on_train_batch_start(trainer, module, batch, 0)
        self.idle = (time.perf_counter() - started) / IDLE_CALLS

    def overhead(self, interval: int) -> float:
        """Return the median overhead of an interval that was run, relative to no callbacks."""
        return statistics.median(
            measured / without - 1 for without, measured in self.seconds[interval]
        )

    def cost(self) -> float:
        """Return the time of a measurement in training steps, from the shortest interval."""
        return self.overhead(INTERVALS[0])

    def step(self) -> float:
        """Return the median duration of a step without the callbacks, in seconds."""
        return statistics.median(
            without / self.case.steps(interval)
            for interval, blocks in self.seconds.items()
            for without, _ in blocks
        )

    def cell(self, interval: int) -> str:
        """Format the overhead of an interval; computed ones are marked."""
        if interval in self.seconds:
            return f"{self.overhead(interval):+.1%}"
        return f"≈ {self.cost() / interval:+.1%}"


def _nothing(*_: Any) -> None:
    """Replace a hook."""


def run() -> None:
    """Train each model once per configuration, and print the overhead at each interval."""
    warnings.simplefilter("ignore")
    logging.getLogger("lightning_leaf").setLevel(logging.ERROR)
    for package in ("lightning.pytorch", "pytorch_lightning"):
        logging.getLogger(package).setLevel(logging.ERROR)
    print(describe())
    device = devices()[-1]
    for case in cases(device):
        report(case, device)


def report(case: Case, device: torch.device) -> None:
    """Print the table of a training."""
    images, labels, description = case.data()
    blocks = {
        name: trained(case, TensorDataset(images, labels), device, callbacks(case.probe))
        for name, callbacks in CONFIGURATIONS.items()
    }
    step = statistics.median(each.step() for each in blocks.values())
    print(
        f"\n{device.type}: {case.name}, {description}, batches of {case.batch}, a probe of "
        f"{case.probe}, {readable(step)} per step, medians of {case.rounds}",
        flush=True,
    )
    rows = [
        [f"every {interval}", *(each.cell(interval) for each in blocks.values())]
        for interval in INTERVALS
    ]
    rows.append(["the default interval", *(str(each.chosen) for each in blocks.values())])
    rows.append(["  its overhead", *(each.cell(each.chosen) for each in blocks.values())])
    rows.append(["a measurement, in steps", *(f"{each.cost():.2f}" for each in blocks.values())])
    rows.append(["a step without one", *(readable(each.idle) for each in blocks.values())])
    print(table(["", *blocks], rows), flush=True)


def trained(
    case: Case, data: TensorDataset, device: torch.device, leaf: Sequence[LeafCallback]
) -> Blocks:
    """Return the durations of the blocks of one training."""
    L.seed_everything(0, verbose=False)
    blocks = Blocks(leaf, case)
    with tempfile.TemporaryDirectory() as folder:
        trainer = L.Trainer(
            max_steps=NEVER,
            accelerator="gpu" if device.type == "cuda" else device.type,
            devices=1,
            logger=TensorBoardLogger(folder),
            callbacks=[blocks, *leaf],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        sampler = RandomSampler(data, replacement=True, num_samples=NEVER)
        trainer.fit(case.build(), DataLoader(data, case.batch, sampler=sampler))
    return blocks
