"""The default number of optimizer steps between two measurements."""

from __future__ import annotations

import math

from lightning_leaf.geometry.matrix_free.data_matrix import EXACT_CLASSES

SHARE_OF_TRAINING = 0.016
"""Arithmetic of measuring, relative to that of training, with the default interval."""
INTERVAL_IF_UNKNOWN = 100
"""Default interval if the batch size is unknown because batches hold no tensors."""


def affordable_interval(
    inputs: int, classes: int, examples_per_step: int | None, *, exact: bool = False
) -> int:
    """Return the interval at which measuring takes a fixed small share of the training.

    A training step costs about three forward passes for each of its B examples. A measurement
    costs C passes (one forward, C − 1 backward) for each of its P inputs. The interval is
    n = P C / (3 B · 1.6 %), rounded up to two significant digits. Estimates, which more than 160
    classes have by default, cost as much as 160 classes.

    Args:
        inputs: P, the inputs that one process measures.
        classes: C, the number of classes.
        examples_per_step: B, the examples of one process in one optimizer step; None if unknown.
        exact: Whether a measurement uses all classes, however many.
    """
    if examples_per_step is None:
        return INTERVAL_IF_UNKNOWN
    passes = classes if exact else min(classes, EXACT_CLASSES)
    steps = math.ceil(inputs * passes / (3 * examples_per_step * SHARE_OF_TRAINING))
    unit = int(10 ** max(0, len(str(steps)) - 2))
    return math.ceil(steps / unit) * unit
