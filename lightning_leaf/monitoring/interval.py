"""The default number of optimizer steps between two measurements."""

from __future__ import annotations

import math

from lightning_leaf.geometry.matrix_free.data_matrix import EXACT_CLASSES

SHARE_OF_TRAINING = 0.016
"""Cost of measuring, relative to that of training, with the default interval."""
INTERVAL_IF_UNKNOWN = 100
"""Estimated interval if the batch size is unknown because batches hold no tensors."""
FEWEST_MEASUREMENTS = 20
"""Measurements of a training below which a message says what more of them would cost."""


def estimated_interval(
    inputs: int, classes: int, examples_per_step: int | None, *, exact: bool = False
) -> int:
    """Return an interval at which the arithmetic of measuring is a small share of the training's.

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
    return affordable_interval(inputs * passes / (3 * examples_per_step))


def affordable_interval(cost: float) -> int:
    """Return the interval at which measuring costs at most 1.6 % of the training.

    Args:
        cost: The cost of one measurement relative to that of a training step.

    Returns:
        The interval, at least 1, rounded up to two significant digits.
    """
    steps = max(1, math.ceil(cost / SHARE_OF_TRAINING))
    unit = int(10 ** max(0, len(str(steps)) - 2))
    return math.ceil(steps / unit) * unit


def interval_message(interval: int, cost: float, steps_planned: int | None = None) -> str:
    """Return a sentence that says which interval was chosen, and why.

    Args:
        interval: The interval.
        cost: The time of one measurement relative to that of a training step.
        steps_planned: The number of optimizer steps of the training; None if unknown. If it has
            fewer than 20 measurements, the message says what 20 would cost.
    """
    steps = "step" if interval == 1 else f"{interval} steps"
    message = (
        f"measures every {steps}, because a measurement takes as long as {cost:.2g} training steps."
    )
    if steps_planned is None or steps_planned >= FEWEST_MEASUREMENTS * interval:
        return message
    more_often = max(1, steps_planned // FEWEST_MEASUREMENTS)
    return (
        f"{message} This training of {steps_planned} steps has few measurements. "
        f"every_n_steps={more_often} gives {steps_planned // more_often}, which take "
        f"{100 * cost / more_often:.1f} % of the time of its steps."
    )
