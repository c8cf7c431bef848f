"""A sharded module with the same outputs and gradients on all processes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lightning_leaf.model.outputs import find_scores


class RankZeroModule(nn.Module):
    """A module with the scores, and the gradients with respect to inputs, of rank zero.

    All processes evaluate a sharded module together, so all must take the same decisions. Their
    results can differ in the last bits. This module broadcasts those of rank zero.

    Args:
        module: The sharded module.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of rank zero."""
        return _BroadcastScores.apply(find_scores(self.module(_BroadcastGradient.apply(x))))  # type: ignore[no-any-return]


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
