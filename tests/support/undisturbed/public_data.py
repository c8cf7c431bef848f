"""Data sets after public repositories and reports: reading an example changes each of them."""

from __future__ import annotations

import functools
import io
import multiprocessing
import random
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from tests.support.callbacks.training import digits

COUNT = 128
Example = tuple[Tensor, Tensor]


def example(index: int) -> Example:
    images, labels = digits()
    return images[index], labels[index]


class Indexed(Dataset):
    """A data set of 128 digits."""

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> Example:
        return example(index)


@functools.cache
def archive() -> Path:
    """Return a zip file with an image in each entry."""
    path = Path(tempfile.mkdtemp()) / "digits.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for index in range(COUNT):
            entry = io.BytesIO()
            np.save(entry, example(index)[0].numpy())
            file.writestr(str(index), entry.getvalue())
    return path


class Zipped(Indexed):
    """Opens its file at the first access (StanislasDucotterd/MFoE, dyisaev/pointnet-denoiser)."""

    def __init__(self) -> None:
        self.file: zipfile.ZipFile | None = None

    def __getitem__(self, index: int) -> Example:
        if self.file is None:
            self.file = zipfile.ZipFile(archive())
        image = np.load(io.BytesIO(self.file.read(str(index))))
        return torch.from_numpy(image), example(index)[1]


class Cached(Indexed):
    """Keeps what it has read, with its random augmentation (Project-MONAI/MONAI #5308)."""

    def __init__(self) -> None:
        self.cache: dict[int, Example] = {}

    def __getitem__(self, index: int) -> Example:
        if index not in self.cache:
            image, label = example(index)
            self.cache[index] = image + 0.1 * torch.randn(()), label
        return self.cache[index]


class Curriculum(Indexed):
    """Counts accesses in shared memory and adds less noise later (mlfoundations/open_clip)."""

    def __init__(self) -> None:
        self.reads = multiprocessing.Value("i", 0)
        self.targets = torch.zeros(COUNT).share_memory_()

    def __getitem__(self, index: int) -> Example:
        with self.reads.get_lock():
            self.reads.value += 1
        self.targets[index] += 1
        image, label = example(index)
        return image + self.targets[index] / self.reads.value, label


class Mosaic(Indexed):
    """Mixes each image with others from a pool of recent ones (Peterande/D-FINE)."""

    def __init__(self) -> None:
        self.pool: list[Tensor] = []

    def __getitem__(self, index: int) -> Example:
        image, label = example(index)
        self.pool.append(image)
        if len(self.pool) > 8:
            self.pool.pop(random.randrange(len(self.pool)))
        other, _ = example(random.randrange(COUNT))
        return 0.8 * image + 0.1 * random.choice(self.pool) + 0.1 * other, label


class Switched(Indexed):
    """Is switched between training and validation data (pytorch/pytorch #12536)."""

    def __init__(self) -> None:
        self.offset, self.epoch = 0, 0

    def __getitem__(self, index: int) -> Example:
        image, label = example(self.offset + index)
        self.offset = 0  # until the loader switches it again
        return image + 0.01 * self.epoch, label


class Mixed(Indexed):
    """Returns the mean of an image of each of these data sets."""

    def __init__(self, *parts: Indexed) -> None:
        self.parts = parts

    def __getitem__(self, index: int) -> Example:
        images = [part[index][0] for part in self.parts]
        return torch.stack(images).mean(0), example(index)[1]


class Switching(DataLoader):
    """Switches its data set at the begin of each epoch."""

    def __iter__(self) -> Iterator[Any]:
        switched = self.dataset.parts[0]
        switched.epoch += 1
        switched.offset = 500
        return super().__iter__()


class Stream(IterableDataset):
    """Continues where it stopped, with a shuffle buffer (webdataset/webdataset)."""

    def __init__(self) -> None:
        self.position, self.buffer, self.random = 0, [], random.Random(0)

    def __iter__(self) -> Iterator[Example]:
        for _ in range(COUNT):
            self.buffer.append(self.position % 1000)
            self.position += 1
            if len(self.buffer) > 16:
                yield example(self.buffer.pop(self.random.randrange(16)))
            else:
                yield example(self.random.randrange(COUNT))


@functools.cache
def augmented(index: int) -> Tensor:
    return example(index)[0] + 0.1 * torch.randn(())


class Memoized(Indexed):
    """Keeps augmented images in a cache of a function, and its state in the class."""

    reads = 0

    def __init__(self) -> None:
        Memoized.reads = 0
        augmented.cache_clear()

    def __getitem__(self, index: int) -> Example:
        Memoized.reads += 1
        return augmented(index) + 1e-4 * Memoized.reads, example(index)[1]


def initialize(_: int) -> None:
    """Give the last part of each worker's data set its random numbers (worker_init_fn)."""
    worker = get_worker_info()
    worker.dataset.parts[-1].numbers = np.random.default_rng(worker.seed)


class InWorkers(Indexed):
    """Gets its random numbers from the function that initializes workers."""

    def __getitem__(self, index: int) -> Example:
        image, label = example(index)
        return (image + 0.1 * self.numbers.random()).float(), label


def changing(generator: torch.Generator, **options: Any) -> tuple[Any, Any]:
    """Return loaders of one data set for training and validation, which all readings change."""
    kinds = [Switched, Zipped, Cached, Curriculum, Mosaic, Memoized]
    kinds += [InWorkers] if options else []
    dataset = Mixed(*(kind() for kind in kinds))
    train = Switching(dataset, 32, shuffle=True, generator=generator, **options)
    return train, Switching(dataset, 64, **options)


def changing_in_a_worker(generator: torch.Generator) -> tuple[Any, Any]:
    return changing(generator, num_workers=1, worker_init_fn=initialize)


def streamed(_: torch.Generator) -> tuple[Any, Any]:
    stream = Stream()
    return DataLoader(stream, 32), DataLoader(stream, 64)
