"""The examples from which prediction paths start, and the classes to which they lead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from torch import Tensor

from lightning_leaf.data.batches import Examples
from lightning_leaf.errors import LeafError, shown
from lightning_leaf.model.likelihood import Likelihood

CANDIDATES_PER_EXAMPLE = 8
"""Examples read from the data set for each that is chosen, to find different classes among them."""
MOST_OTHERS = 9
"""Largest number of paths from one example with ``to="each"``."""


def spread(examples: Examples, count: int, without: int | None = None) -> Examples:
    """Return ``count`` examples of as many classes as possible, in their order.

    Args:
        examples: Examples in random order.
        count: Number of examples.
        without: A class from which examples are taken only if there are too few others.

    Example:
        >>> import torch
        >>> spread(Examples(torch.zeros(4, 2), labels=(5, 5, 3, 8)), 2, without=3).labels
        (5, 8)
    """
    seen: Counter[int] = Counter()
    ranks = []
    for row, label in enumerate(examples.labels or [0] * len(examples)):
        is_left_out = examples.labels is not None and label == without
        ranks.append((is_left_out, seen[label], row))
        seen[label] += 1
    return examples.select([row for _, _, row in sorted(ranks)[:count]])


def class_number(to: int | str, names: Sequence[str] | None, classes: int | None) -> int:
    """Return the number of the class that a ``to=`` argument names.

    Args:
        to: A class number or a class name.
        names: Names of the classes, if they have names.
        classes: Number of classes, if it is known.

    Raises:
        LeafError: If there is no such class.
    """
    number: int | None = None
    if isinstance(to, int):
        number = to
    elif names is not None:
        number = names.index(to) if to in names else None
    elif to.isdecimal():  # classes without names are shown as numbers
        number = int(to)
    if number is None or number < 0 or (classes is not None and number >= classes):
        count = "the number of a class" if classes is None else f"a class from 0 to {classes - 1}"
        if names is None:
            choices = f"or {count}"
        else:
            choices = f"{count}, or the name of a class, such as {shown(names[0])}"
        raise LeafError(f"to expects 'runner_up', 'each', {choices}; got {shown(to)}.")
    return number


def paths_per_example(classes: int, likelihood: Likelihood) -> int:
    """Return the number of paths from one example with ``to="each"``."""
    return min(classes if likelihood == "bernoulli" else classes - 1, MOST_OTHERS)


def runners_up(log_probs: Tensor, likelihood: Likelihood) -> list[int]:  # (n, C)
    """Return the second most probable class, or the label whose probability is nearest to ½.

    Args:
        log_probs: Log-probabilities of the classes or labels.
        likelihood: ``"categorical"`` for exclusive classes, ``"bernoulli"`` for labels.

    Example:
        >>> import torch
        >>> runners_up(torch.tensor([[0.7, 0.1, 0.2]]).log(), "categorical")
        [2]
    """
    first: list[int] = _by_closeness(log_probs, likelihood)[:, 0].tolist()
    return first


def others(log_probs: Tensor, likelihood: Likelihood) -> list[list[int]]:  # (n, C)
    """Return the classes to which paths from each input lead with ``to="each"``, in order.

    These are all classes except the predicted one, or all labels. Of more than nine, the most
    probable classes are taken, or the labels whose probabilities are nearest to ½.

    Args:
        log_probs: Log-probabilities of the classes or labels.
        likelihood: ``"categorical"`` for exclusive classes, ``"bernoulli"`` for labels.

    Example:
        >>> import torch
        >>> others(torch.tensor([[0.1, 0.7, 0.2]]).log(), "categorical")
        [[0, 2]]
    """
    count = paths_per_example(log_probs.shape[1], likelihood)
    closest = _by_closeness(log_probs, likelihood)[:, :count]
    return [sorted(row) for row in closest.tolist()]


def are_predicted(log_probs: Tensor, label: int, likelihood: Likelihood) -> list[bool]:  # (n, C)
    """Return for each input whether a class, or a label, is predicted."""
    if likelihood == "bernoulli":
        return [p > 0.5 for p in log_probs[:, label].exp().tolist()]
    return [predicted == label for predicted in log_probs.argmax(1).tolist()]


def _by_closeness(log_probs: Tensor, likelihood: Likelihood) -> Tensor:  # (n, C) -> (n, C or C - 1)
    """Return the classes, most probable first and without the predicted one.

    Labels are ordered by the distance of their probability from ½.
    """
    p = log_probs.exp().nan_to_num()
    if likelihood == "bernoulli":
        return (p - 0.5).abs().argsort(dim=1, stable=True)
    return p.argsort(dim=1, descending=True, stable=True)[:, 1:]
