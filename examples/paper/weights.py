"""The weights in the role of the input: equation 5 is equation 6 with weights and input swapped."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap


def weights_of(network: nn.Module) -> Tensor:  # (1, |W|)
    """Return all weights as one input."""
    return torch.cat([weight.flatten() for weight in network.parameters()]).unsqueeze(0).detach()


def scores_of_weights(network: nn.Module, image: Tensor) -> Callable[[Tensor], Tensor]:
    """Return w ↦ s(image, w) for batches of weights: the classifier with local data matrix F.

    G of this function at w is the local Fisher matrix F(x, w) of the network at the image x.
    """
    names = [(name, weight.shape) for name, weight in network.named_parameters()]

    def scores(flat: Tensor) -> Tensor:  # (|W|,) -> (C,)
        pieces = torch.split(flat, [shape.numel() for _, shape in names])
        weights = {
            name: piece.reshape(shape) for (name, shape), piece in zip(names, pieces, strict=True)
        }
        output: Tensor = functional_call(network, weights, (image.unsqueeze(0),))
        return output[0]

    def of_batch(flat: Tensor) -> Tensor:  # (B, |W|) -> (B, C)
        if len(flat) == 1:
            return scores(flat[0]).unsqueeze(0)
        stacked: Tensor = vmap(scores)(flat)
        return stacked

    return of_batch
