"""Class names and normalization from the attributes and transforms of a data set."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from lightning_leaf.data.normalization import Normalization
from lightning_leaf.data.targets import LABEL_KEYS
from lightning_leaf.errors import LeafError

TO_UNIT_PIXELS = ("ToTensor", "ConvertImageDtype", "ToDtype", "ConvertDtype")
"""Names of transforms whose results are pixels from 0 to 1."""

DEPTH = 10
"""Largest number of wrappers around a data set that are looked through."""


def class_names_of(dataset: Any) -> tuple[str, ...] | None:
    """Return the class names of a data set or of the data set that it wraps; None if unknown.

    Names are read from ``classes`` or ``class_names``, a sequence; from ``class_to_idx``; or from
    the label's ``names`` in the ``features`` of a Hugging Face data set. The names "0 - zero",
    "1 - one", … of torchvision's MNIST become "0", "1", …. Attributes can be properties that open
    files, so call this function with copies, or in a process of its own.

    Args:
        dataset: Any data set.
    """
    for layer in _layers(dataset):
        names = _names_of(layer)
        if isinstance(names, (list, tuple, np.ndarray)) and len(names):
            texts = [str(name) for name in names]
            numbered = all(text.startswith(f"{i} - ") for i, text in enumerate(texts))
            return tuple(str(i) for i in range(len(texts))) if numbered else tuple(texts)
    return None


def _names_of(layer: Any) -> Any:
    for name in ("classes", "class_names"):
        if getattr(layer, name, None) is not None:
            return getattr(layer, name)
    numbers = getattr(layer, "class_to_idx", None)
    if isinstance(numbers, Mapping) and sorted(numbers.values()) == list(range(len(numbers))):
        return sorted(numbers, key=numbers.__getitem__)
    features = getattr(layer, "features", None)
    if isinstance(features, Mapping):
        candidates = (getattr(features.get(key), "names", None) for key in LABEL_KEYS)
        return next((value for value in candidates if value is not None), None)
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
    level = [dataset]
    for _ in range(DEPTH):
        new = [each for each in level if id(each) not in visited]
        visited.update(map(id, new))
        yield from new
        level = [part for each in new for part in _wrapped(each)]


def _wrapped(dataset: Any) -> list[Any]:
    """Return the data sets in the attributes of a data set."""
    attributes = getattr(dataset, "__dict__", {})
    parts = [*(attributes.get("datasets") or ()), *attributes.values()]
    first = attributes.get("dataset")
    return [part for part in (first, *parts) if part is first is not None or _is_dataset(part)]


def _is_dataset(part: Any) -> bool:
    kind = type(part)
    return isinstance(part, Dataset) or (hasattr(kind, "__getitem__") and hasattr(part, "features"))


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
