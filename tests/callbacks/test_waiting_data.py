"""Data that blocks for ever: the wait is limited and reported, and the training goes on."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate

from lightning_leaf import LocalDataMatrixMonitor
from lightning_leaf.callbacks import reception
from lightning_leaf.data import reading, time_limit, workers
from tests.support.callbacks.training import SmallCNN, fit, ignore_lightning, train_data

pytestmark = ignore_lightning

PROCESS = os.getpid()
LIMIT = 0.5


def wait() -> None:
    time.sleep(1000)


class Digits(Dataset[Any]):
    """Some images; a subclass waits for ever somewhere."""

    def __len__(self) -> int:
        return 64

    def __getitem__(self, position: int) -> Any:
        return torch.full((1, 8, 8), position / 64), position % 10


class InItem(Digits):
    def __getitem__(self, position: int) -> Any:
        wait()


class InLength(Digits):
    def __len__(self) -> int:
        wait()
        return 64


class InThisProcess(Digits):
    """A data set that cannot be read in another process, such as one with a connection."""

    def __getitem__(self, position: int) -> Any:
        if os.getpid() != PROCESS:
            raise OSError("the connection belongs to another process")
        wait()
        return super().__getitem__(position)


class InCopy(InThisProcess):
    def __deepcopy__(self, memo: Any) -> Any:
        wait()


class Slow(Digits):
    """A data set that is read, but much too slowly."""

    def __getitem__(self, position: int) -> Any:
        time.sleep(0.6 * LIMIT)
        return super().__getitem__(position)


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        wait()
        yield from ()


class InHook(SmallCNN):
    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        if len(batch[0]) != 64:
            wait()
        return batch


def collate(items: list[Any]) -> Any:
    if len(items) != 64:
        wait()
    return default_collate(items)


def split(batch: Any) -> tuple[Tensor, Tensor]:
    wait()
    raise AssertionError


CASES: dict[str, dict[str, Any]] = {
    "item": {"probe": InItem()},
    "length": {"probe": InLength()},
    "item in this process": {"probe": InThisProcess()},
    "copy": {"probe": InCopy()},
    "slow": {"probe": Slow()},
    "stream": {"train": DataLoader(train_data(), 64), "validation": DataLoader(Stream(), 64)},
    "collate function": {"train": DataLoader(train_data(), 64, collate_fn=collate)},
    "worker": {"train": DataLoader(train_data(), 64, collate_fn=collate, num_workers=1)},
    "transfer hook": {"module": InHook},
    "batch=": {"batch": split},
}


@pytest.mark.parametrize("case", CASES)
def test_the_training_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recwarn: pytest.WarningsRecorder,
    case: str,
) -> None:
    monkeypatch.setattr(workers, "TIMEOUT", LIMIT)
    monkeypatch.setattr(workers, "LONGEST", 2 * LIMIT)
    monkeypatch.setattr(reception, "LONGEST", LIMIT)
    options = dict(CASES[case])
    monitor = LocalDataMatrixMonitor(
        options.pop("probe", 32), every_n_steps=4, batch=options.pop("batch", None)
    )
    if "validation" in options:  # the trainer itself would wait
        options |= {"num_sanity_val_steps": 0, "check_val_every_n_epoch": 9}
    else:
        options["validation"] = None
    module = options.pop("module", SmallCNN)()
    started = time.monotonic()
    assert fit(tmp_path, monitor, module=module, **options).global_step == 8
    assert time.monotonic() - started < 60
    if "validation" in CASES[case]:
        return  # examples are taken from the training data
    (warning,) = [str(each.message) for each in recwarn if "itself off" in str(each.message)]
    # If reading a copy fails too, the first error is reported.
    assert "seconds" in warning or (case == "copy" and "OSError" in warning)
    assert "probe=(inputs, labels)" in warning


def test_without_a_limit_the_training_would_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    waited: list[float] = []
    monkeypatch.setattr(time_limit, "_is_available", lambda: False)
    monkeypatch.setattr(time, "sleep", waited.append)
    reader = reading.reader_of_dataset(InThisProcess())
    reader.read(reading.Request(None, 2, 0))
    assert waited[0] == 1000
