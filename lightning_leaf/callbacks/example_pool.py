"""The examples of a trainer from which probes and pairs are chosen."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, default_collate

from lightning_leaf.data.batches import Examples, Split, read_finite_batch
from lightning_leaf.data.dataset_attributes import class_names_of, normalization_of
from lightning_leaf.data.generators import unchanged_generators
from lightning_leaf.data.normalization import input_bounds
from lightning_leaf.errors import LeafError
from lightning_leaf.trainer import state as trainer_state

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


class ExamplePool:
    """A data set, or else the current batch, from which examples are chosen.

    Data loaders are never iterated, because their generators and workers belong to the training.
    Instead, the pool indexes the data set, and the loader's ``collate_fn`` makes the batch.

    Args:
        trainer: The trainer.
        module: The module, whose batch transfer hooks are applied.
        batch: The current training batch, if there is one; used if no data set can be indexed.
        dataset: The data set. Default: that of the first validation loader whose data set can be
            indexed, else that of a training loader.

    Raises:
        LeafError: If the data set cannot be indexed, or there is neither a data set nor a batch.
    """

    def __init__(
        self, trainer: Trainer, module: LightningModule, batch: Any, dataset: Any = None
    ) -> None:
        self._trainer, self._module = trainer, module
        self._collate: Any = default_collate
        self._batch: Examples | None = None
        if dataset is None:
            loader = next(filter(_is_indexable, trainer_state.loaders(trainer)), None)
            if loader is None:
                if batch is None:
                    raise LeafError(
                        "Expected a data set that can be indexed, or a training batch, from which "
                        "to choose examples; got neither. Pass the inputs themselves, for example "
                        "probe=x, pairs=(sources, destinations) or starts=x."
                    )
                self._batch = read_finite_batch(batch)
            else:
                dataset, self._collate = loader.dataset, loader.collate_fn
        elif not _has_positions(dataset):
            raise LeafError(
                "Expected a data set with a length of at least one that can be indexed; got "
                f"{type(dataset).__name__}. Pass a tensor of inputs instead."
            )
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset) if self._batch is None else len(self._batch)

    def take(self, indices: Sequence[int]) -> Examples:
        """Return the examples at these positions.

        Raises:
            LeafError: If there are no positions, or one is outside the data set.
        """
        if not indices:
            raise LeafError("Expected at least one position in the data set; got an empty list.")
        if outside := [index for index in indices if not 0 <= index < len(self)]:
            raise LeafError(
                f"Expected positions from 0 to {len(self) - 1}, because the data set has "
                f"{len(self)} examples; got {outside[0]}."
            )
        if self._batch is not None:
            return self._batch.select(indices)
        with unchanged_generators(self._dataset, self._collate):
            batch = self._collate([self._dataset[index] for index in indices])
        examples = read_finite_batch(trainer_state.transferred(self._trainer, self._module, batch))
        return replace(
            examples,
            indices=tuple(indices),
            class_names=class_names_of(self._dataset),
            normalization=_plausible_normalization(self._dataset, examples.inputs),
        )

    def sample(self, count: int, seed: int) -> Examples:
        """Return ``count`` examples in random order, or all if there are fewer."""
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self), generator=generator)[:count]
        return self.take(order.tolist())


def labels_seen(
    trainer: Trainer, split: Split | None, seed: int, count: int = 64
) -> tuple[int, ...] | None:
    """Return the labels of a random sample of the data set from which examples are chosen.

    Call this function inside of :func:`~lightning_leaf.model.quiet.quiet`, like
    :func:`~lightning_leaf.callbacks.probes.choose_inputs`.

    Args:
        trainer: The trainer, whose data sets are used.
        split: Where inputs and labels are in a batch, see
            :func:`~lightning_leaf.data.batches.read_batch`.
        seed: Seed for choosing the sample.
        count: Size of the sample.

    Returns:
        Class numbers; None if they are unknown.
    """
    return None


def seed_global_streams(seed: int) -> None:
    """Seed the global random number generators, so that random transforms repeat in each fit.

    The caller restores their states.
    """
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    # torch.manual_seed would also seed accelerators, whose states are restored only if in use.
    torch.default_generator.manual_seed(seed)


def _is_indexable(loader: Any) -> bool:
    """Return whether the loader makes batches of single items of a data set with positions."""
    return getattr(loader, "batch_sampler", None) is not None and _has_positions(
        getattr(loader, "dataset", None)
    )


def _has_positions(dataset: Any) -> bool:
    return (
        hasattr(dataset, "__getitem__")
        and hasattr(dataset, "__len__")
        and not isinstance(dataset, IterableDataset)
        and len(dataset) > 0
    )


def _plausible_normalization(dataset: Any, inputs: Tensor) -> Any:
    """Return the data set's normalization, or None if it does not map these inputs to pixels."""
    normalization = normalization_of(dataset)
    if normalization is None or not inputs.is_floating_point():
        return None
    try:
        bounds = input_bounds(inputs, normalization, None)
    except LeafError:  # a later transform has changed the number of channels
        return None
    assert bounds is not None
    slack = 1e-3 * (bounds[1] - bounds[0])
    inside = (inputs >= bounds[0] - slack) & (inputs <= bounds[1] + slack)
    return normalization if bool(inside.all()) else None
