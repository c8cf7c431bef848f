"""The curves of a snapshot: few points, and the most probable classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightning_leaf.drawing.classes_shown import CLASSES_SHOWN, most_probable_classes
from lightning_leaf.drawing.predictions import predicted_sets
from lightning_leaf.model.likelihood import Likelihood
from lightning_leaf.paths.single_path import SinglePath

MAX_CURVE_POINTS = 1000
"""Largest number of points of a curve."""
MIN_CURVE_POINTS = 100
"""Smallest limit of the points of a curve, for any number of paths and classes."""
CURVE_BYTES = 800_000
"""Largest size of all curves of a snapshot, before compression."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Curves:
    """Curves of one path at S of its steps, float32 except for the steps.

    Attributes:
        steps: The steps, ``(S,)``, int32.
        classes: The K classes or labels whose probabilities are kept, in ascending order.
        probabilities: Their probabilities, and the sum of the others as the last column if
            ``has_other``, ``(S, K)`` or ``(S, K + 1)``.
        has_other: Whether there are classes that are not kept. False for independent labels, whose
            probabilities have no meaningful sum.
        distance: See :class:`~lightning_leaf.SinglePath`, ``(S,)``.
        horizontality: Mean over the steps from each point to the next, ``(S,)``.
        fisher_rao_length: See :class:`~lightning_leaf.SinglePath`, ``(S,)``.
        entropy: Entropy of the prediction, in nats, ``(S,)``: −Σ p log p for exclusive classes,
            the sum of the entropies of all labels for independent labels.
    """

    steps: Array
    classes: list[int]
    probabilities: Array
    has_other: bool
    distance: Array
    horizontality: Array
    fisher_rao_length: Array
    entropy: Array


def thin_curves(path: SinglePath, path_count: int) -> Curves:
    """Thin the curves of a path until those of all paths fit into :data:`CURVE_BYTES`.

    Args:
        path: The path.
        path_count: Number of paths of the snapshot.
    """
    log_p = path.log_probs.double()  # (T + 1, C)
    p = log_p.exp().numpy()
    class_count = p.shape[1]
    # Replacing a single class by "other" would save nothing.
    are_many = class_count > CLASSES_SHOWN + 1
    classes = most_probable_classes(p, CLASSES_SHOWN if are_many else class_count)
    has_other = are_many and path.likelihood == "categorical"
    numbers_per_point = len(classes) + has_other + 5
    points_that_fit = CURVE_BYTES // (4 * numbers_per_point * path_count)
    limit = max(MIN_CURVE_POINTS, min(MAX_CURVE_POINTS, points_that_fit))

    steps = curve_steps(predicted_sets(log_p, path.likelihood).numpy(), limit)  # (S,)
    probabilities = p[steps][:, classes]
    if has_other:
        other = (1 - probabilities.sum(1, keepdims=True)).clip(0)
        probabilities = np.concatenate([probabilities, other], axis=1)
    entropy = entropies(log_p[steps], path.likelihood).numpy()
    return Curves(
        steps=steps.astype(np.int32),
        classes=classes,
        probabilities=probabilities.astype(np.float32),
        has_other=has_other,
        distance=path.distance.numpy()[steps].astype(np.float32),
        horizontality=_means_between(path.horizontality.numpy(), steps),
        fisher_rao_length=path.fisher_rao_length.numpy()[steps].astype(np.float32),
        entropy=entropy.astype(np.float32),
    )


def entropies(log_p: Tensor, likelihood: Likelihood) -> Tensor:  # (S, C) -> (S,)
    """Return the entropy of every prediction, in nats.

    Args:
        log_p: Log-probabilities of the classes or labels, float64.
        likelihood: ``"categorical"``: −Σ p log p. ``"bernoulli"``: the entropy of all labels
            together, −Σ_k (p_k log p_k + (1 − p_k) log(1 − p_k)).
    """
    entropy: Tensor = torch.special.entr(log_p.exp())
    if likelihood == "bernoulli":
        entropy = entropy + torch.special.entr(-log_p.expm1())  # 1 − p, accurate near zero
    return entropy.sum(1)


def curve_steps(
    labels: Array,  # (T + 1,)
    limit: int,
) -> Array:  # (S,)
    """Return at most ``limit`` steps at which to keep the curves.

    They are evenly spaced and include the first step, the last step, and the steps before and after
    every change of the prediction. If the changes take more than half of the limit, only the
    first ones are included.

    Args:
        labels: A number for the predicted class, or for the set of predicted labels, at every step.
        limit: Largest number of steps to return.
    """
    last = len(labels) - 1
    if last < limit:
        return np.arange(last + 1)
    after = np.flatnonzero(labels[1:] != labels[:-1]) + 1
    changes = np.unique(np.stack([after - 1, after], axis=1))[: limit // 2]
    even = np.linspace(0, last, limit - len(changes)).round().astype(np.int64)
    return np.unique(np.concatenate([even, changes]))


def _means_between(values: Array, steps: Array) -> Array:  # (T,), (S,) -> (S,)
    """Return the mean over the steps from each point to the next; the last mean is repeated."""
    if len(values) == 0:
        return np.full(len(steps), np.nan, np.float32)
    starts = steps[:-1]
    finite = np.isfinite(values)
    sums = np.add.reduceat(np.where(finite, values, 0), starts)
    counts = np.add.reduceat(finite.astype(np.int64), starts)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return np.append(means, means[-1]).clip(0, 1).astype(np.float32)
