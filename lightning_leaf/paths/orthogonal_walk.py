"""The orthogonal walk: away from a start across the leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lightning_leaf._arguments import positive_number, whole_number
from lightning_leaf.data.normalization import Bound
from lightning_leaf.errors import LeafError
from lightning_leaf.model.classifier import measuring
from lightning_leaf.model.forward import Forward
from lightning_leaf.model.interruption import ended_after
from lightning_leaf.model.likelihood import Likelihood
from lightning_leaf.paths.across_leaves import AcrossLeaves, KeepsMoving
from lightning_leaf.paths.goal import norms
from lightning_leaf.paths.leaf_path import LeafPath
from lightning_leaf.paths.projection_settings import ProjectionSettings
from lightning_leaf.paths.settings import (
    KEEP_POINTS,
    STEPS_PER_DISTANCE,
    PathSettings,
    domain_bounds,
    known_normalization,
    length_per_path,
)
from lightning_leaf.paths.walk import walk

MAX_STEPS = 1000
"""Default of ``max_steps``: the value of the paper's Figure 3."""


def orthogonal_walk(
    model: Callable[..., Any],
    start: Tensor,  # (N, ...)
    direction: Tensor | None = None,  # (N, ...)
    *,
    step_size: float | Tensor | None = None,
    max_steps: int = MAX_STEPS,
    max_time: float | None = None,
    normalize: Any | None = None,
    domain: tuple[Bound, Bound] | None = None,
    seed: int = 0,
    top_classes: int | None = None,
    rtol: float | None = None,
    forward: Forward | None = None,
    likelihood: Likelihood | None = None,
    keep_points: int = KEEP_POINTS,
    chunk_size: int | None = None,
    progress: bool = True,
) -> LeafPath:
    r"""Compute orthogonal walks from ``start`` across the leaves: N walks at once.

    An orthogonal walk adds a change to which the prediction is insensitive: noise that the model
    does not see. It is the walk of Section 4.2 (Figure 3) of Grementieri & Fioresi, "Model-centric
    data manifold: the data through the eyes of the model". With a fixed direction r for each walk
    and Π the orthogonal projection on the tangent distribution D_x, at every step::

        v = r − Π r        x ← x + α · v / ‖v‖

    The displacement δ = α v / ‖v‖ lies in ker G, so the prediction does not change to second order
    (equation 8 of the paper): KL(p(x) ‖ p(x + δ)) = ½ δᵀGδ + O(‖δ‖³) = O(‖δ‖³).

    Within a domain, coordinates that the step would move out of the domain keep their values, and r
    and Π are restricted to the other coordinates. The paper clamps all coordinates after the step
    instead. This leaves ker G, and long walks change the predicted class.

    A walk has no destination. It usually ends ``out_of_steps``. It is ``stalled`` if no direction
    is left, because r is tangent or every coordinate is at its bound, ``out_of_time`` after
    ``max_time`` seconds, and ``non_finite`` if the model returned NaN or infinity; see
    :class:`PathStatus`.

    Args:
        model: Any classifier, see :meth:`LocalDataMatrix.at`.
        start: Starting points, ``(N, ...)``, as the model takes them.
        direction: r, one for each walk, the same shape. Default: drawn from a standard normal
            distribution.
        step_size: α, one number or one for each walk, in input units. The paper's value is 0.1.
            Default: 1/300 of the norm of ``start``; where start is zero, 1/300 of √d with d the
            number of coordinates.
        max_steps: Largest number of steps (≥ 0). The paper's values are 1000, and 250 for a noisy
            image.
        max_time: See :func:`horizontal_path`.
        normalize: See :func:`horizontal_path`.
        domain: Valid range, see :func:`horizontal_path`.
        seed: Seed of the random directions. Global random streams do not change.
        top_classes: See :func:`horizontal_path`.
        rtol: See :func:`horizontal_path`.
        forward: See :func:`horizontal_path`.
        likelihood: See :func:`horizontal_path`.
        keep_points: Largest number of points kept of each walk (≥ 2), evenly spaced over the
            steps.
        chunk_size: Largest number of walks computed together; limits memory. Default: 32 on a CPU,
            what memory allows on a GPU, less for large inputs.
        progress: Show a progress bar on a terminal or in a notebook.

    Returns:
        The N walks, on the CPU.

    Raises:
        LeafError: If the model cannot be used (see :meth:`LocalDataMatrix.at`), the shapes of
            start and direction differ, an argument is out of its range, or start lies outside the
            domain.
        NonFiniteError: If start or direction contain NaN or infinity.

    Example:
        Along the walk, the prediction of a linear classifier is constant:

        >>> import torch
        >>> from lightning_leaf import orthogonal_walk
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Linear(4, 3)
        >>> walk = orthogonal_walk(model, torch.ones(1, 4), max_steps=300, progress=False)
        >>> walk[0].describe()
        'walked 300 steps, 2.00 from the start'
        >>> torch.allclose(walk.log_probs[:, 0], walk.log_probs[:, -1], atol=1e-5)
        True
    """
    if max_time is not None:
        positive_number(max_time, "max_time")
    with (
        ended_after(max_time),
        measuring(model, forward=forward, likelihood=likelihood, inputs=start) as classifier,
    ):
        x = classifier.prepare(start, "start")
        if direction is None:
            direction = random_directions(x, seed)
        r = classifier.prepare(direction, "direction")
        if x.shape != r.shape:
            raise LeafError(
                "direction expects the shape of start, one vector for each walk; got "
                f"{tuple(direction.shape)} for start of shape {tuple(start.shape)}."
            )
        norm = norms(x.flatten(1).double())
        norm = torch.where(norm > 0, norm, x[0].numel() ** 0.5)
        normalization = known_normalization(classifier, normalize, domain, start)
        settings = PathSettings(
            kind="orthogonal",
            step_size=length_per_path(step_size, norm / STEPS_PER_DISTANCE, "step_size"),
            threshold=None,
            max_steps=whole_number(max_steps, "max_steps", at_least=0),
            keep_points=whole_number(keep_points, "keep_points", at_least=2),
            bounds=domain_bounds(normalization, domain, start=x),
            normalization=normalization,
            likelihood=classifier.likelihood,
        )
        projection = ProjectionSettings(top_classes, rtol, chunk_size)
        goal = AcrossLeaves.along(x, r, settings.step_size, settings.bounds)
        rule = KeepsMoving(settings.step_size.cpu().numpy())
        return walk(classifier, x, goal, rule, settings, projection, progress)


def random_directions(start: Tensor, seed: int) -> Tensor:  # (N, ...) -> (N, ...)
    """Return one standard normal direction for each start, float64; it depends on seed and shape.

    Args:
        start: Starting points; only their shape is used.
        seed: Seed of the directions. Global random streams do not change.
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(start.shape, generator=generator, dtype=torch.float64)
