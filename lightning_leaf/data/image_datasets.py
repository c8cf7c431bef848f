"""Image data sets by name: scikit-learn's digits, MNIST and Fashion-MNIST."""

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
"""Names that :func:`load` accepts."""

DIGITS_HELD_OUT = 360
"""Number of digits held out for validation: the last fifth, written by other people."""


class DataUnavailableError(RuntimeError):
    """A data set is not on disk and cannot be downloaded."""


@dataclass(frozen=True)
class ImageData:
    """Training and validation images.

    Attributes:
        train: Training images and labels.
        val: Validation images and labels.
        image_shape: Shape of an image, ``(channels, H, W)``.
    """

    train: Dataset[tuple[Tensor, int]]
    val: Dataset[tuple[Tensor, int]]
    image_shape: tuple[int, int, int]


class Digits(Dataset[tuple[Tensor, int]]):
    """scikit-learn's 1797 handwritten digits of 8×8 pixels, which need no download.

    Args:
        train: True for the first 1437 images, False for the last 360.
        transform: Applied to every image: pixels from 0 to 1, shape ``(1, 8, 8)``.

    Raises:
        DataUnavailableError: If scikit-learn is not installed.
    """

    classes = tuple(str(digit) for digit in range(10))

    def __init__(self, train: bool, transform: Callable[[Tensor], Tensor]) -> None:
        try:
            from sklearn.datasets import load_digits
        except ModuleNotFoundError as error:
            raise DataUnavailableError(
                "The digits need scikit-learn, which is not installed. Run: "
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
    """Load normalized training and validation images; download them if necessary.

    Args:
        name: ``"digits"``, ``"mnist"`` or ``"fashion-mnist"``.
        data_dir: Folder of torchvision's data sets; digits do not use it.

    Raises:
        DataUnavailableError: If the data set is not on disk and cannot be downloaded.

    Example:
        >>> data = load("digits", Path("unused"))
        >>> len(data.train), len(data.val), data.image_shape
        (1437, 360, (1, 8, 8))
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
    except RuntimeError:  # not on disk
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
                "folder with --data-dir, or omit --data: the digits need no download."
            ) from error
    return ImageData(parts[0], parts[1], (1, 28, 28))
