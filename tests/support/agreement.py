"""The error of a measurement."""

import torch


def relative(value: torch.Tensor, reference: torch.Tensor) -> float:
    """Return the largest error of the batch, relative to the largest entry of each input."""
    value, reference = value.flatten(1).double(), reference.flatten(1)
    return float(((value - reference).abs().amax(1) / reference.abs().amax(1)).max())
