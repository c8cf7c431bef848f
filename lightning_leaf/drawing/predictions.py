"""Predictions in words: the most probable class, or the labels with p > ½."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_leaf.data.batches import class_name
from lightning_leaf.model.likelihood import Likelihood

NO_LABEL = "no label above ½"
NOT_FINITE = "not finite"
LABELS_NAMED = 6
"""Largest number of labels of one prediction that are named; the others are counted."""


def predictions(
    log_probs: Tensor,  # (n, C)
    likelihood: Likelihood,
    names: Sequence[str] | None = None,
) -> tuple[list[str], Tensor]:  # n texts, (n,)
    """Return each prediction in words, and its probability.

    Args:
        log_probs: Log-probabilities of the classes or labels.
        likelihood: ``"categorical"``: the most probable class. ``"bernoulli"``: all labels with
            p_k > ½, whose probability is NaN, because they have one each.
        names: Names of the classes or labels. Default: their numbers.

    Example:
        >>> import torch
        >>> log_probs = torch.tensor([[0.9, 0.8, 0.1], [0.2, 0.4, 0.3]]).log()
        >>> predictions(log_probs, "bernoulli", ("cat", "dog", "car"))[0]
        ['cat, dog', 'no label above ½']
        >>> predictions(log_probs, "categorical", ("cat", "dog", "car"))[0]
        ['cat', 'dog']
    """
    p = log_probs.exp()
    if likelihood == "categorical":
        best = p.max(1)
        return [class_name(names, label) for label in best.indices.tolist()], best.values
    texts = [_labels(row, names) for row in p]
    return texts, p.new_full((len(p),), torch.nan)


def target_name(
    target: Tensor,  # (C,)
    log_probs: Tensor,  # (C,)
    likelihood: Likelihood,
    names: Sequence[str] | None = None,
) -> str:
    """Return the class or label to which a prediction path leads.

    Args:
        target: The probabilities that the path leads to.
        log_probs: Log-probabilities at its start.
        likelihood: ``"categorical"``: the most probable class of the target. ``"bernoulli"``: the
            label whose probability changes most, as ``"not …"`` if the target has p ≤ ½.
        names: Names of the classes or labels. Default: their numbers.

    Example:
        >>> import torch
        >>> start, target = torch.tensor([0.9, 0.8, 0.1]), torch.tensor([0.9, 0.2, 0.1])
        >>> target_name(target, start.log(), "bernoulli", ("cat", "dog", "car"))
        'not dog'
    """
    if likelihood == "categorical":
        return class_name(names, int(target.argmax()))
    change = (target.double() - log_probs.double().exp()).abs().nan_to_num()
    label = int(change.argmax())
    name = class_name(names, label)
    return name if float(target[label]) > 0.5 else f"not {name}"


def predicted_sets(log_probs: Tensor, likelihood: Likelihood) -> Tensor:  # (n, C) -> (n,)
    """Return a number for each prediction, the same for the same class or the same labels."""
    if likelihood == "categorical":
        return log_probs.argmax(1)
    numbers: Tensor = torch.unique(log_probs.exp() > 0.5, dim=0, return_inverse=True)[1]
    return numbers


def _labels(p: Tensor, names: Sequence[str] | None) -> str:  # (C,)
    if not bool(p.isfinite().all()):
        return NOT_FINITE
    labels = (p > 0.5).nonzero().flatten().tolist()
    if not labels:
        return NO_LABEL
    text = ", ".join(class_name(names, label) for label in labels[:LABELS_NAMED])
    more = len(labels) - LABELS_NAMED
    return f"{text} and {more} more" if more > 0 else text
