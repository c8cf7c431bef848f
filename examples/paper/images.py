"""The images of the experiments, as tensors."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_leaf import Normalization
from lightning_leaf.data.dataset_attributes import normalization_of
from lightning_leaf.data.image_datasets import DataUnavailableError, load

CIFAR_ARCHIVE = "cifar10-jpeg.zip"
CIFAR = Normalization((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))


@dataclass(frozen=True)
class Images:
    """Normalized images ``(N, channels, height, width)`` and their labels ``(N,)``."""

    name: str
    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    normalization: Normalization

    @property
    def shape(self) -> tuple[int, int, int]:
        channels, height, width = self.train.shape[1:]
        return channels, height, width


def load_images(name: str, data_dir: Path | None) -> Images:
    """Load images by name: ``digits``, ``mnist``, ``cifar10`` or ``digits-32``.

    Raises:
        DataUnavailableError: If they are not in ``data_dir``; the message says what to do.
    """
    if name == "digits-32":
        return _enlarged(load_images("digits", data_dir))
    if name != "digits" and data_dir is None:
        raise DataUnavailableError(
            f"The full experiments need --data DIR, a folder with MNIST/raw and {CIFAR_ARCHIVE}. "
            "Use --quick to run without data."
        )
    if name == "cifar10":
        assert data_dir is not None
        return _cifar(data_dir / CIFAR_ARCHIVE)
    found = load("digits" if name == "digits" else "mnist", data_dir or Path("data"))
    normalization = normalization_of(found.train)
    assert normalization is not None
    parts: list[Tensor] = []
    for part in (found.train, found.val):
        data: Any = part
        pixels = data.images if name == "digits" else data.data.unsqueeze(1).float() / 255
        parts += [normalization.from_pixels(pixels), data.targets.clone()]
    train, train_labels, test, test_labels = parts
    return Images(name, train, train_labels, test, test_labels, normalization)


def _enlarged(digits: Images) -> Images:
    """Enlarge digits to 32×32 pixels in three equal channels, as inputs of VGG-11."""

    def enlarge(x: Tensor) -> Tensor:
        return torch.nn.functional.interpolate(x, scale_factor=4).expand(-1, 3, -1, -1).clone()

    mean, std = digits.normalization.mean * 3, digits.normalization.std * 3
    return Images(
        "digits of 32×32 pixels",
        enlarge(digits.train),
        digits.train_labels,
        enlarge(digits.test),
        digits.test_labels,
        Normalization(mean, std),
    )


def _cifar(archive: Path) -> Images:
    """Load CIFAR-10 from ``train|test/CLASS/NNNN.jpg`` in a zip archive."""
    import numpy as np
    from PIL import Image

    if not archive.is_file():
        raise DataUnavailableError(
            f"Appendix C needs CIFAR-10 as {archive}: JPEG files train|test/CLASS/NNNN.jpg."
        )
    pixels: dict[str, list[Tensor]] = {"train": [], "test": []}
    labels: dict[str, list[int]] = {"train": [], "test": []}
    with zipfile.ZipFile(archive) as files:
        names = sorted(name for name in files.namelist() if name.endswith(".jpg"))
        classes = sorted({name.split("/")[1] for name in names})
        for name in names:
            part, label, _ = name.split("/")
            image = np.asarray(Image.open(io.BytesIO(files.read(name))).convert("RGB"))
            pixels[part].append(torch.from_numpy(image.copy()).permute(2, 0, 1))
            labels[part].append(classes.index(label))
    train, test = (
        CIFAR.from_pixels(torch.stack(pixels[part]).float() / 255) for part in ("train", "test")
    )
    # The archive is sorted by class; shuffle so that the first test images have all classes.
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(0))
    test_labels = torch.tensor(labels["test"])[order]
    return Images("cifar10", train, torch.tensor(labels["train"]), test[order], test_labels, CIFAR)
