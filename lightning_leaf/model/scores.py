"""Scores of many inputs, without gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_leaf.model.chunks import chosen_chunk_size
from lightning_leaf.model.classifier import Classifier
from lightning_leaf.model.interruption import raise_if_interrupted


def scores_of(
    classifier: Classifier,
    inputs: Tensor,  # (B, ...)
    size: int | None,
) -> Tensor:  # (B, C)
    """Return the scores of inputs on the CPU.

    Args:
        classifier: The open classifier. Open it with ``likelihood="bernoulli"`` to keep a single
            column a single column.
        inputs: The inputs.
        size: Inputs per forward pass; None for the default.
    """
    size = chosen_chunk_size(size, classifier, 1, inputs[0].numel())
    chunks = []
    for chunk in torch.split(inputs, size):
        raise_if_interrupted()
        with torch.no_grad():
            chunks.append(classifier.scores(classifier.convert(chunk)).cpu())
    return torch.cat(chunks)
