"""Whether a callback that averages weights has replaced the weights that were trained."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lightning_leaf.model.accelerators import has_float64
from lightning_leaf.trainer import state as trainer_state

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

AVERAGING = re.compile(r"Averag|EMA|Ema(?![a-z])|SWA")
"""Names of callbacks that average weights, of Lightning and of other packages."""


def averages_weights(trainer: Trainer) -> bool:
    """Return whether the trainer has a callback that averages weights."""
    # By name: the callbacks of lightning.pytorch and of pytorch_lightning are different classes.
    return any(
        AVERAGING.search(kind.__name__)
        for callback in trainer_state.callbacks_of(trainer)
        for kind in type(callback).__mro__
    )


class TrainedWeights:
    """A record of the weights at the end of the last epoch, as one number for each parameter.

    At the end of a fit, Lightning's averaging callbacks write the averaged weights into the module:
    some before the LEAF callbacks run and some after them, which depends on the order of the
    callbacks; StochasticWeightAveraging of a module with batch-norm always before. Therefore the
    weights themselves are compared.

    Args:
        trainer: The trainer. Without a callback that averages weights, nothing is recorded.

    Attributes:
        averaged: Whether the trainer has a callback that averages weights.
        training: Whether the current epoch trains the weights.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.averaged = averages_weights(trainer)
        self.training = False
        self._sums: list[Tensor] | None = None

    def record(self, module: nn.Module) -> None:
        """Record the weights at the end of an epoch in which they were trained."""
        if self.averaged and self.training:
            self._sums = _sums(module)

    def were_replaced(self, module: nn.Module) -> bool:
        """Return whether the weights of the module are others than the recorded ones."""
        if self._sums is None:
            return False
        now = _sums(module)
        # NaN equals NaN here: weights that have diverged were not replaced.
        pairs = zip(self._sums, now, strict=True) if len(now) == len(self._sums) else ()
        return not all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in pairs)


def _sums(module: nn.Module) -> list[Tensor]:
    return [
        _sum(parameter.detach())
        for parameter in module.parameters()
        # Others, such as sharded and uninitialized ones, have no plain sum.
        if type(parameter) is nn.Parameter and parameter.is_floating_point()
    ]


def _sum(values: Tensor) -> Tensor:
    values = values if has_float64(values.device) else values.cpu()
    return values.sum(dtype=torch.float64).cpu()
