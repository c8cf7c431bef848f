"""The orthogonal walk: away from a start across the leaves, in a direction or towards an image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lightning_leaf._arguments import positive_number, whole_number
from lightning_leaf.data.normalization import Bound
from lightning_leaf.errors import LeafError, shown
from lightning_leaf.model.classifier import measuring
from lightning_leaf.model.forward import Forward
from lightning_leaf.model.interruption import ended_after
from lightning_leaf.model.likelihood import Likelihood
from lightning_leaf.paths.across_leaves import AcrossLeaves, KeepsMoving
from lightning_leaf.paths.goal import Goal, Progress, norms
from lightning_leaf.paths.horizontal_path import THRESHOLD_PER_DISTANCE, ComesCloser
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
from lightning_leaf.paths.toward_image import TowardImage
from lightning_leaf.paths.walk import walk

MAX_STEPS = 1000
"""Default of ``max_steps``: the value of the paper's Figure 3."""
MAX_KL = 0.01
"""Default of ``max_kl``, in nats: a probability of 1 falls to 0.99."""
STEPS_TOWARDS = 20
"""Default step size of walks towards an image, as a part of their distance."""


def orthogonal_walk(
    model: Callable[..., Any],
    start: Tensor,  # (N, ...)
    direction: Tensor | None = None,  # (N, ...)
    *,
    towards: Tensor | None = None,  # (N, ...)
    max_kl: float | None = None,
    step_size: float | Tensor | None = None,
    max_steps: int = MAX_STEPS,
    max_time: float | None = None,
    threshold: float | Tensor | None = None,
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

    A walk goes in a direction r, or towards an image y that is given as ``towards``.

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

    A walk in a direction has no destination. It usually ends ``out_of_steps``. It is ``stalled``
    if no direction is left, because r is tangent or every coordinate is at its bound,
    ``out_of_time`` after ``max_time`` seconds, and ``non_finite`` if the model returned NaN or
    infinity; see :class:`PathStatus`.

    With ``towards``, the walk shows how much of an image y fits into x while the model predicts the
    same. The direction is then u = y − x at every point. Its remainder v = u − Π u leads closer to
    y, and a step is at most as long as v::

        x ← x + min(α, ‖v‖) · v / ‖v‖ + c

    Many finite steps change the prediction, because D_x turns. Once the prediction is as far from
    the first one as 0.7 √(2 ``max_kl``), in the metric G, c is the least change of x that brings it
    back to this distance. KL(p(x₀) ‖ p(x)) ≤ ``max_kl`` at every point, in nats: the next point is
    evaluated before the step, and the step is shortened if needed. The walk is ``reached`` within
    ``threshold`` of y; ``stalled`` if 100 steps decreased ‖u‖ by less than a fifth of α, because
    the rest of u lies in D_x; and ``blocked`` if the next step would exceed ``max_kl``, or if only
    inputs outside of the domain lead on (see ``blocked_by`` of :class:`SinglePath`). Within a
    domain, only coordinates at a bound keep their values; the others move to the bound at most.
    ``SinglePath.covered`` is the share of the distance to y that the walk has covered,
    ``SinglePath.kl`` the divergence at every step.

    Args:
        model: Any classifier, see :meth:`LocalDataMatrix.at`.
        start: Starting points, ``(N, ...)``, as the model takes them.
        direction: r, one for each walk, the same shape. Default: drawn from a standard normal
            distribution.
        towards: y, one destination for each walk, the same shape, instead of ``direction``. It
            may be of another class.
        max_kl: Largest KL divergence from the prediction for ``start``, in nats, for walks with
            ``towards``. Default: 0.01.
        step_size: α, one number or one for each walk, in input units. The paper's value is 0.1.
            Default: 1/300 of the norm of ``start``; where start is zero, 1/300 of √d with d the
            number of coordinates. With ``towards``, 1/20 of the distance from start to y.
        max_steps: Largest number of steps (≥ 0). The paper's values are 1000, and 250 for a noisy
            image.
        max_time: See :func:`horizontal_path`.
        threshold: Distance to y that counts as reached, see :func:`horizontal_path`; for walks with
            ``towards``.
        normalize: See :func:`horizontal_path`.
        domain: Valid range, see :func:`horizontal_path`.
        seed: Seed of the random directions. Global random streams do not change. It has no effect
            with ``direction`` or ``towards``.
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
            start and direction (or towards) differ, both are given, an argument is out of its
            range, or start or towards lie outside the domain.
        NonFiniteError: If start, direction or towards contain NaN or infinity.

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

        Towards an image, it covers all but the part of the displacement in D_x:

        >>> end = torch.tensor([[0.0, 1.0, 2.0, 0.0]])
        >>> walk = orthogonal_walk(model, torch.ones(1, 4), towards=end, progress=False)
        >>> walk[0].status.value, round(walk[0].covered, 2)
        ('stalled', 0.55)
    """
    if max_time is not None:
        positive_number(max_time, "max_time")
    _check_aim(direction, towards, max_kl, threshold)
    with (
        ended_after(max_time),
        measuring(model, forward=forward, likelihood=likelihood, inputs=start) as classifier,
    ):
        x = classifier.prepare(start, "start")
        if towards is not None:
            aim, name = towards, "towards"
        else:
            aim, name = random_directions(x, seed) if direction is None else direction, "direction"
        r = classifier.prepare(aim, name)
        if x.shape != r.shape:
            raise LeafError(
                f"{name} expects the shape of start, one for each walk; got "
                f"{tuple(aim.shape)} for start of shape {tuple(start.shape)}."
            )
        ends = {"start": x} if towards is None else {"start": x, "towards": r}
        normalization = known_normalization(classifier, normalize, domain, start, aim)
        default_step, default_threshold = _default_lengths(x, None if towards is None else r)
        settings = PathSettings(
            kind="orthogonal",
            step_size=length_per_path(step_size, default_step, "step_size"),
            threshold=None
            if default_threshold is None
            else length_per_path(threshold, default_threshold, "threshold"),
            max_steps=whole_number(max_steps, "max_steps", at_least=0),
            keep_points=whole_number(keep_points, "keep_points", at_least=2),
            bounds=domain_bounds(normalization, domain, **ends),
            normalization=normalization,
            likelihood=classifier.likelihood,
        )
        projection = ProjectionSettings(top_classes, rtol, chunk_size)
        alpha = settings.step_size
        goal: Goal
        rule: Progress
        if towards is None:
            goal = AcrossLeaves.along(x, r, alpha, settings.bounds)
            rule = KeepsMoving(alpha.cpu().numpy())
        else:
            classes = classifier.require_usable(x[:chunk_size])
            limit = MAX_KL if max_kl is None else max_kl
            goal = TowardImage.at_start(classifier, classes, limit, settings.bounds, r, alpha)
            rule = ComesCloser(alpha.cpu().numpy())
        return walk(classifier, x, goal, rule, settings, projection, progress)


def _check_aim(
    direction: Tensor | None,
    towards: Tensor | None,
    max_kl: float | None,
    threshold: float | Tensor | None,
) -> None:
    """Check that a walk has one aim, and arguments that belong to it."""
    if towards is None:
        for name, value in (("max_kl", max_kl), ("threshold", threshold)):
            if value is not None:
                raise LeafError(
                    f"{name} expects a walk towards an image; got {name}={shown(value)} without "
                    f"towards. Pass towards=images, or remove {name}."
                )
        return
    if direction is not None:
        raise LeafError(
            "Expected direction or towards, not both, because a walk towards an image takes its "
            "direction from it at every point. Remove one of them."
        )
    if max_kl is not None:
        positive_number(max_kl, "max_kl")


def _default_lengths(
    x: Tensor,  # (N, ...)
    y: Tensor | None,  # (N, ...)
) -> tuple[Tensor, Tensor | None]:  # (N,), (N,)
    """Return the default step size, and the default threshold of walks towards y."""
    if y is not None:
        distance = norms((y - x).flatten(1).double())
        return distance / STEPS_TOWARDS, distance / THRESHOLD_PER_DISTANCE
    norm = norms(x.flatten(1).double())
    return torch.where(norm > 0, norm, x[0].numel() ** 0.5) / STEPS_PER_DISTANCE, None


def random_directions(start: Tensor, seed: int) -> Tensor:  # (N, ...) -> (N, ...)
    """Return one standard normal direction for each start, float64; it depends on seed and shape.

    Args:
        start: Starting points; only their shape is used.
        seed: Seed of the directions. Global random streams do not change.
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(start.shape, generator=generator, dtype=torch.float64)
