"""Data sets with files, locks, counters and shared memory, whose examples are their positions."""

from __future__ import annotations

import multiprocessing
import os
import socket
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from lightning_leaf.data.batches import read_batch, read_singles
from lightning_leaf.data.reading import reader_of
from lightning_leaf.data.requests import Answer, Request

COUNT = 24
SIDE = 64
"""Large enough that reading an example moves the position in a buffered file."""


def image(position: int) -> Tensor:
    """Return the image of a position, which determines it."""
    return torch.full((1, SIDE, SIDE), float(position))


class Numbers(Dataset[Any]):
    """Images of numbers and three classes."""

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, position: int) -> Any:
        if not 0 <= position < COUNT:
            raise IndexError("no such example")
        return image(position), position % 3


class InFile(Numbers):
    """Images in a file that is opened at the first use, or before."""

    def __init__(self, folder: Path, opened: bool = False) -> None:
        self.path, self.file = self.write(folder), None
        self.reads = 0
        if opened:
            self.open()

    def write(self, folder: Path) -> Path:
        (folder / "numbers.bin").write_bytes(
            b"".join(image(position).numpy().tobytes() for position in range(COUNT))
        )
        return folder / "numbers.bin"

    def open(self) -> None:
        self.file: Any = open(self.path, "rb")  # noqa: SIM115

    def __del__(self) -> None:
        if getattr(self, "file", None) is not None:  # an attempted copy has no attributes
            self.file.close()

    def content(self, position: int) -> bytes:
        size = 4 * SIDE * SIDE
        self.file.seek(size * position)
        content: bytes = self.file.read(size)
        return content

    def __getitem__(self, position: int) -> Any:
        if self.file is None:
            self.open()
        self.reads += 1
        values = torch.frombuffer(bytearray(self.content(position)), dtype=torch.float32)
        return values.reshape(1, SIDE, SIDE), position % 3


class InZip(InFile):
    """Images in an archive."""

    def write(self, folder: Path) -> Path:
        with zipfile.ZipFile(folder / "numbers.zip", "w") as archive:
            for position in range(COUNT):
                archive.writestr(str(position), image(position).numpy().tobytes())
        return folder / "numbers.zip"

    def open(self) -> None:
        self.file = zipfile.ZipFile(self.path)

    def content(self, position: int) -> bytes:
        return bytes(self.file.read(str(position)))


class Locked(Numbers):
    """A data set that waits for a lock."""

    def __init__(self, lock: Any) -> None:
        self.lock = lock

    def __getitem__(self, position: int) -> Any:
        with self.lock:
            return super().__getitem__(position)


class Counting(Numbers):
    """A data set that counts what was read, in shared memory."""

    def __init__(self) -> None:
        self.reads = multiprocessing.Value("i", 0)
        self.cache = torch.zeros(COUNT).share_memory_()

    def __getitem__(self, position: int) -> Any:
        self.reads.value += 1
        self.cache[position] = 1
        return super().__getitem__(position)


class Managed(Numbers):
    """A data set that keeps what was read in a dict of a server (multiprocessing.Manager)."""

    def __init__(self, cache: Any) -> None:
        self.cache = cache

    def __getitem__(self, position: int) -> Any:
        if position not in self.cache:
            self.cache[position] = super().__getitem__(position)
        return self.cache[position]


class Remote(Numbers):
    """A data set that asks a server."""

    def __init__(self) -> None:
        self.connection, self.server = socket.socketpair()

    def __getitem__(self, position: int) -> Any:
        self.connection.sendall(b"example please")
        return super().__getitem__(position)


class NotInForks(Numbers):
    """A data set that cannot be read in a process that was forked, as one on CUDA."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.reads = 0

    def __getitem__(self, position: int) -> Any:
        if os.getpid() != self.process:
            raise RuntimeError("Cannot re-initialize CUDA in forked subprocess.")
        self.reads += 1
        return super().__getitem__(position)


class Stream(IterableDataset[Any]):
    """The numbers in order, shared among the workers."""

    def __init__(self) -> None:
        self.begun = 0

    def __iter__(self) -> Any:
        self.begun += 1
        worker = get_worker_info()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        for position in range(first, COUNT, step):
            yield image(position), position % 3


def ask(loader: Any, positions: Any = None, count: int = 6, **options: Any) -> Answer:
    """Read examples of a loader."""
    given = None if positions is None else tuple(positions)
    return reader_of(loader).read(Request(given, count, 0, **options))


def pairs_read(loader: Any, positions: Any = None, count: int = 6) -> list[tuple[Any, int, int]]:
    """Return position, number in the image, and label of each example."""
    answer = ask(loader, positions, count)
    if answer.joint:
        batches = [read_batch(batch) for batch in answer.batches]
        inputs = torch.cat([batch.inputs for batch in batches])
        labels = [label for batch in batches for label in batch.labels or ()]
    else:
        rows, target = read_singles(answer.batches, None, answer.positions)
        inputs, labels = torch.cat(rows), list(target.labels or ())
    numbers = inputs.flatten(1).amax(1).long().tolist()
    if answer.streamed:
        answer.positions = None
    return list(zip(answer.positions or [None] * len(numbers), numbers, labels, strict=True))


def loader(dataset: Any, **options: Any) -> DataLoader[Any]:
    return DataLoader(dataset, **({"batch_size": 4} | options))
