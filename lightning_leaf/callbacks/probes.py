"""On which inputs to measure: chosen once in a fit, the same ones again after a resume."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, default_collate

from lightning_leaf.data.batches import (
    Examples,
    class_names_of,
    examples_of,
    normalization_of,
)
from lightning_leaf.data.generators import unchanged_generators
from lightning_leaf.data.normalization import input_bounds
from lightning_leaf.errors import LeafError
from lightning_leaf.trainer import state as trainer_state

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from torch.utils.data import Dataset

    AnyDataset = Dataset[Any]
else:
    # Command lines look for subclasses of what stands here, and Dataset[Any] has none.
    from torch.utils.data import Dataset as AnyDataset

DEFAULT_COUNT = 8
"""Paths where data are given but no number is."""
CANDIDATES_PER_PATH = 16
"""Examples that are read for each path, to find different classes among them."""

LabelledBatch = tuple[Tensor, Tensor]
Inputs = int | list[int] | Tensor | LabelledBatch | AnyDataset
"""How many examples, which positions in the data set, or the examples themselves."""
Pairs = int | list[tuple[int, int]] | Tensor | LabelledBatch | AnyDataset


class ExamplePool:
    """What examples can be taken from: a data set, or the one batch that a hook was handed.

    Loaders are never iterated, because their generators and workers belong to the training: the
    data set is indexed and the loader's ``collate_fn`` makes the batch.
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
                        "Expected a data set that can be indexed, or a training batch, to take "
                        "examples from; got neither. Give the inputs (probe=, pairs=, starts=)."
                    )
                self._batch = examples_of(batch)
            else:
                dataset, self._collate = loader.dataset, loader.collate_fn
        elif not _has_positions(dataset):
            raise LeafError(
                "Expected a data set with at least one example, that has a length and can be "
                f"indexed; got {type(dataset).__name__}. Give the inputs themselves."
            )
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset) if self._batch is None else len(self._batch)

    def take(self, indices: Sequence[int]) -> Examples:
        """The examples at these positions.

        Raises:
            LeafError: If there is none, or one is outside the data set.
        """
        if not indices:
            raise LeafError("Expected at least one position in the data set; got an empty list.")
        if outside := [index for index in indices if not 0 <= index < len(self)]:
            raise LeafError(
                f"Expected positions from 0 to {len(self) - 1}, the size of the data set; got "
                f"{outside[0]}."
            )
        if self._batch is not None:
            return self._batch.select(indices)
        with unchanged_generators(self._dataset, self._collate):
            batch = self._collate([self._dataset[index] for index in indices])
        examples = examples_of(trainer_state.transferred(self._trainer, self._module, batch))
        return replace(
            examples,
            indices=tuple(indices),
            class_names=class_names_of(self._dataset),
            normalization=_plausible_normalization(self._dataset, examples.inputs),
        )

    def sample(self, count: int, seed: int) -> Examples:
        """``count`` examples, or as many as there are, in random order."""
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self), generator=generator)[:count]
        return self.take(order.tolist())


def choose_inputs(
    wanted: Inputs,
    trainer: Trainer,
    module: LightningModule,
    batch: Any,
    *,
    seed: int,
    default_count: int = DEFAULT_COUNT,
) -> Examples:
    """The examples that a ``probe=`` or ``starts=`` argument stands for.

    Call it inside :func:`~lightning_leaf.model.quiet.quiet`: reading a data set may draw random
    numbers.

    Raises:
        LeafError: If they cannot be had.
    """
    _seed_global_streams(seed)
    if isinstance(wanted, (Tensor, tuple)):
        return examples_of(wanted)
    if isinstance(wanted, list):
        return ExamplePool(trainer, module, batch).take(wanted)
    if isinstance(wanted, int):
        return ExamplePool(trainer, module, batch).sample(wanted, seed)
    return ExamplePool(trainer, module, batch, wanted).sample(default_count, seed)


def choose_pairs(
    wanted: Pairs, trainer: Trainer, module: LightningModule, batch: Any, *, seed: int
) -> tuple[Examples, Examples]:
    """The sources and destinations that a ``pairs=`` argument stands for.

    Raises:
        LeafError: If they cannot be had, or the examples are all of one class.
    """
    _seed_global_streams(seed)
    if isinstance(wanted, tuple) and _are_ends(wanted):
        sources, destinations = map(examples_of, wanted)
        if len(sources) != len(destinations):
            raise LeafError(
                "Pairs expect one destination for each source; got "
                f"{len(sources)} and {len(destinations)}."
            )
        return sources, destinations
    if isinstance(wanted, list):
        pool = ExamplePool(trainer, module, batch)
        both = pool.take([index for pair in wanted for index in pair])
        return both.select(range(0, len(both), 2)), both.select(range(1, len(both), 2))
    if isinstance(wanted, (Tensor, tuple)):
        return pair_up(examples_of(wanted), DEFAULT_COUNT, seed)
    count, dataset = (wanted, None) if isinstance(wanted, int) else (DEFAULT_COUNT, wanted)
    pool = ExamplePool(trainer, module, batch, dataset)
    return pair_up(pool.sample(CANDIDATES_PER_PATH * count, seed), count, seed)


def pair_up(examples: Examples, count: int, seed: int) -> tuple[Examples, Examples]:
    """Pairs of examples of different classes, spread over the classes.

    With the classes in a random circle, the first pairs lead from each class to the next, the
    second round from each to the one after, and so on; every example is used as long as there
    are unused ones. Without labels: pairs of successive examples.

    Raises:
        LeafError: If there are fewer than two examples, or only one class.
    """
    if examples.labels is None:
        count = min(count, len(examples) // 2)
        if count == 0:
            raise LeafError("A pair expects two examples; got one. Give more (pairs=).")
        rows = range(2 * count)
        return examples.select(rows[::2]), examples.select(rows[1::2])

    members: dict[int, list[int]] = defaultdict(list)
    for row, label in enumerate(examples.labels):
        members[label].append(row)
    if len(members) < 2:
        raise LeafError(
            f"Pairs expect examples of different classes; all {len(examples)} that were read are "
            f"of class {examples.name(0)}. Give pairs=[(i, j), …], positions in the data set."
        )
    circle = sorted(members)
    random.Random(seed).shuffle(circle)
    used = dict.fromkeys(circle, 0)

    def next_of(label: int) -> int:
        used[label] += 1
        return members[label][(used[label] - 1) % len(members[label])]

    sources, destinations = [], []
    for pair in range(count):
        lap, position = divmod(pair, len(circle))
        ahead = 1 + lap % (len(circle) - 1)
        sources.append(next_of(circle[position]))
        destinations.append(next_of(circle[(position + ahead) % len(circle)]))
    return examples.select(sources), examples.select(destinations)


def _is_indexable(loader: Any) -> bool:
    """Whether the loader makes batches of single items of a data set that can be indexed."""
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


def _are_ends(pair: tuple[Any, ...]) -> bool:
    """Whether a tuple holds sources and destinations, rather than inputs and labels."""
    return (
        len(pair) == 2
        and all(isinstance(part, Tensor) and part.ndim > 1 for part in pair)
        and pair[0].shape[1:] == pair[1].shape[1:]
    )


def _plausible_normalization(dataset: Any, inputs: Tensor) -> Any:
    """The data set's normalisation, unless it leads these inputs to no pixels."""
    normalization = normalization_of(dataset)
    if normalization is None or not inputs.is_floating_point():
        return None
    try:
        bounds = input_bounds(inputs, normalization, None)
    except LeafError:  # another number of channels: a later transform has changed them
        return None
    assert bounds is not None
    slack = 1e-3 * (bounds[1] - bounds[0])
    inside = (inputs >= bounds[0] - slack) & (inputs <= bounds[1] + slack)
    return normalization if bool(inside.all()) else None


def _seed_global_streams(seed: int) -> None:
    """Random transforms make the same examples in every fit; the caller restores the streams."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    # torch.manual_seed would also seed accelerators, whose streams are restored only if in use.
    torch.default_generator.manual_seed(seed)
