"""Targets of prediction paths: classes or distributions, as log-probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_leaf.errors import LeafError, shown
from lightning_leaf.geometry.labels import log_complement
from lightning_leaf.model.likelihood import Likelihood

Target = int | Sequence[int] | Tensor
"""One class, one class for each path, one distribution, or one distribution for each path."""
LEAST_LOG_PROBABILITY = -69.0
"""Logarithm of the smallest probability of a target, 1e-30: a softmax does not return zero."""
TOLERANCE_OF_THE_SUM = 1e-3


def target_log_probs(
    target: Target,
    first: Tensor,  # (N, C)
    likelihood: Likelihood,
    name: str,
) -> Tensor:  # (N, C)
    """Return the log-probabilities of a target for every path, float64.

    Args:
        target: The argument as the user passed it. A class exchanges its probability and that of
            the predicted class; a label k changes its probability to 1 − p_k.
        first: Log-probabilities at the starts.
        likelihood: What the scores mean.
        name: Name of the argument, for the message.

    Raises:
        LeafError: If the target has another form or shape, or a value is out of its range.
    """
    values = _as_tensor(target, name).to(first.device)
    paths, classes = first.shape
    if values.is_floating_point():
        if values.shape not in ((classes,), (paths, classes)):
            raise LeafError(
                f"{name} expects one distribution over the {classes} classes, ({classes},), or one "
                f"for each of the {paths} paths, ({paths}, {classes}); got {tuple(values.shape)}."
            )
        rounding = classes * torch.finfo(values.dtype).eps
        tolerance = max(TOLERANCE_OF_THE_SUM, rounding)
        p = _distributions(values.double(), likelihood, name, tolerance)
        return p.expand(paths, classes)
    if values.shape not in ((), (paths,)):
        raise LeafError(
            f"{name} expects one class, or one for each of the {paths} paths; got "
            f"{tuple(values.shape)}."
        )
    values = values.long()
    if bool(((values < 0) | (values >= classes)).any()):
        raise LeafError(f"{name} expects classes from 0 to {classes - 1}; got {shown(target)}.")
    chosen = values.expand(paths).unsqueeze(1)  # (N, 1)
    if likelihood == "bernoulli":
        return first.scatter(1, chosen, log_complement(first).gather(1, chosen))
    predicted = first.argmax(1, keepdim=True)
    exchanged = first.scatter(1, predicted, first.gather(1, chosen))
    return exchanged.scatter(1, chosen, first.gather(1, predicted))


def _as_tensor(target: Any, name: str) -> Tensor:
    try:
        values = torch.as_tensor(target).detach()
    except Exception as error:
        raise LeafError(
            f"{name} expects a class, one class for each path, or distributions as a tensor; got "
            f"{shown(target)}."
        ) from error
    if values.is_complex() or values.dtype == torch.bool:
        raise LeafError(
            f"{name} expects integers (classes) or floating-point numbers (probabilities); got "
            f"{values.dtype}."
        )
    return values


def _distributions(p: Tensor, likelihood: Likelihood, name: str, tolerance: float) -> Tensor:
    exclusive = likelihood == "categorical"
    sums = p.sum(-1)
    is_valid = p.isfinite().all() & (p >= 0).all() & (p <= 1 + tolerance).all()
    if exclusive:
        is_valid = is_valid & ((sums - 1).abs() <= tolerance).all()
    if not bool(is_valid):
        rule = "probabilities that sum to 1" if exclusive else "probabilities of labels"
        raise LeafError(
            f"{name} expects {rule}; got values in [{float(p.min()):.4g}, {float(p.max()):.4g}]"
            + (f" with sums in [{float(sums.min()):.4g}, {float(sums.max()):.4g}]." * exclusive)
            + ("" if exclusive else ".")
            + " Pass integers for classes."
        )
    if exclusive:
        return (p / sums.unsqueeze(-1)).log().clamp(min=LEAST_LOG_PROBABILITY).log_softmax(-1)
    # The largest value below 1 whose complement is the smallest probability.
    return p.log().clamp(LEAST_LOG_PROBABILITY, -(torch.tensor(LEAST_LOG_PROBABILITY).exp().item()))
