"""Batches as a tree: the tensors in it, and lookups by key."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_leaf.errors import LeafError, shown

Place = tuple[Any, ...]
"""Keys, positions and names of fields that lead to a leaf of a batch."""

MAX_KEYS = 1000
"""Largest number of keys of an object that behaves like a mapping."""
DEPTH = 6
"""Depth up to which a batch is searched."""


def numeric_leaves(batch: Any) -> dict[Place, Tensor]:
    """Return all tensors of a batch by their places, in order.

    Arrays and lists of numbers count as tensors. Tuples, lists, mappings (also those that only
    behave like one), dataclasses and other objects with attributes are searched.
    """
    return {
        place: tensor
        for place, leaf in _leaves(batch, (), DEPTH)
        if (tensor := as_tensor(leaf)) is not None
    }


def first_rows(batch: Any) -> dict[str, Tensor]:
    """Return the first row, ``(1, ...)``, of each tensor of a mapping by its key."""
    leaves = numeric_leaves(batch).items() if _is_mapping(batch) else ()
    named = ((place[0], leaf) for place, leaf in leaves if len(place) == 1)
    return {key: leaf[:1].cpu().clone() for key, leaf in named if isinstance(key, str)}


def as_tensor(leaf: Any) -> Tensor | None:
    """Return a leaf as a tensor with at least one axis, detached; None if it has no numbers."""
    if isinstance(leaf, Tensor):
        return leaf.detach() if leaf.ndim and leaf.layout is torch.strided else None
    if isinstance(leaf, np.ndarray) and leaf.ndim and leaf.dtype.kind in "biuf":
        return torch.as_tensor(leaf)
    if isinstance(leaf, (list, tuple)) and leaf and all(map(_is_number, leaf)):
        return torch.tensor(leaf)
    return None


def look_up(batch: Any, key: Any) -> Any:
    """Return what a key, a position or a dotted name refers to in a batch.

    Raises:
        LookupError: If there is nothing.
    """
    if _is_mapping(batch) and key in _keys(batch):
        return batch[key]
    if isinstance(key, str) and "." in key:
        first, _, rest = key.partition(".")
        return look_up(look_up(batch, first), rest)
    if isinstance(batch, Sequence) and not isinstance(batch, str):
        position = int(key) if isinstance(key, int) or key.lstrip("-").isdigit() else None
        if position is not None:
            return batch[position]
    if isinstance(key, str) and key.isidentifier() and hasattr(batch, key):
        return getattr(batch, key)
    raise LookupError(key)


def imported(name: str) -> Callable[[Any], Any] | None:
    """Return the function of a dotted name, ``"package.module.function"``; None if none exists."""
    path, _, function = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(path), function, None) if path else None
    except ModuleNotFoundError as error:
        if error.name is None or not (path + ".").startswith(error.name + "."):
            raise
        return None
    return found if callable(found) else None


def split_batch(batch: Any, split: Any) -> tuple[Any, Any, bool]:
    """Return the inputs and the labels that a ``batch=`` argument refers to.

    Args:
        batch: A batch.
        split: One key, that of the inputs; several, those of inputs and labels; or a function from
            the batch to the inputs or to inputs and labels, or its importable dotted name.

    Returns:
        Inputs, labels, and whether the labels were asked for.

    Raises:
        LeafError: If the batch has no such key, or the function returns something else.
    """
    if isinstance(split, str):
        try:
            return look_up(batch, split), None, False
        except LookupError:
            split = imported(split) or (split,)
    if callable(split):
        found = split(batch)
        if isinstance(found, (tuple, list)) and len(found) == 2:
            return found[0], found[1], True
        return found, None, False
    keys = list(split)
    if not 1 <= len(keys) <= 2:
        raise LeafError(
            "batch expects the key of the inputs, or the keys of inputs and labels, for example "
            f'batch=("pixels", "target"); got {shown(split)}.'
        )
    try:
        found = [look_up(batch, key) for key in keys]
    except LookupError as error:
        raise LeafError(
            f"batch={shown(split)} expects these keys in each batch; got {description(batch)}."
        ) from error
    return found[0], found[1] if len(found) == 2 else None, len(found) == 2


def description(batch: Any) -> str:
    """Return what a batch is, for messages."""
    if _is_mapping(batch):
        return f"a dict with the keys {', '.join(map(repr, _keys(batch)))}"
    if isinstance(batch, (list, tuple)):
        return f"a {type(batch).__name__} of {', '.join(type(part).__name__ for part in batch)}"
    if isinstance(batch, Tensor):
        return f"a tensor of shape {tuple(batch.shape)}"
    return type(batch).__name__


def _leaves(tree: Any, place: Place, depth: int) -> Iterator[tuple[Place, Any]]:
    if depth and as_tensor(tree) is None:
        for key, part in _parts(tree):
            yield from _leaves(part, (*place, key), depth - 1)
    else:
        yield place, tree


def _parts(tree: Any) -> list[tuple[Any, Any]]:
    if tree is None or isinstance(tree, (str, bytes, int, float, complex, type)) or callable(tree):
        return []
    if isinstance(tree, Mapping):
        return list(tree.items())
    if _is_mapping(tree):
        keys = _keys(tree)
        return [(key, tree[key]) for key in keys] if len(keys) <= MAX_KEYS else []  # not a table
    if isinstance(tree, (list, tuple)):
        return list(enumerate(tree))
    if dataclasses.is_dataclass(tree):
        return [(field.name, getattr(tree, field.name)) for field in dataclasses.fields(tree)]
    return list(getattr(tree, "__dict__", {}).items())


def _is_mapping(tree: Any) -> bool:
    if isinstance(tree, Mapping):
        return True
    kind = type(tree)
    return hasattr(kind, "keys") and hasattr(kind, "__getitem__") and not isinstance(tree, Tensor)


def _keys(tree: Any) -> list[Any]:
    return list(tree.keys() if callable(tree.keys) else tree.keys)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number))
