"""What users pass as inputs: positions in any sequence, tensors, and names of classes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from lightning_leaf._arguments import listed
from lightning_leaf.errors import LeafError, shown

MOST_POSITIONS = 10**7
"""Largest number of positions in a data set that are given."""
INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def require_no_text(wanted: Any, name: str) -> None:
    """Raise LeafError if an argument that takes inputs, or their positions, is text."""
    if isinstance(wanted, (str, bytes)):
        raise LeafError(
            f"{name} expects how many examples to choose, their positions in the data set, or "
            f"tensors of inputs; got {shown(wanted)}."
        )


def as_number(value: Any) -> int | None:
    """Return a whole number of Python, NumPy or torch as an int; None for anything else."""
    if isinstance(value, Tensor):
        return int(value) if value.ndim == 0 and value.dtype in INTEGERS else None
    if isinstance(value, (bool, np.bool_, np.ndarray)) or not hasattr(value, "__index__"):
        return None
    return int(value)


def as_positions(wanted: Any) -> list[int] | None:
    """Return positions in a data set that are given as a sequence of whole numbers.

    The sequence can be a list, a tuple, a range, a list of a configuration, an array or a tensor.

    Args:
        wanted: The argument; None is returned if it is something else.
    """
    if isinstance(wanted, Tensor):
        wanted = wanted.detach().cpu().numpy() if wanted.dtype in INTEGERS else None
    if isinstance(wanted, np.ndarray):
        is_vector = wanted.ndim == 1 and wanted.dtype.kind in "iu"
        return [int(each) for each in wanted] if is_vector else None
    if not _is_sequence(wanted):
        return None
    numbers = [as_number(each) for each in listed(wanted, "positions", MOST_POSITIONS)]
    return None if None in numbers else [number for number in numbers if number is not None]


def as_pairs_of_positions(wanted: Any) -> list[tuple[int, int]] | None:
    """Return pairs of positions in a data set that are given as nested sequences.

    Args:
        wanted: The argument; None is returned if it is something else.
    """
    if isinstance(wanted, (Tensor, np.ndarray)):
        if wanted.ndim != 2 or wanted.shape[1] != 2:
            return None
    elif not _is_sequence(wanted):
        return None
    pairs = [as_positions(each) for each in listed(wanted, "pairs", MOST_POSITIONS)]
    if any(pair is None or len(pair) != 2 for pair in pairs):
        return None
    return [(pair[0], pair[1]) for pair in pairs if pair is not None]


def names_for(
    given: Sequence[str] | None, found: Sequence[str] | None, module: Any
) -> tuple[str, ...] | None:
    """Return the names of all classes: those given, else of the data set, else of the module."""
    names = given if given is not None else found if found is not None else names_of(module)
    return None if names is None else tuple(str(name) for name in names)


def names_of(module: Any) -> tuple[str, ...] | None:
    """Return the class names that a module stores; None if it stores none.

    Names are read from the ``id2label`` of a Hugging Face model's ``config``, of the module, of one
    of its sub-modules or of its hyperparameters, or from the hyperparameters' ``class_names``.
    Properties are not evaluated.

    Args:
        module: A module.
    """
    if not isinstance(module, nn.Module):
        return None
    parameters = vars(module).get("_hparams") or {}
    for part in (module, *module.children()):
        for holder in (part, vars(part).get("config")):
            names = _names_by_number(getattr(holder, "__dict__", {}).get("id2label"))
            if names is not None:
                return names
    names = _names_by_number(parameters.get("id2label"))
    listed = parameters.get("class_names")
    if names is None and _is_sequence(listed) and listed:
        return tuple(str(name) for name in listed)
    return names


def _names_by_number(mapping: Any) -> tuple[str, ...] | None:
    if not isinstance(mapping, Mapping) or not mapping:
        return None
    try:
        names = {int(number): str(name) for number, name in mapping.items()}
    except (TypeError, ValueError):
        return None
    # Hugging Face's names for classes without names.
    unnamed = all(re.fullmatch(r"LABEL_\d+", name) for name in names.values())
    if unnamed or sorted(names) != list(range(len(names))):
        return None
    return tuple(names[number] for number in range(len(names)))


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, Dataset))
