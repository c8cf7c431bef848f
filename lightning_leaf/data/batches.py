"""Labelled inputs out of whatever a data set or a data loader yields."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_leaf.data.normalization import Normalization
from lightning_leaf.errors import LeafError

INPUT_KEYS = (
    "image",
    "images",
    "img",
    "pixel_values",
    "x",
    "input",
    "inputs",
    "input_values",
    "data",
    "features",
    "signal",
)
LABEL_KEYS = ("label", "labels", "y", "target", "targets", "class")
TO_UNIT_PIXELS = ("ToTensor", "ConvertImageDtype", "ToDtype", "ConvertDtype")


@dataclass(frozen=True, eq=False)
class Examples:
    """Some inputs of one data set, and what is known of them.

    Attributes:
        inputs: As the model takes them, on the CPU, shape ``(B, ...)``.
        labels: Their class numbers, where they are known.
        indices: Their positions in the data set, where there is one.
        class_names: Names of all classes, where the data set has them.
        normalization: How the data set made inputs of pixels, where its transforms say it.
    """

    inputs: Tensor
    labels: tuple[int, ...] | None = None
    indices: tuple[int, ...] | None = None
    class_names: tuple[str, ...] | None = None
    normalization: Normalization | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def select(self, rows: Sequence[int]) -> Examples:
        """Some of the examples, in the given order."""
        return Examples(
            self.inputs[list(rows)],
            None if self.labels is None else tuple(self.labels[row] for row in rows),
            None if self.indices is None else tuple(self.indices[row] for row in rows),
            self.class_names,
            self.normalization,
        )

    def name(self, row: int) -> str:
        """The class of one example, or its position where the class is not known."""
        if self.labels is None:
            return f"#{row if self.indices is None else self.indices[row]}"
        label = self.labels[row]
        return class_name(self.class_names, label)


def class_name(names: Sequence[str] | None, label: int) -> str:
    """The name of a class, its number where names do not reach."""
    return names[label] if names is not None and 0 <= label < len(names) else str(label)


def examples_of(batch: Any) -> Examples:
    """The inputs of a batch and, where they can be told, its class numbers.

    A batch is a tensor, a list or tuple that begins with inputs (and labels), or a mapping.

    Raises:
        LeafError: If no tensor of inputs is found, or it holds NaN or infinity.
    """
    examples = read_batch(batch)
    inputs = examples.inputs
    if inputs.is_floating_point() and not bool(inputs.isfinite().all()):
        raise LeafError("Expected finite inputs; the examples hold NaN or infinity.")
    return examples


def read_batch(batch: Any) -> Examples:
    """What :func:`examples_of` finds, whether or not its numbers are finite.

    Raises:
        LeafError: If no tensor of inputs is found.
    """
    x, y = _split(batch)
    if not isinstance(x, Tensor) or x.ndim < 2 or len(x) == 0:
        raise LeafError(
            "Expected batches of inputs: a tensor (B, ...), a tuple that begins with one, or a "
            f"dict with one of the keys {', '.join(INPUT_KEYS)}; got {_described(batch)}. Give the "
            "inputs themselves (probe=, pairs=, starts=)."
        )
    # A clone: the batch is the training's, and may have been made in inference mode.
    inputs = x.detach().clone().cpu()
    return Examples(inputs, _class_numbers(y, len(inputs)))


def class_names_of(dataset: Any) -> tuple[str, ...] | None:
    """``.classes`` of a data set or of the one that it wraps; names in a Hugging Face one."""
    for layer in _layers(dataset):
        names = getattr(layer, "classes", None)
        features = getattr(layer, "features", None)
        if names is None and isinstance(features, Mapping):
            found = (getattr(features.get(key), "names", None) for key in LABEL_KEYS)
            names = next((value for value in found if value is not None), None)
        if isinstance(names, (list, tuple)) and names:
            texts = [str(name) for name in names]
            # torchvision calls the classes of MNIST "0 - zero", "1 - one", …
            numbered = all(text.startswith(f"{i} - ") for i, text in enumerate(texts))
            return tuple(str(i) for i in range(len(texts))) if numbered else tuple(texts)
    return None


def normalization_of(dataset: Any) -> Normalization | None:
    """The normalisation among a data set's transforms, or of the data set that it wraps.

    Transforms that end in pixels between 0 and 1 (``ToTensor`` without ``Normalize``) count as the
    normalisation that changes nothing.
    """
    for layer in _layers(dataset):
        steps = [
            step
            for name in ("transform", "transforms")
            for step in _steps(getattr(layer, name, None))
        ]
        unique = list({id(step): step for step in steps}.values())
        found = [step for step in unique if type(step).__name__ == "Normalize"]
        if len(found) == 1:
            # Other libraries' Normalize need not have a mean and a std.
            with suppress(LeafError):
                return Normalization.of(found[0])
        if not found and any(type(step).__name__ in TO_UNIT_PIXELS for step in unique):
            return Normalization((0.0,), (1.0,))
    return None


def _split(batch: Any) -> tuple[Any, Any]:
    if isinstance(batch, Mapping):
        return _first(batch, INPUT_KEYS), _first(batch, LABEL_KEYS)
    if isinstance(batch, (list, tuple)) and batch:
        return batch[0], batch[1] if len(batch) > 1 else None
    return batch, None


def _first(batch: Mapping[Any, Any], keys: Sequence[str]) -> Any:
    return next((batch[key] for key in keys if key in batch), None)


def _class_numbers(y: Any, count: int) -> tuple[int, ...] | None:
    """Class numbers of integers, whole floats (binary targets), one-hot or soft rows."""
    if not isinstance(y, Tensor) or len(y.shape) == 0 or len(y) != count or y.is_complex():
        return None
    y = y.detach().cpu().double()
    if y.ndim == 2 and y.shape[1] > 1:
        # Rows that are no probabilities are several labels at once, or numbers to regress.
        is_soft = (y >= 0).all(1) & ((y.sum(1) - 1).abs() < 0.02)
        y = torch.where(is_soft, y.argmax(1), -1)
    elif y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or bool((y != y.long()).any()) or bool((y < 0).any()):
        return None
    return tuple(y.long().tolist())


def _layers(dataset: Any) -> Iterator[Any]:
    """The data set, then those that it wraps (``Subset``, ``ConcatDataset`` and their likes)."""
    seen: set[int] = set()
    while dataset is not None and id(dataset) not in seen:
        seen.add(id(dataset))
        yield dataset
        parts = getattr(dataset, "datasets", None)
        inner = parts[0] if isinstance(parts, (list, tuple)) and parts else None
        dataset = getattr(dataset, "dataset", inner)


def _steps(transform: Any) -> Iterator[Any]:
    """The single transforms of a composed one."""
    if transform is None:
        return
    if isinstance(transform, torch.nn.Sequential):
        parts: Any = list(transform)
    else:
        # torchvision wraps `transform` and `target_transform` into a StandardTransform.
        parts = getattr(transform, "transforms", None) or getattr(transform, "transform", None)
    if parts is None or inspect.ismethod(parts):  # a method of this name: it is a step, as in v2
        yield transform
    else:
        for part in parts if isinstance(parts, (list, tuple)) else [parts]:
            yield from _steps(part)


def _described(batch: Any) -> str:
    if isinstance(batch, Mapping):
        return f"a dict with the keys {', '.join(map(repr, batch))}"
    if isinstance(batch, (list, tuple)):
        return f"a {type(batch).__name__} of {', '.join(type(part).__name__ for part in batch)}"
    if isinstance(batch, Tensor):
        return f"a tensor of shape {tuple(batch.shape)}"
    return type(batch).__name__
