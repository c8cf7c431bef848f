"""Labelled inputs from the batches of a data loader."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

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
"""Keys of the inputs in a batch that is a mapping; the first one present is used."""
LABEL_KEYS = ("label", "labels", "y", "target", "targets", "class")
"""Keys of the labels in a batch that is a mapping; the first one present is used."""

Split = str | Sequence[str] | Callable[[Any], Any]
"""Where inputs and labels are in a batch: keys, or a function or its importable dotted name."""
Targets = Literal["classes", "labels", "values"]
"""Kinds of targets: exclusive classes, several independent labels per row, other numbers."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Examples of one data set: inputs and, if they are known, labels, positions and names.

    Attributes:
        inputs: Inputs as the model takes them, ``(B, ...)``, on the CPU.
        labels: Class number of each input.
        indices: Position of each input in the data set.
        class_names: Names of all classes.
        normalization: The map from pixels to inputs.
        targets: Kind of the targets; None if there are no targets or they are not numbers.
        target_columns: Number of columns of the targets if they are rows.
    """

    inputs: Tensor
    labels: tuple[int, ...] | None = None
    indices: tuple[int, ...] | None = None
    class_names: tuple[str, ...] | None = None
    normalization: Normalization | None = None
    targets: Targets | None = None
    target_columns: int | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def select(self, rows: Sequence[int]) -> Examples:
        """Return the examples of some rows, in the given order."""
        return replace(
            self,
            inputs=self.inputs[list(rows)],
            labels=None if self.labels is None else tuple(self.labels[row] for row in rows),
            indices=None if self.indices is None else tuple(self.indices[row] for row in rows),
        )

    def name(self, row: int) -> str:
        """Return the class name of an example.

        Without labels it is ``#`` and the position in the data set; if that is unknown, the row.
        """
        if self.labels is None:
            return f"#{row if self.indices is None else self.indices[row]}"
        return class_name(self.class_names, self.labels[row])


def class_name(names: Sequence[str] | None, label: int) -> str:
    """Return the name of a class, or its number if it has no name."""
    return names[label] if names is not None and 0 <= label < len(names) else str(label)


def read_batch(batch: Any, split: Split | None = None) -> Examples:
    """Return the inputs of a batch and, if it has labels, its class numbers.

    Labels may be integers, floats with whole values (binary targets), or one-hot or soft rows that
    sum to one. Other targets are ignored.

    Args:
        batch: A tensor of inputs ``(B, ...)``; a tuple or list of inputs and, optionally, labels;
            or a mapping with one of the :data:`INPUT_KEYS` and, optionally, one of the
            :data:`LABEL_KEYS`.
        split: Where the inputs and the labels are in the batch, if not where they usually are.

    Raises:
        LeafError: If the batch has no tensor of inputs.

    Example:
        >>> examples = read_batch({"image": torch.rand(2, 1, 8, 8), "label": torch.tensor([3, 1])})
        >>> examples.inputs.shape, examples.labels
        (torch.Size([2, 1, 8, 8]), (3, 1))
    """
    x, y = _split(batch)
    if not isinstance(x, Tensor) or x.ndim < 2 or len(x) == 0:
        raise LeafError(
            "A batch expects inputs: a tensor (B, ...), a tuple or list that begins with one, or a "
            f"dict with one of the keys {', '.join(INPUT_KEYS)}; got {_description(batch)}. Change "
            "what the data set returns, or pass inputs to the callback: probe=x, "
            "pairs=(sources, destinations) or starts=x."
        )
    # A copy, because the training uses the same tensor and inference tensors allow no gradients.
    inputs = x.detach().clone().cpu()
    return Examples(inputs, _class_numbers(y, len(inputs)))


def read_finite_batch(batch: Any, split: Split | None = None) -> Examples:
    """Return what :func:`read_batch` returns, after checking that all inputs are finite.

    Args:
        batch: See :func:`read_batch`.
        split: See :func:`read_batch`.

    Raises:
        LeafError: If the batch has no tensor of inputs, or it contains NaN or infinity.
    """
    examples = read_batch(batch, split)
    inputs = examples.inputs
    if inputs.is_floating_point() and not bool(inputs.isfinite().all()):
        bad = int((~inputs.flatten(1).isfinite().all(1)).sum())
        raise LeafError(
            f"A batch expects finite inputs; {bad} of {len(inputs)} inputs contain NaN or "
            "infinity. Remove them from the data set, or pass other inputs."
        )
    return examples


def _split(batch: Any) -> tuple[Any, Any]:
    if isinstance(batch, Mapping):
        return _first(batch, INPUT_KEYS), _first(batch, LABEL_KEYS)
    if isinstance(batch, (list, tuple)) and batch:
        return batch[0], batch[1] if len(batch) > 1 else None
    return batch, None


def _first(batch: Mapping[Any, Any], keys: Sequence[str]) -> Any:
    return next((batch[key] for key in keys if key in batch), None)


def _class_numbers(y: Any, count: int) -> tuple[int, ...] | None:
    if not isinstance(y, Tensor) or len(y.shape) == 0 or len(y) != count or y.is_complex():
        return None
    y = y.detach().cpu().double()
    if y.ndim == 2 and y.shape[1] > 1:
        # Other rows are multi-label or regression targets.
        is_soft = (y >= 0).all(1) & ((y.sum(1) - 1).abs() < 0.02)
        y = torch.where(is_soft, y.argmax(1), -1)
    elif y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or bool((y != y.long()).any()) or bool((y < 0).any()):
        return None
    return tuple(y.long().tolist())


def _description(batch: Any) -> str:
    if isinstance(batch, Mapping):
        return f"a dict with the keys {', '.join(map(repr, batch))}"
    if isinstance(batch, (list, tuple)):
        return f"a {type(batch).__name__} of {', '.join(type(part).__name__ for part in batch)}"
    if isinstance(batch, Tensor):
        return f"a tensor of shape {tuple(batch.shape)}"
    return type(batch).__name__
