"""Class names and normalization from the attributes and transforms of a data set."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import torch

from lightning_leaf.data.normalization import Normalization
from lightning_leaf.data.targets import LABEL_KEYS
from lightning_leaf.errors import LeafError

TO_UNIT_PIXELS = ("ToTensor", "ConvertImageDtype", "ToDtype", "ConvertDtype")
"""Names of transforms whose results are pixels from 0 to 1."""


def class_names_of(dataset: Any) -> tuple[str, ...] | None:
    """Return the class names of a data set or of the data set that it wraps; None if unknown.

    Names are read from ``classes``, a list or tuple, else from the label's ``names`` in the
    ``features`` of a Hugging Face data set. The names "0 - zero", "1 - one", … of torchvision's
    MNIST become "0", "1", ….

    Args:
        dataset: Any data set.
    """
    for layer in _layers(dataset):
        names = getattr(layer, "classes", None)
        features = getattr(layer, "features", None)
        if names is None and isinstance(features, Mapping):
            candidates = (getattr(features.get(key), "names", None) for key in LABEL_KEYS)
            names = next((value for value in candidates if value is not None), None)
        if isinstance(names, (list, tuple)) and names:
            texts = [str(name) for name in names]
            numbered = all(text.startswith(f"{i} - ") for i, text in enumerate(texts))
            return tuple(str(i) for i in range(len(texts))) if numbered else tuple(texts)
    return None


def normalization_of(dataset: Any) -> Normalization | None:
    """Return the normalization among the transforms of a data set; None if unknown.

    The transforms are those of the data set, else those of the data set that it wraps. If they
    convert images to pixels from 0 to 1 (``ToTensor``) without a ``Normalize``, the result is the
    normalization with mean 0 and standard deviation 1. With more than one ``Normalize``, the
    normalization is unknown.

    Args:
        dataset: Any data set with ``transform`` or ``transforms``.
    """
    for layer in _layers(dataset):
        transforms = [
            transform
            for name in ("transform", "transforms")
            for transform in _flattened(getattr(layer, name, None))
        ]
        unique = list({id(transform): transform for transform in transforms}.values())
        normalize = [transform for transform in unique if type(transform).__name__ == "Normalize"]
        if len(normalize) == 1:
            # A class of this name in another library may have no mean and std.
            with suppress(LeafError):
                return Normalization.of(normalize[0])
        if not normalize and any(type(t).__name__ in TO_UNIT_PIXELS for t in unique):
            return Normalization((0.0,), (1.0,))
    return None


def _layers(dataset: Any) -> Iterator[Any]:
    """Yield a data set, then those that it wraps, as ``Subset`` and ``ConcatDataset`` do."""
    visited: set[int] = set()
    while dataset is not None and id(dataset) not in visited:
        visited.add(id(dataset))
        yield dataset
        parts = getattr(dataset, "datasets", None)
        inner = parts[0] if isinstance(parts, (list, tuple)) and parts else None
        dataset = getattr(dataset, "dataset", inner)


def _flattened(transform: Any) -> Iterator[Any]:
    """Yield the single transforms of a composed one."""
    if transform is None:
        return
    if isinstance(transform, torch.nn.Sequential):
        parts: Any = list(transform)
    else:
        # torchvision's StandardTransform contains `transform` and `target_transform`.
        parts = getattr(transform, "transforms", None) or getattr(transform, "transform", None)
    if parts is None or inspect.ismethod(parts):  # transforms of v2 have a method `transform`
        yield transform
    else:
        for part in parts if isinstance(parts, (list, tuple)) else [parts]:
            yield from _flattened(part)
