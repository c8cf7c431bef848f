"""Walks in the foliation: along a leaf towards a destination, and across the leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lightning_leaf.data.normalization import Bound, Normalization, input_bounds
from lightning_leaf.errors import LeafError
from lightning_leaf.model.classifier import measuring
from lightning_leaf.paths.leaf_path import LeafPath
from lightning_leaf.paths.projectors import Method
from lightning_leaf.paths.recorder import Terms
from lightning_leaf.paths.walk import Across, Along, walk

STEPS_PER_DISTANCE = 300
"""Default step: the paper's 0.1 on MNIST is about one 300th of the distance between two digits."""
THRESHOLD_PER_DISTANCE = 30
"""Default threshold: the paper's 1.0 on MNIST is about one 30th of that distance."""

Lengths = float | Tensor


def horizontal_path(
    model: Callable[..., Any],
    start: Tensor,  # (N, ...)
    end: Tensor,  # (N, ...)
    *,
    step_size: Lengths | None = None,
    max_steps: int = 5000,
    threshold: Lengths | None = None,
    normalize: Any | None = None,
    domain: tuple[Bound, Bound] | None = None,
    top_classes: int | None = None,
    rtol: float | None = None,
    keep_points: int = 64,
    chunk_size: int | None = None,
    progress: bool = True,
) -> LeafPath:
    r"""Walk from ``start`` towards ``end`` without leaving the leaf: N paths at once.

    Algorithm 1 of Grementieri & Fioresi, "Model-centric data manifold". At every step, with Π the
    orthogonal projection on the tangent distribution D_x and u = end − x::

        v = Π u        x ← x + min(α, ‖v‖) · v / ‖v‖        (then clamp x to the domain)

    A step is never longer than the projected displacement, which would overshoot the point of
    the leaf's tangent plane that is closest to the destination; α alone is the paper's step.

    A path is *reached* when ‖u‖ ≤ threshold; *stalled* when 100 steps brought it closer by less
    than a fifth of one step (no step along the leaf leads closer), *out of steps* after
    ``max_steps``, *non-finite* when the model returns NaN or infinity. Paths that are done leave
    the batch, and those that wait take their places. For networks with smooth activations (GELU,
    SiLU, tanh) D_x need not integrate to leaves (Theorem 3.1 is about piecewise-linear ones): the
    path is then horizontal at every step, but "leaf" is a manner of speaking.

    Args:
        model: Any classifier, see :meth:`LocalDataMatrix.at`.
        start: Sources, ``(N, ...)``, as the model takes them.
        end: Destinations, the same shape.
        step_size: α, a number or one for each path, in input units; the paper's is 0.1. Default:
            a 300th of the distance from start to end.
        max_steps: Steps before giving up; the paper's are 5000, 10000 for a noisy start.
        threshold: Distance that counts as reached, a number or one for each path; the paper's
            is 1.0. Default: a 30th of the distance from start to end.
        normalize: ``torchvision.transforms.Normalize`` or ``(mean, std)`` that made inputs of
            pixels: points then stay valid pixels.
        domain: Valid range ``(low, high)``, each a number or one per channel: of pixels where
            ``normalize`` is given (default ``(0, 1)``), else of inputs (default: open).
        top_classes: Take D_x as spanned by the contrasts of so many of the most probable classes,
            chosen anew at every point (≥ 2): one backward pass for each of them. Default: all.
        rtol: Error allowed in a projection, relative to it, for projections by iterative least
            squares (at most 64 iterations of two passes a step, which go on at the next step):
            their cost does not grow with the number of classes. What has not converged lacks
            directions in which predictions change least; the path is horizontal all the same. 0
            takes one backward pass for every class. Default: 0 up to 160 classes, else 0.001.
        keep_points: Points kept of each path at most (≥ 2), evenly spread.
        chunk_size: Paths that walk at once; bounds memory. Default: 32, fewer of large inputs.
        progress: Show a progress bar on a terminal or in a notebook.

    Returns:
        The paths, on the CPU.

    Raises:
        LeafError: See :meth:`LocalDataMatrix.at`; also if shapes differ, a number is out of its
            range, or start or end lie outside the domain.
        NonFiniteError: If start or end hold NaN or infinity.
    """
    with measuring(model) as classifier:
        x, y = classifier.prepare(start, "start"), classifier.prepare(end, "end")
        if x.shape != y.shape:
            raise LeafError(
                "start and end expect one destination for each source, the same shape; got "
                f"{tuple(start.shape)} and {tuple(end.shape)}."
            )
        gap = torch.linalg.vector_norm((y - x).flatten(1).double(), dim=1)
        alpha = _lengths(step_size, gap / STEPS_PER_DISTANCE, "step_size")
        near = _lengths(threshold, gap / THRESHOLD_PER_DISTANCE, "threshold")
        terms = Terms(
            kind="horizontal",
            step_size=alpha,
            threshold=near,
            max_steps=_whole(max_steps, 0, "max_steps"),
            keep_points=_whole(keep_points, 2, "keep_points"),
            bounds=_bounds(normalize, domain, start=x, end=y),
            normalization=None if normalize is None else Normalization.of(normalize),
        )
        method = Method(top_classes, rtol, chunk_size)
        return walk(classifier, x, Along(y, alpha, near), terms, method, progress)


def orthogonal_walk(
    model: Callable[..., Any],
    start: Tensor,  # (N, ...)
    direction: Tensor | None = None,  # (N, ...)
    *,
    step_size: Lengths | None = None,
    max_steps: int = 1000,
    normalize: Any | None = None,
    domain: tuple[Bound, Bound] | None = None,
    seed: int = 0,
    top_classes: int | None = None,
    rtol: float | None = None,
    keep_points: int = 64,
    chunk_size: int | None = None,
    progress: bool = True,
) -> LeafPath:
    r"""Walk away from ``start`` across the leaves: changes that the model does not see.

    Section 4.2 (Figure 3) of Grementieri & Fioresi. With one fixed direction r for each walk and
    Π the orthogonal projection on the tangent distribution D_x, at every step::

        v = r − Π r        x ← x + α · v / ‖v‖

    Within a domain, coordinates that the step would lead out of it stay where they are: r and Π
    are those of the other coordinates. Clamping them after the step, as the paper does, leads off
    ker G: a walk that goes on for long loses its label.

    To second order the prediction does not change: KL(p(x) ‖ p(x + δ)) = ½ δᵀGδ + O(‖δ‖³), and
    δ lies in ker G (equation 8).

    A walk has no destination: its usual status is *out of steps*. It is *stalled* when no
    direction is left, because r is tangent or every pixel is at its bound.

    Args:
        model: Any classifier, see :meth:`LocalDataMatrix.at`.
        start: Where to start, ``(N, ...)``, as the model takes it.
        direction: r, one for each walk, the same shape; default: drawn from a normal distribution.
        step_size: α, a number or one for each walk, in input units; the paper's is 0.1. Default:
            a 300th of the norm of ``start``.
        max_steps: Steps to take; the paper's are 1000, and 250 to make a noisy image.
        normalize: See :func:`horizontal_path`.
        domain: See :func:`horizontal_path`.
        top_classes: See :func:`horizontal_path`.
        rtol: See :func:`horizontal_path`.
        seed: Seed of the random directions; global random streams are not touched.
        keep_points: Points kept of each walk at most (≥ 2), evenly spread.
        chunk_size: Walks at once; bounds memory. Default: 32, fewer of large inputs.
        progress: Show a progress bar on a terminal or in a notebook.

    Returns:
        The walks, on the CPU.

    Raises:
        LeafError: See :func:`horizontal_path`.
        NonFiniteError: If start or direction hold NaN or infinity.
    """
    with measuring(model) as classifier:
        x = classifier.prepare(start, "start")
        if direction is None:
            direction = random_directions(x, seed)
        r = classifier.prepare(direction, "direction")
        if x.shape != r.shape:
            raise LeafError(
                "direction expects one vector for each start, the same shape; got "
                f"{tuple(direction.shape)} for starts of shape {tuple(start.shape)}."
            )
        norm = torch.linalg.vector_norm(x.flatten(1).double(), dim=1)
        norm = torch.where(norm > 0, norm, x[0].numel() ** 0.5)
        terms = Terms(
            kind="orthogonal",
            step_size=_lengths(step_size, norm / STEPS_PER_DISTANCE, "step_size"),
            threshold=None,
            max_steps=_whole(max_steps, 0, "max_steps"),
            keep_points=_whole(keep_points, 2, "keep_points"),
            bounds=_bounds(normalize, domain, start=x),
            normalization=None if normalize is None else Normalization.of(normalize),
        )
        method = Method(top_classes, rtol, chunk_size)
        goal = Across(x, r, terms.step_size, terms.bounds)
        return walk(classifier, x, goal, terms, method, progress)


def random_directions(start: Tensor, seed: int) -> Tensor:  # (N, ...) -> (N, ...)
    """One direction for each start, normally distributed, float64; chosen by the seed alone."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(start.shape, generator=generator, dtype=torch.float64)


def _lengths(given: Lengths | None, default: Tensor, name: str) -> Tensor:  # (N,)
    """One length for each path, float64."""
    if given is None:
        return default
    lengths = torch.as_tensor(given, dtype=torch.float64, device=default.device)
    if lengths.shape not in ((), default.shape) or not bool((lengths > 0).all()):
        raise LeafError(
            f"{name} expects a positive number, or one for each of the {len(default)} paths; got "
            f"{given!r}."
        )
    return lengths.expand_as(default)


def _whole(number: int, least: int, name: str) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        raise LeafError(f"{name} expects a whole number of at least {least}; got {number!r}.")
    return number


def _bounds(
    normalize: Any | None, domain: tuple[Bound, Bound] | None, **ends: Tensor
) -> tuple[Tensor, Tensor] | None:
    """Bounds of the domain, in which both ends of every path have to lie."""
    bounds = input_bounds(next(iter(ends.values())), normalize, domain)
    if bounds is not None:
        low, high = bounds
        tolerance = 1e-3 * (high - low)  # room for rounding in the users' own normalisation
        for name, x in ends.items():
            if bool(((x < low - tolerance) | (x > high + tolerance)).any()):
                raise LeafError(
                    f"{name} expects values inside the domain, [{float(low.min()):.4g}, "
                    f"{float(high.max()):.4g}] in input units; got values in "
                    f"[{float(x.min()):.4g}, {float(x.max()):.4g}]. Check that normalize and "
                    "domain describe how these inputs were made."
                )
    return bounds
