"""The inputs of a probe: chosen once per fit, and the same inputs after a resume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from lightning_leaf.callbacks.example_pool import ExamplePool
from lightning_leaf.callbacks.user_inputs import as_number, as_positions, names_for
from lightning_leaf.data.batches import Examples, Split, read_finite_batch
from lightning_leaf.data.workers import seed_global_streams

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

    AnyDataset = Dataset[Any]
else:
    # jsonargparse looks for subclasses of this annotation; Dataset[Any] has none.
    AnyDataset = Dataset

DEFAULT_COUNT = 8
"""Examples or pairs taken from a data set if their number is not given."""

LabelledBatch = tuple[Tensor, Tensor]
Inputs = int | Sequence[int] | Tensor | LabelledBatch | AnyDataset
"""The number of inputs, their positions in the data set, or the inputs themselves."""


def choose_inputs(
    wanted: Inputs,
    trainer: Trainer,
    module: LightningModule,
    batch: Any,
    *,
    seed: int,
    default_count: int = DEFAULT_COUNT,
    split: Split | None = None,
    class_names: Sequence[str] | None = None,
) -> Examples:
    """Return the examples that a ``probe=`` or ``starts=`` argument describes.

    Call this function inside :func:`~lightning_leaf.model.quiet.quiet`: it seeds the global random
    number generators, and reading a data set may draw random numbers.

    Args:
        wanted: The argument.
        trainer: The trainer, whose data sets are used.
        module: The module, whose batch transfer hooks are applied.
        batch: The current training batch, if there is one.
        seed: Seed for choosing the examples.
        default_count: Examples taken from a data set that is given.
        split: Where inputs and labels are in a batch, see
            :func:`~lightning_leaf.data.batches.read_batch`.
        class_names: Names of all classes. Default: those of the data set or the module.

    Raises:
        LeafError: If no such examples exist.
    """
    seed_global_streams(seed)
    if not isinstance(wanted, Dataset) and (positions := as_positions(wanted)) is not None:
        pool = ExamplePool(trainer, module, batch, split=split, class_names=class_names)
        return pool.take(positions, seed)
    if isinstance(wanted, (Tensor, np.ndarray)) or _holds_tensors(wanted):
        names = names_for(class_names, None, module)
        return replace(read_finite_batch(wanted), class_names=names)
    number = as_number(wanted)
    count, dataset = (default_count, wanted) if number is None else (number, None)
    pool = ExamplePool(trainer, module, batch, dataset, split=split, class_names=class_names)
    return pool.sample(count, seed)


def _holds_tensors(wanted: Any) -> bool:
    return isinstance(wanted, (tuple, list)) and any(isinstance(part, Tensor) for part in wanted)
