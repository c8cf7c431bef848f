"""Labelled inputs from the batches of a data loader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from lightning_leaf.data.inputs import input_place, no_inputs
from lightning_leaf.data.normalization import Normalization
from lightning_leaf.data.structure import (
    Place,
    as_tensor,
    description,
    numeric_leaves,
    split_batch,
)
from lightning_leaf.data.targets import Kind, Target, choose_target, read_target
from lightning_leaf.errors import LeafError, shown

Split = str | Sequence[str] | Callable[[Any], Any]
"""Where inputs and labels are in a batch: keys, or a function or its importable dotted name."""


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
        first_rows: See :func:`~lightning_leaf.data.structure.first_rows`; empty if unknown.
    """

    inputs: Tensor
    labels: tuple[int, ...] | None = None
    indices: tuple[int, ...] | None = None
    class_names: tuple[str, ...] | None = None
    normalization: Normalization | None = None
    targets: Kind | None = None
    target_columns: int | None = None
    first_rows: dict[str, Tensor] = field(default_factory=dict)

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


def read_batch(
    batch: Any, split: Split | None = None, positions: Sequence[Any] | None = None
) -> Examples:
    """Return the inputs of a batch and, if it has labels, its class numbers.

    The inputs are the tensor with one of the :data:`~lightning_leaf.data.inputs.INPUT_KEYS`, else
    the first tensor of floats (or bytes, if it has at least three axes) with as many rows as the
    batch has. For the labels see :func:`~lightning_leaf.data.targets.choose_target`: integers,
    floats with whole values (binary targets), or one-hot or soft rows that sum to one.

    Args:
        batch: A tensor of inputs ``(B, ...)``, or tuples, lists, mappings or dataclasses of
            tensors, nested in any way.
        split: Where the inputs and the labels are in the batch, if not where they usually are: the
            key of the inputs, ``"pixels"``; the keys of both, ``("pixels", "target")``; or a
            function from the batch to the inputs or to ``(inputs, labels)``, or its importable
            name. Keys can be dotted (``"known.image"``) and positions (``0``).
        positions: Position of each row in the data set, if known.

    Raises:
        LeafError: If the batch has no tensor of inputs.

    Example:
        >>> examples = read_batch({"image": torch.rand(2, 1, 8, 8), "label": torch.tensor([3, 1])})
        >>> examples.inputs.shape, examples.labels
        (torch.Size([2, 1, 8, 8]), (3, 1))
        >>> read_batch({"a": torch.rand(2, 4), "b": torch.rand(2, 5)}, split="b").inputs.shape
        torch.Size([2, 5])
    """
    x, target = _inputs_and_target([batch], split, positions)
    # A copy, because the training uses the same tensor and inference tensors allow no gradients.
    inputs = x[0].clone().cpu()
    return Examples(inputs, target.labels, targets=target.kind, target_columns=target.columns)


def read_singles(
    batches: Sequence[Any],
    split: Split | None,
    positions: Sequence[Any] | None,
    target_place: Place | None = None,
) -> tuple[list[Tensor], Target]:
    """Return the inputs, each ``(1, ...)``, and the targets of batches of one example each.

    If a batch has several rows, all are of the same example, and the first one is used.

    Args:
        batches: The batches, all of the same structure.
        split: See :func:`read_batch`.
        positions: Position of each example in the data set, if known.
        target_place: Where the targets are, if more examples have shown it.

    Raises:
        LeafError: If a batch has no tensor of inputs.
    """
    inputs, target = _inputs_and_target(batches, split, positions, 1, target_place)
    return [x[:1].clone().cpu() for x in inputs], target


def require_finite(inputs: Tensor) -> None:
    """Check that all inputs are finite.

    Raises:
        LeafError: If they contain NaN or infinity.
    """
    if inputs.is_floating_point() and not bool(inputs.isfinite().all()):
        bad = int((~inputs.flatten(1).isfinite().all(1)).sum())
        raise LeafError(
            f"A batch expects finite inputs; {bad} of {len(inputs)} inputs contain NaN or "
            "infinity. Remove them from the data set, or pass other inputs."
        )


def read_finite_batch(batch: Any, split: Split | None = None) -> Examples:
    """Return what :func:`read_batch` returns, after checking that all inputs are finite.

    Args:
        batch: See :func:`read_batch`.
        split: See :func:`read_batch`.

    Raises:
        LeafError: If the batch has no tensor of inputs, or it contains NaN or infinity.
    """
    examples = read_batch(batch, split)
    require_finite(examples.inputs)
    return examples


def _inputs_and_target(
    batches: Sequence[Any],
    split: Split | None,
    positions: Sequence[Any] | None,
    rows: int | None = None,
    target_place: Place | None = None,
) -> tuple[list[Tensor], Target]:
    """Return the inputs of batches of one structure, and the targets of all of them.

    Args:
        batches: Several batches of ``rows`` rows, or one batch.
        split: See :func:`read_batch`.
        positions: See :func:`read_batch`.
        rows: Number of rows to use of each batch; None for all.
        target_place: See :func:`read_singles`.
    """
    trees = [numeric_leaves(batch) for batch in batches]
    given: list[tuple[Any, Any, bool]] = []
    if split is not None:
        given = [split_batch(batch, split) for batch in batches]
        inputs = [
            _given_inputs(part[0], split, batch) for part, batch in zip(given, batches, strict=True)
        ]
        place: Place = next((at for at, leaf in trees[0].items() if _same(leaf, inputs[0])), ())
    else:
        place = input_place(trees[0], batches[0], rows)
        inputs = [_leaf_at(tree, place, batch) for tree, batch in zip(trees, batches, strict=True)]
    count = sum(len(x[:rows]) for x in inputs)
    if given and given[0][2]:
        ys = [as_tensor(y) for _, y, _ in given]
        return inputs, read_target(_joined(ys, rows), count)
    places = [at for at in trees[0] if all(at in tree for tree in trees)]
    joined = {at: _joined([tree[at] for tree in trees], rows) for at in places}
    # Inputs of different shapes are not joined, but their place matters.
    known = {
        at: trees[0][at] if leaf is None else leaf
        for at, leaf in joined.items()
        if leaf is not None or at == place
    }
    return inputs, choose_target(known, place, count, positions, target_place)


def _given_inputs(x: Any, split: Split, batch: Any) -> Tensor:
    inputs = as_tensor(x)
    if inputs is None or inputs.ndim < 2 or len(inputs) == 0:
        raise LeafError(
            f"batch={shown(split)} expects to find a tensor of inputs (B, ...) in each batch; got "
            f"{description(x)} in {description(batch)}."
        )
    return inputs


def _leaf_at(tree: dict[Place, Tensor], place: Place, batch: Any) -> Tensor:
    if place not in tree:
        raise no_inputs(batch)
    return tree[place]


def _joined(leaves: Sequence[Tensor | None], rows: int | None) -> Tensor | None:
    """Return the rows of all leaves as one tensor; None if their shapes differ."""
    parts = [leaf[:rows] for leaf in leaves if leaf is not None and leaf.ndim]
    if len(parts) != len(leaves) or len({(part.shape[1:], part.dtype) for part in parts}) != 1:
        return None
    return torch.cat([part.cpu() for part in parts])


def _same(leaf: Tensor, inputs: Tensor) -> bool:
    return leaf.shape == inputs.shape and leaf.data_ptr() == inputs.data_ptr()
