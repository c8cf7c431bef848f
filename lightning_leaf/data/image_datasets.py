"""The data sets of the demo: scikit-learn's digits offline, MNIST and Fashion-MNIST on request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import datasets, transforms

DataName = Literal["digits", "mnist", "fashion-mnist"]
DATA_NAMES: tuple[DataName, ...] = get_args(DataName)

DIGITS_HELD_OUT = 360
"""Images of scikit-learn's digits kept for validation, the last fifth: other writers."""


class DataUnavailableError(RuntimeError):
    """A data set is neither on disk nor to be had; the message says what to do."""


@dataclass(frozen=True)
class ImageData:
    """Images to train on and to validate on, and their shape."""

    train: Dataset[tuple[Tensor, int]]
    val: Dataset[tuple[Tensor, int]]
    image_shape: tuple[int, int, int]


class Digits(Dataset[tuple[Tensor, int]]):
    """scikit-learn's 1797 real handwritten digits of 8×8 pixels; no download.

    Args:
        train: The first 1437 images, or the last 360.
        transform: Applied to an image of pixels in [0, 1], shape (1, 8, 8).

    Raises:
        DataUnavailableError: If scikit-learn is not installed.
    """

    classes = tuple(str(digit) for digit in range(10))

    def __init__(self, train: bool, transform: Callable[[Tensor], Tensor]) -> None:
        try:
            from sklearn.datasets import load_digits
        except ModuleNotFoundError as error:
            raise DataUnavailableError(
                "The digits come with scikit-learn, which is not installed: "
                'python -m pip install "lightning-leaf[demo]"'
            ) from error
        digits = load_digits()
        part = slice(None, -DIGITS_HELD_OUT) if train else slice(-DIGITS_HELD_OUT, None)
        self.images = torch.tensor(digits.images[part], dtype=torch.float32).unsqueeze(1) / 16
        self.targets = torch.tensor(digits.target[part])
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index]), int(self.targets[index])


def load(name: DataName, data_dir: Path) -> ImageData:
    """Training and validation images, normalised.

    Args:
        name: Which data set.
        data_dir: Where torchvision's data sets are, or are downloaded to.

    Raises:
        DataUnavailableError: If they cannot be had.
    """
    if name == "digits":
        normalize = transforms.Normalize((0.305,), (0.376,))
        return ImageData(Digits(True, normalize), Digits(False, normalize), (1, 8, 8))
    kind, mean, std = {
        "mnist": (datasets.MNIST, 0.1307, 0.3081),
        "fashion-mnist": (datasets.FashionMNIST, 0.2860, 0.3530),
    }[name]
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((mean,), (std,))])
    try:
        parts = [kind(data_dir, train=train, transform=transform) for train in (True, False)]
    except RuntimeError:  # not there yet
        try:
            parts = [
                kind(data_dir, train=train, transform=transform, download=True)
                for train in (True, False)
            ]
        except (RuntimeError, OSError) as error:
            files = data_dir / kind.__name__ / "raw"
            cause = str(error).partition("\n")[0].rstrip(":")
            raise DataUnavailableError(
                f"{kind.__name__} is not under {data_dir} and could not be downloaded ({cause}). "
                f"Put its four files (train-images-idx3-ubyte, …) into {files}, name another "
                "folder with --data-dir, or leave out --data: the digits need no download."
            ) from error
    return ImageData(parts[0], parts[1], (1, 28, 28))
