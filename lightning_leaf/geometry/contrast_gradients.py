"""Gradients with respect to the inputs that span D_x: of contrasts s_i − s_0, or of all scores."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from lightning_leaf.model.chunks import gradients_at_once
from lightning_leaf.model.classifier import Classifier
from lightning_leaf.model.likelihood import Likelihood

INPUTS_IN_ONE_PASS = 16
NUMBERS_IN_ONE_PASS = 2**17
"""Most inputs, and most numbers in their gradients, for one vectorized backward pass on a CPU.

Larger intermediate results do not fit into the cache, and one pass for each class is faster. See
``python -m tests.benchmarks chunks``.
"""


class SpanningGradients:
    """The gradients that span D_x, for the inputs of one measurement.

    Exclusive classes: the contrasts ∇s_i − ∇s_0 of C − 1 classes with the first one. Adding the
    same row to all rows of the logit Jacobian J changes neither G nor D_x, because
    (diag p − p pᵀ) 1 = 0, so J can be replaced by these rows below a row of zeros. Independent
    labels: the C gradients ∇s_k.

    A backward pass multiplies a cotangent, a combination of scores, with J. On an accelerator one
    pass computes as many gradients as memory allows, because each operation of a pass of its own
    for each class would be too small to fill it.

    Args:
        classifier: An open classifier.
        top: Take only this number of most probable classes, or of labels with the largest variance
            p (1 − p), at every input; None for all.
    """

    def __init__(self, classifier: Classifier, top: int | None = None) -> None:
        self._classifier = classifier
        self._top = top
        self._cotangents: Tensor | None = None
        self._is_vectorizable = True
        self._at_once: dict[int, int] = {}  # gradients in one pass, by the number of inputs

    def __call__(self, scores: Tensor, x: Tensor) -> Tensor:  # (B, C), (B, ...) -> (B, n, d)
        """Return the gradients.

        Args:
            scores: Scores with the graph that leads to ``x``.
            x: Inputs that require gradients.
        """
        cotangents = self._cotangents_of(scores)
        at_once = self._passes(len(cotangents), x)
        if at_once > 1 and self._is_vectorizable:
            rows = in_one_pass(scores, x, cotangents, at_once)
            if rows is not None:
                return rows
            self._is_vectorizable = False
        return one_by_one(scores, x, cotangents)

    def _cotangents_of(self, scores: Tensor) -> Tensor:  # (n, B, C)
        likelihood = self._classifier.likelihood
        if self._top is not None:
            return top_cotangents(scores.detach(), self._top, likelihood)
        kept = self._cotangents
        if kept is None or kept.shape[1:] != scores.shape or kept.dtype != scores.dtype:
            self._cotangents = kept = all_cotangents(scores.detach(), likelihood)
        return kept

    def _passes(self, count: int, x: Tensor) -> int:
        """Return the number of gradients to compute in one backward pass."""
        if x.device.type == "cpu":
            small = len(x) <= INPUTS_IN_ONE_PASS and count * x.numel() <= NUMBERS_IN_ONE_PASS
            return count if small else 1
        # Asking for the free memory takes as long as several operations.
        if len(x) not in self._at_once:
            self._at_once[len(x)] = gradients_at_once(self._classifier, len(x), count)
        return self._at_once[len(x)]


def all_cotangents(scores: Tensor, likelihood: Likelihood) -> Tensor:  # (B, C) -> (n, B, C)
    """Return e_i − e_0 for all other classes of every input, or e_k for all labels."""
    one_hot = torch.eye(scores.shape[1], dtype=scores.dtype, device=scores.device)
    rows = one_hot[1:] - one_hot[:1] if likelihood == "categorical" else one_hot
    return rows.unsqueeze(1).expand(-1, len(scores), -1)


def top_cotangents(
    scores: Tensor,  # (B, C)
    count: int,
    likelihood: Likelihood,
) -> Tensor:  # (n, B, C)
    """Return the cotangents of the most probable classes, or of the labels of largest variance."""
    # p (1 − p) decreases with |s|.
    relevance = scores if likelihood == "categorical" else -scores.abs()
    chosen = relevance.topk(count, dim=1).indices.T.unsqueeze(-1)  # (count, B, 1)
    one_hot = scores.new_zeros(count, *scores.shape).scatter_(2, chosen, 1)
    return one_hot[1:] - one_hot[:1] if likelihood == "categorical" else one_hot


def in_one_pass(
    scores: Tensor,  # (B, C)
    x: Tensor,  # (B, ...)
    cotangents: Tensor,  # (n, B, C)
    at_once: int,
) -> Tensor | None:  # (B, n, d)
    """Return the gradients from vectorized passes, or None if the model cannot be vectorized.

    Args:
        scores: Scores with the graph that leads to ``x``.
        x: Inputs that require gradients.
        cotangents: Combinations of scores to differentiate.
        at_once: Number of gradients in one pass.
    """

    def gradient(cotangent: Tensor) -> Tensor:
        (result,) = torch.autograd.grad(
            scores, x, cotangent, retain_graph=True, materialize_grads=True
        )
        return result

    vectorized = torch.vmap(gradient)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="There is a performance drop")
        try:
            passes = [vectorized(part).flatten(2) for part in torch.split(cotangents, at_once)]
        except Exception:  # from PyTorch, or from hooks that expect an ordinary gradient
            return None
    gradients = passes[0] if len(passes) == 1 else torch.cat(passes)  # (n, B, d)
    return gradients.transpose(0, 1)


def one_by_one(
    scores: Tensor,  # (B, C)
    x: Tensor,  # (B, ...)
    cotangents: Tensor,  # (n, B, C)
) -> Tensor:  # (B, n, d)
    """Return the gradients from one backward pass for each of them.

    One pass differentiates the sum of a combination of scores over the batch. This is correct
    because the classifier does not mix inputs, see :meth:`Classifier.require_usable`.

    Args:
        scores: Scores with the graph that leads to ``x``.
        x: Inputs that require gradients.
        cotangents: Combinations of scores to differentiate.
    """
    count = len(cotangents)
    rows = x.new_empty(len(x), count, x[0].numel())
    for row, cotangent in enumerate(cotangents):
        (gradient,) = torch.autograd.grad(
            scores, x, cotangent, retain_graph=row < count - 1, materialize_grads=True
        )
        rows[:, row] = gradient.reshape(len(x), -1)
    return rows
