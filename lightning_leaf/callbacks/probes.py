"""The inputs of a probe: chosen once per fit, and the same inputs after a resume."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from lightning_leaf.callbacks.example_pool import ExamplePool, seed_global_streams
from lightning_leaf.data.batches import Examples, Split, read_finite_batch

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from torch.utils.data import Dataset

    AnyDataset = Dataset[Any]
else:
    # jsonargparse looks for subclasses of this annotation; Dataset[Any] has none.
    from torch.utils.data import Dataset as AnyDataset

DEFAULT_COUNT = 8
"""Examples or pairs taken from a data set if their number is not given."""

LabelledBatch = tuple[Tensor, Tensor]
Inputs = int | list[int] | Tensor | LabelledBatch | AnyDataset
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
    if isinstance(wanted, (Tensor, tuple)):
        return read_finite_batch(wanted)
    if isinstance(wanted, list):
        return ExamplePool(trainer, module, batch).take(wanted)
    if isinstance(wanted, int):
        return ExamplePool(trainer, module, batch).sample(wanted, seed)
    return ExamplePool(trainer, module, batch, wanted).sample(default_count, seed)
