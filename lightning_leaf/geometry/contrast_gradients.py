"""Gradients with respect to the inputs that span D_x: of contrasts s_i − s_0, or of all scores."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from lightning_leaf.model.likelihood import Likelihood

INPUTS_IN_ONE_PASS = 16
NUMBERS_IN_ONE_PASS = 2**17
"""Most inputs, and most numbers in their gradients, for one vectorized backward pass on a CPU.

Larger intermediate results do not fit into the cache, and one pass for each class is faster. See
``python -m tests.benchmarks chunks``.
"""


def spanning_gradients(
    scores: Tensor,  # (B, C)
    x: Tensor,  # (B, ...)
    likelihood: Likelihood,
) -> Tensor:  # (B, C, d)
    """Return rows that can replace the logit Jacobian J: they give the same G and D_x.

    Args:
        scores: Scores with the graph that leads to ``x``.
        x: Inputs that require gradients.
        likelihood: Exclusive classes take :func:`contrast_gradients`, independent labels
            :func:`gradients`.
    """
    return contrast_gradients(scores, x) if likelihood == "categorical" else gradients(scores, x)


def contrast_gradients(scores: Tensor, x: Tensor) -> Tensor:  # (B, C), (B, ...) -> (B, C, d)
    """Return ∇s_i − ∇s_0 for every input, from C − 1 backward passes. The first row is zero.

    Adding the same row to all rows of the logit Jacobian J changes neither G nor D_x of exclusive
    classes, because (diag p − p pᵀ) 1 = 0.

    Args:
        scores: Scores with the graph that leads to ``x``.
        x: Inputs that require gradients.
    """
    contrasts = (scores - scores[:, :1])[:, 1:]  # (B, C − 1)
    return gradients(contrasts, x, zero_rows=1)


def gradients(
    scores: Tensor,  # (B, n)
    x: Tensor,  # (B, ...)
    *,
    zero_rows: int = 0,
) -> Tensor:  # (B, zero_rows + n, d)
    """Return ∇s_i for every input, from one backward pass for each column of scores.

    One backward pass differentiates the sum of a column over the batch. This is correct because
    the classifier does not mix inputs, see :meth:`Classifier.require_usable`.

    Args:
        scores: Scores with the graph that leads to ``x``.
        x: Inputs that require gradients.
        zero_rows: Number of rows of zeros before the gradients.
    """
    rows = None
    small = len(x) <= INPUTS_IN_ONE_PASS and scores[0].numel() * x.numel() <= NUMBERS_IN_ONE_PASS
    if small and x.device.type == "cpu":
        rows = in_one_pass(scores, x)
    if rows is None:
        return one_by_one(scores, x, zero_rows=zero_rows)
    return torch.nn.functional.pad(rows, (0, 0, zero_rows, 0)) if zero_rows else rows


def in_one_pass(scores: Tensor, x: Tensor) -> Tensor | None:  # (B, n), (B, ...) -> (B, n, d)
    """Return the gradients from one vectorized pass, or None if the model cannot be vectorized."""
    count = scores.shape[1]
    one_hot = torch.eye(count, dtype=scores.dtype).unsqueeze(1).expand(-1, len(x), -1)

    def gradient(cotangent: Tensor) -> Tensor:
        (result,) = torch.autograd.grad(
            scores, x, cotangent, retain_graph=True, materialize_grads=True
        )
        return result

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="There is a performance drop")
        try:
            gradients: Tensor = torch.vmap(gradient)(one_hot)  # (n, B, ...)
        except Exception:  # from PyTorch, or from hooks that expect an ordinary gradient
            return None
    return gradients.flatten(2).transpose(0, 1)


def one_by_one(
    scores: Tensor,  # (B, n)
    x: Tensor,  # (B, ...)
    *,
    zero_rows: int = 0,
) -> Tensor:  # (B, zero_rows + n, d)
    """Return the gradients from one backward pass for each column of scores."""
    count = scores.shape[1]
    # The rows of zeros are here from the start: adding them later would copy the gradients.
    rows = x.new_zeros(x.shape[0], zero_rows + count, x[0].numel())
    for column in range(count):
        (gradient,) = torch.autograd.grad(
            scores[:, column].sum(), x, retain_graph=column < count - 1, materialize_grads=True
        )
        rows[:, zero_rows + column] = gradient.reshape(x.shape[0], -1)
    return rows
