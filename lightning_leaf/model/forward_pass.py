"""One way to run the forward pass of a model during a measurement."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lightning_leaf.model.forward import Calling
from lightning_leaf.model.model_tensors import ModelTensors
from lightning_leaf.model.no_grad import ThroughNoGrad
from lightning_leaf.model.outputs import score_rows
from lightning_leaf.model.precision import FullPrecision, Precision
from lightning_leaf.model.recurrent import RecurrentWithoutCuDNN, without_cudnn
from lightning_leaf.model.watch import Watch


@dataclass(frozen=True)
class ForwardPass:
    """A function from inputs to rows of scores.

    Attributes:
        model: The model.
        function: Calls it, see :func:`~lightning_leaf.model.forward.forward_function`.
        tensors: Those of the model.
        classes: Expected number of classes, if known.
        precision: In which precision to run.
        device: Device of the inputs that the model gets; None for the device they are on.
        through_no_grad: Whether ``torch.no_grad()`` in the model has no effect.
        recurrent: Whether the model calls recurrent layers.
    """

    model: Any
    function: Callable[[Any, Tensor], Any]
    tensors: ModelTensors = field(repr=False)
    classes: int | None
    precision: Precision
    device: torch.device | None = None
    through_no_grad: bool = False
    recurrent: bool = False

    def __call__(self, x: Tensor, watch: Watch | None = None) -> Tensor:  # (B, ...) -> (B, C)
        """Return the scores, in the type and on the device of x.

        Args:
            x: Inputs.
            watch: Records the operations of the forward pass.

        Raises:
            LeafError: If the output is not one row of scores for each input.
        """
        tensors, precision = self.tensors, self.precision
        dtype = precision.inputs if x.is_floating_point() else None
        # A copy to another device is part of the graph, as the one of the scores back from it.
        inputs = x.to(device=self.device or x.device, dtype=dtype or x.dtype)
        copies = tensors.full_copies() if precision.copies else {}
        with ExitStack() as modes:
            if precision.full:
                dtype = x.dtype if precision.inputs is None else tensors.dtype
                modes.enter_context(FullPrecision(dtype, inputs.device))
            if tensors.scripted_recurrent:  # nothing can intercept their calls
                modes.enter_context(without_cudnn())
            elif self.recurrent:
                modes.enter_context(RecurrentWithoutCuDNN())
            if self.through_no_grad:
                modes.enter_context(ThroughNoGrad(tensors))
            if watch is not None:
                modes.enter_context(watch)
            if copies:
                calling = Calling(self.model, self.function)
                named = {f"model.{name}": copy for name, copy in copies.items()}
                # Shared modules would not be restored if names were tied here.
                output = torch.func.functional_call(calling, named, inputs, tie_weights=False)
            else:
                output = self.function(self.model, inputs)
        scores = score_rows(output, len(x), self.classes)
        return scores.to(device=x.device, dtype=x.dtype if x.is_floating_point() else scores.dtype)


def weighted(scores: Tensor) -> Tensor:  # (B, C) -> (B,)
    """Return an unequally weighted sum: that of log-probabilities hardly changes with the input."""
    count = scores.shape[1]
    return scores @ torch.arange(1, count + 1, dtype=scores.dtype, device=scores.device)
