"""How far a measurement is from what it should be."""

import torch


def relative(value: torch.Tensor, reference: torch.Tensor) -> float:
    """Largest error of any input of the batch, relative to that input's largest entry."""
    value, reference = value.flatten(1).double(), reference.flatten(1)
    return float(((value - reference).abs().amax(1) / reference.abs().amax(1)).max())
