"""Pairs of examples of different classes: the sources and destinations of horizontal paths."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.utils.data import Dataset

from lightning_leaf.callbacks.example_pool import ExamplePool
from lightning_leaf.callbacks.probes import DEFAULT_COUNT, AnyDataset, LabelledBatch
from lightning_leaf.callbacks.user_inputs import as_number, as_pairs_of_positions, names_for
from lightning_leaf.data.batches import Examples, Split, read_finite_batch
from lightning_leaf.data.workers import seed_global_streams
from lightning_leaf.errors import LeafError

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

CANDIDATES_PER_PAIR = 16
"""Examples read from the data set for each pair, to find different classes among them."""

Pairs = int | Sequence[tuple[int, int]] | Tensor | LabelledBatch | AnyDataset
"""The number of pairs, their positions in the data set, or the inputs themselves."""


def choose_pairs(
    wanted: Pairs,
    trainer: Trainer,
    module: LightningModule,
    batch: Any,
    *,
    seed: int,
    default_count: int = DEFAULT_COUNT,
    split: Split | None = None,
    class_names: Sequence[str] | None = None,
) -> tuple[Examples, Examples]:
    """Return the sources and destinations that a ``pairs=`` argument describes.

    Call this function inside :func:`~lightning_leaf.model.quiet.quiet`: it seeds the global random
    number generators, and reading a data set may draw random numbers.

    Args:
        wanted: The argument.
        trainer: The trainer, whose data sets are used.
        module: The module, whose batch transfer hooks are applied.
        batch: The current training batch, if there is one.
        seed: Seed for choosing the pairs.
        default_count: Pairs taken from a data set that is given.
        split: Where inputs and labels are in a batch, see
            :func:`~lightning_leaf.data.batches.read_batch`.
        class_names: Names of all classes. Default: those of the data set or the module.

    Raises:
        LeafError: If no such examples exist, or all examples are of one class.
    """
    seed_global_streams(seed)
    names = names_for(class_names, None, module)
    if isinstance(wanted, (tuple, list)) and _are_sources_and_destinations(wanted):
        sources, destinations = (
            replace(read_finite_batch(part), class_names=names) for part in wanted
        )
        if len(sources) != len(destinations):
            raise LeafError(
                "pairs expects one destination for each source; got "
                f"{len(sources)} sources and {len(destinations)} destinations."
            )
        return sources, destinations
    if not isinstance(wanted, Dataset) and (given := as_pairs_of_positions(wanted)) is not None:
        pool = ExamplePool(trainer, module, batch, split=split, class_names=class_names)
        both = pool.take([index for pair in given for index in pair], seed)
        return both.select(range(0, len(both), 2)), both.select(range(1, len(both), 2))
    if isinstance(wanted, (Tensor, tuple)):
        examples = replace(read_finite_batch(wanted), class_names=names)
        return pair_up(examples, default_count, seed)
    number = as_number(wanted)
    count, dataset = (default_count, wanted) if number is None else (number, None)
    pool = ExamplePool(trainer, module, batch, dataset, split=split, class_names=class_names)
    candidates = pool.sample(CANDIDATES_PER_PAIR * count, seed)
    if pool.shapes_differ and len(set(candidates.labels or (0, 1))) < 2:
        raise LeafError(
            "pairs expects inputs of one shape and of different classes, because a path keeps the "
            f"shape of its source; all inputs of shape {tuple(candidates.inputs.shape[1:])} are of "
            f"class {candidates.name(0)}. Resize the inputs in a transform of the data set, or "
            "pass pairs=(sources, destinations)."
        )
    return pair_up(candidates, count, seed)


def pair_up(examples: Examples, count: int, seed: int) -> tuple[Examples, Examples]:
    """Return pairs of examples of different classes, spread over the classes.

    The classes are arranged in a circle in random order. The first pairs join each class and the
    next one, the second round joins each class and the one after the next, and so on. An example
    is used again only after all examples of its class are used. Without labels, pairs are
    successive examples.

    Raises:
        LeafError: If there are fewer than two examples, or only one class.
    """
    if examples.labels is None:
        count = min(count, len(examples) // 2)
        if count == 0:
            raise LeafError("pairs expects at least two examples; got one. Pass more inputs.")
        rows = range(2 * count)
        return examples.select(rows[::2]), examples.select(rows[1::2])

    members: dict[int, list[int]] = defaultdict(list)
    for row, label in enumerate(examples.labels):
        members[label].append(row)
    if len(members) < 2:
        raise LeafError(
            f"pairs expects examples of different classes; all {len(examples)} examples that were "
            f"read are of class {examples.name(0)}. Pass positions in the data set, such as "
            "pairs=[(0, 1), (2, 3)]."
        )
    labels = sorted(members)
    random.Random(seed).shuffle(labels)
    used = dict.fromkeys(labels, 0)

    def next_of(label: int) -> int:
        used[label] += 1
        return members[label][(used[label] - 1) % len(members[label])]

    sources, destinations = [], []
    for pair in range(count):
        lap, position = divmod(pair, len(labels))
        ahead = 1 + lap % (len(labels) - 1)
        sources.append(next_of(labels[position]))
        destinations.append(next_of(labels[(position + ahead) % len(labels)]))
    return examples.select(sources), examples.select(destinations)


def _are_sources_and_destinations(pair: Sequence[Any]) -> bool:
    """Return whether a tuple holds sources and destinations, and not inputs and labels."""
    return (
        len(pair) == 2
        and all(isinstance(part, Tensor) and part.ndim > 1 for part in pair)
        and pair[0].shape[1:] == pair[1].shape[1:]
    )
