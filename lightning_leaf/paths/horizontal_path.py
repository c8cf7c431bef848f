"""The horizontal path: from a source towards a destination along the leaf."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from lightning_leaf._arguments import positive_number, whole_number
from lightning_leaf.data.normalization import Bound
from lightning_leaf.errors import LeafError
from lightning_leaf.model.classifier import measuring
from lightning_leaf.model.forward import Forward
from lightning_leaf.model.interruption import ended_after
from lightning_leaf.model.likelihood import Likelihood
from lightning_leaf.paths.goal import Flags, Move, Numbers, advanced, norms
from lightning_leaf.paths.leaf_path import LeafPath
from lightning_leaf.paths.projection_settings import ProjectionSettings
from lightning_leaf.paths.projectors import Projector
from lightning_leaf.paths.settings import (
    KEEP_POINTS,
    STEPS_PER_DISTANCE,
    PathSettings,
    domain_bounds,
    known_normalization,
    length_per_path,
)
from lightning_leaf.paths.walk import walk

MAX_STEPS = 5000
"""Default of ``max_steps``: the value of the paper."""
THRESHOLD_PER_DISTANCE = 30
"""Default threshold: the paper's 1.0 on MNIST is about 1/30 of the distance between two digits."""
STALL_WINDOW = 100
"""Number of path steps without progress after which a path is stalled."""
STALL_PROGRESS = 0.2
"""Decrease of the distance that counts as progress, in step sizes."""


def horizontal_path(
    model: Callable[..., Any],
    start: Tensor,  # (N, ...)
    end: Tensor,  # (N, ...)
    *,
    step_size: float | Tensor | None = None,
    max_steps: int = MAX_STEPS,
    max_time: float | None = None,
    threshold: float | Tensor | None = None,
    normalize: Any | None = None,
    domain: tuple[Bound, Bound] | None = None,
    top_classes: int | None = None,
    rtol: float | None = None,
    forward: Forward | None = None,
    likelihood: Likelihood | None = None,
    keep_points: int = KEEP_POINTS,
    chunk_size: int | None = None,
    progress: bool = True,
) -> LeafPath:
    r"""Compute horizontal paths from ``start`` towards ``end``: N paths at once.

    Every step of a horizontal path lies in the tangent distribution D_x at the point where it
    begins. With infinitely small steps the path would stay on the leaf of its source; finite steps
    follow it approximately. This is Algorithm 1 of Grementieri & Fioresi, "Model-centric data
    manifold: the data through the eyes of the model". At every step, with Π the orthogonal
    projection on D_x and u = end − x the displacement to the destination::

        v = Π u        x ← x + min(α, ‖v‖) · v / ‖v‖        (then clamp x to the domain)

    The length of a step is limited to ‖v‖, because a longer step would overshoot the point of the
    leaf's tangent plane that is closest to the destination. The paper's step has the length α.

    A path ends with one of five values of :class:`PathStatus`:

    * ``reached``: ‖u‖ ≤ threshold;
    * ``stalled``: 100 steps decreased ‖u‖ by less than a fifth of α, so no step along the leaf
      leads closer to the destination;
    * ``out_of_steps``: the path took ``max_steps`` steps;
    * ``out_of_time``: the computation took ``max_time`` seconds;
    * ``non_finite``: the model returned NaN or infinity.

    For a piecewise-linear network (ReLU), D_x integrates to leaves (Theorem 3.1 of the paper). For
    smooth activations (GELU, SiLU, tanh) it need not: every step of the path is still horizontal,
    but a leaf that contains the path need not exist.

    Args:
        model: Any classifier, see :meth:`LocalDataMatrix.at`.
        start: Sources, ``(N, ...)``, as the model takes them.
        end: Destinations, the same shape.
        step_size: α, one number or one for each path, in input units. The paper's value is 0.1.
            Default: 1/300 of the distance from start to end.
        max_steps: Largest number of steps (≥ 0). The paper's values are 5000, and 10000 from a
            noisy start.
        max_time: Seconds after which all paths end with the steps taken so far. Paths that wait
            for their turn then have no steps. Default: no limit.
        threshold: Distance that counts as reached, one number or one for each path, in input
            units. The paper's value is 1.0. Default: 1/30 of the distance from start to end.
        normalize: The ``torchvision.transforms.Normalize``, the pair ``(mean, std)`` or the
            :class:`Normalization` that maps pixels to inputs. Every point is then clamped to
            valid pixels. Default: that of bytes if start or end are bytes, else none.
        domain: Valid range ``(low, high)``, each a number or one number per channel: a range of
            pixels if ``normalize`` is given (default ``(0, 1)``), else a range of inputs (default:
            no limit). Every point is clamped to it.
        top_classes: Span D_x by the contrasts of this many most probable classes (≥ 2), or by the
            gradients of the labels with the largest variance p (1 − p), chosen again at every
            point. A step then takes ``top_classes − 1`` backward passes (one more for labels).
            Default: all classes.
        rtol: Relative error allowed in a projection, from 0 to below 1. With ``rtol > 0``,
            projections are computed by iterative least squares: at most 64 iterations of two
            passes at each point. Up to 724 classes (2048 for models with many weights), later
            points take a few only, because what the products tell of D_x is kept (C² numbers for
            each path). A projection that did not converge lacks directions in which the
            prediction changes least, and so can one where a direction has just become much weaker,
            as at the kink of a leaky ReLU; the path is still horizontal.
            ``rtol=0`` takes one backward pass for every class but one. Default: 0.001 with more
            than 160 classes, if the model allows products with its Jacobian; else 0.
        forward: How to call the model, see :meth:`LocalDataMatrix.at`. Default: ``model(x)``.
        likelihood: ``"categorical"`` for exclusive classes, ``"bernoulli"`` for independent labels
            with p_k = σ(s_k). D_x is then span{∇s_k}. Default: ``"categorical"``.
        keep_points: Largest number of points kept of each path (≥ 2), evenly spaced over the
            steps.
        chunk_size: Largest number of paths computed together; limits memory. Default: 32 on a CPU,
            what memory allows on a GPU, less for large inputs.
        progress: Show a progress bar on a terminal or in a notebook.

    Returns:
        The N paths, on the CPU.

    Raises:
        LeafError: If the model cannot be used (see :meth:`LocalDataMatrix.at`), the shapes of
            start and end differ, an argument is out of its range, or start or end lie outside the
            domain.
        NonFiniteError: If start or end contain NaN or infinity.

    Example:
        The identity is a classifier whose scores are its input. Its tangent distribution contains
        the displacements whose coordinates sum to zero. The first destination lies on the leaf of
        its source, the second does not:

        >>> import torch
        >>> from lightning_leaf import horizontal_path
        >>> start = torch.zeros(2, 3)
        >>> end = torch.tensor([[1.0, -1.0, 0.0], [3.0, 0.0, 0.0]])
        >>> path = horizontal_path(
        ...     torch.nn.Identity(), start, end, step_size=0.01, threshold=0.1, progress=False
        ... )
        >>> path[0].describe()
        'reached the destination after 132 steps, 0.09 of 1.41 left'
        >>> path[1].status.value, round(float(path[1].distance[-1]), 2)  # √3 is the least distance
        ('stalled', 1.73)
    """
    if max_time is not None:
        positive_number(max_time, "max_time")
    with (
        ended_after(max_time),
        measuring(model, forward=forward, likelihood=likelihood, inputs=start) as classifier,
    ):
        x, y = classifier.prepare(start, "start"), classifier.prepare(end, "end")
        if x.shape != y.shape:
            raise LeafError(
                "start and end expect the same shape, one destination for each source; got "
                f"{tuple(start.shape)} and {tuple(end.shape)}."
            )
        distance = norms((y - x).flatten(1).double())
        alpha = length_per_path(step_size, distance / STEPS_PER_DISTANCE, "step_size")
        radius = length_per_path(threshold, distance / THRESHOLD_PER_DISTANCE, "threshold")
        normalization = known_normalization(classifier, normalize, domain, start, end)
        settings = PathSettings(
            kind="horizontal",
            step_size=alpha,
            threshold=radius,
            max_steps=whole_number(max_steps, "max_steps", at_least=0),
            keep_points=whole_number(keep_points, "keep_points", at_least=2),
            bounds=domain_bounds(normalization, domain, start=x, end=y),
            normalization=normalization,
            likelihood=classifier.likelihood,
        )
        projection = ProjectionSettings(top_classes, rtol, chunk_size)
        goal = TowardDestination(y, alpha)
        rule = ComesCloser(alpha.cpu().numpy())
        return walk(classifier, x, goal, rule, settings, projection, progress)


class TowardDestination:
    """The goal of a horizontal path: the displacement to the destination, projected on D_x.

    Args:
        destinations: Destinations, ``(n, ...)``.
        step_size: α, ``(n,)``.
    """

    def __init__(self, destinations: Tensor, step_size: Tensor) -> None:
        self.destinations = destinations
        self._step_size = step_size

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Destinations and step sizes."""
        return self.destinations, self._step_size

    def move(self, x: Tensor, log_probs: Tensor, projector: Projector) -> Move:
        """Return the distance to the destination, and x + Πu with Πu shortened to the step size."""
        u = (self.destinations - x).flatten(1).double()
        v = projector.project(u)
        # A step longer than v overshoots the closest point of the tangent plane.
        return Move(norms(u), advanced(x, v, (self._step_size / norms(v)).clamp(max=1)))

    def with_tensors(self, *tensors: Tensor) -> TowardDestination:
        """See :class:`~lightning_leaf.paths.goal.Goal`."""
        destinations, step_size = tensors
        return TowardDestination(destinations, step_size)


class ComesCloser:
    """The paths that move and came closer to their destination within the stall window.

    Args:
        step_size: α of all paths, ``(N,)``.
    """

    def __init__(self, step_size: Numbers) -> None:
        self._step_size = step_size
        self._closest = np.full_like(step_size, np.inf)  # distance at the last progress
        self._idle = np.zeros(step_size.shape, dtype=np.int64)  # path steps since then

    def goes_on(self, rows: list[int], potential: Numbers, moved: Numbers) -> Flags:
        """See :class:`~lightning_leaf.paths.goal.Progress`."""
        size, closest = self._step_size[rows], self._closest[rows]
        with np.errstate(invalid="ignore"):  # infinite step sizes
            closer = potential < closest - STALL_PROGRESS * size
        self._closest[rows] = np.where(closer, potential, closest)
        self._idle[rows] = idle = np.where(closer, 0, self._idle[rows] + 1)
        return (idle < STALL_WINDOW) & (moved > 1e-6 * size)
