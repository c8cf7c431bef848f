"""A sharded module with the same outputs and gradients on all processes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lightning_leaf.model.forward import Forward, forward_function
from lightning_leaf.model.outputs import find_scores


class RankZeroModule(nn.Module):
    """A module with the scores, and the gradients with respect to inputs, of rank zero.

    All processes evaluate a sharded module together, so all must take the same decisions. Their
    results can differ in the last bits. This module broadcasts those of rank zero.

    Args:
        module: The sharded module.
        forward: How to call it, see :func:`~lightning_leaf.model.forward.forward_function`.
        classes: Expected number of classes, see :func:`~lightning_leaf.model.outputs.find_scores`.
    """

    def __init__(
        self, module: nn.Module, forward: Forward | None = None, classes: int | None = None
    ) -> None:
        super().__init__()
        self.module = module
        self._function = forward_function(module, forward)
        self._classes = classes

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of rank zero."""
        output = self._function(self.module, _BroadcastGradient.apply(x))
        return _BroadcastScores.apply(find_scores(output, len(x), self._classes))  # type: ignore[no-any-return]


class _BroadcastScores(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> Tensor:
        scores = scores.contiguous().clone()
        dist.broadcast(scores, src=0)
        return scores

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        if torch._C._functorch.is_batchedtensor(gradients[0]):
            # Raise here, before the hooks of a sharded module receive a batched gradient.
            raise RuntimeError(
                "The backward pass of a sharded module expects one gradient at a time; got a "
                "batched gradient (torch.vmap). Run one backward pass for each class."
            )
        return gradients[0]


class _BroadcastGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        gradient = gradients[0].contiguous().clone()
        dist.broadcast(gradient, src=0)
        return gradient
