"""The prediction path: from an input to the prediction asked for, along the leaf."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_leaf._arguments import positive_number, whole_number
from lightning_leaf.data.normalization import Bound
from lightning_leaf.errors import LeafError, shown
from lightning_leaf.model.chunks import checked_chunk_size
from lightning_leaf.model.classifier import measuring
from lightning_leaf.model.forward import Forward
from lightning_leaf.model.interruption import ended_after
from lightning_leaf.model.likelihood import Likelihood
from lightning_leaf.model.scores import scores_of
from lightning_leaf.paths.leaf_path import LeafPath
from lightning_leaf.paths.projection_settings import ProjectionSettings
from lightning_leaf.paths.settings import (
    KEEP_POINTS,
    PathSettings,
    domain_bounds,
    known_normalization,
    length_per_path,
)
from lightning_leaf.paths.targets import Target, target_log_probs
from lightning_leaf.paths.toward_prediction import Arrives, TowardPrediction
from lightning_leaf.paths.walk import walk

MAX_STEPS = 500
"""Default of ``max_steps``; a path between confident predictions takes about 35."""
STEP_SIZE = 0.1
"""Default of ``step_size``: the longest geodesic, of length π, takes at least 32 steps."""
TOLERANCE = 0.02
"""Default of ``tolerance``: no probability differs from the target's by more than 0.01, a certain
one by 0.0001. Closer to it, paths exchange probabilities of classes that nobody asks for."""


def prediction_path(
    model: Callable[..., Any],
    start: Tensor,  # (N, ...)
    target: Target,
    *,
    through: Sequence[Target] = (),
    step_size: float | Tensor | None = None,
    max_steps: int = MAX_STEPS,
    max_time: float | None = None,
    tolerance: float | Tensor | None = None,
    normalize: Any | None = None,
    domain: tuple[Bound, Bound] | None = None,
    rtol: float | None = None,
    forward: Forward | None = None,
    likelihood: Likelihood | None = None,
    keep_points: int = KEEP_POINTS,
    chunk_size: int | None = None,
    progress: bool = True,
) -> LeafPath:
    r"""Compute prediction paths from ``start`` to a prediction: N paths at once.

    :func:`horizontal_path` asks for an image, which the leaf of the source usually does not
    contain. A prediction path asks for a prediction: it is the horizontal lift of the Fisher–Rao
    geodesic from p(x) to the target. Every step lies in the tangent distribution D_x, the path
    arrives wherever D_x has C − 1 dimensions, and its length in the leaf's own metric G is that of
    the geodesic, which no path between these predictions is shorter than.

    At every point, with r the point of the geodesic from the *current* p(x) to the target at the
    Fisher–Rao distance α, J the logit Jacobian, W the weights of the change from p(x) to r (those
    of A = W J, see :class:`~lightning_leaf.geometry.geodesic.Secant`) and K = A Aᵀ::

        v = Aᵀ (K + ε tr K I)⁻¹ W Δ log p        x ← x + τ v

    v is the least change of x that makes the change of the prediction, damped with ε ≤ 10⁻³ where
    a small change of the prediction would take a large change of x; ε is reduced while v would make
    less than half of the change. The step is shortened to a change of 2 nats in the log-ratio of
    the class that gains and the class that loses most. The model is evaluated at τ = 1, ½ and ¼,
    and the largest τ is taken across which the scores change as expected, else the largest one that
    makes progress. Each step aims anew, so that errors do not add up.

    Within a domain, coordinates at a bound that the step would leave keep their values, and are
    left out of the step and of K.

    A path ends with one of these values of :class:`PathStatus`:

    * ``reached``: the Fisher–Rao distance of p(x) and the target is at most ``tolerance``;
    * ``blocked``: 25 steps came no closer, and the path ends at the closest point.
      ``path.blocked_by`` is ``"rank"`` if no change of the
      input makes the change of the prediction, or only one that is hundreds of times as large as
      usual; ``"domain"`` if only one out of the domain does;
    * ``stalled``: the same without such a cause, usually at a kink of the model;
    * ``out_of_steps``, ``out_of_time``, ``non_finite``: see :func:`horizontal_path`.

    Args:
        model: Any classifier, see :meth:`LocalDataMatrix.at`.
        start: Sources, ``(N, ...)``, as the model takes them.
        target: A class: the probabilities of this class and of the predicted class are exchanged,
            so that the model becomes as sure of the target as it was of its own class. (For
            independent labels: p_k of label k becomes 1 − p_k.) One class for each path: ``(N,)``
            integers. Or probabilities: ``(C,)``, or ``(N, C)``, floating-point.
        through: Intermediate targets of the same forms, in their order. A path through other
            predictions and back to its own shows whether the way back is the same: ``path.change``
            is the gap.
        step_size: α, largest Fisher–Rao length of a step, one number or one for each path.
            Default: 0.1.
        max_steps: Largest number of steps (≥ 0), each of four forward passes and C − 1
            backward passes.
        max_time: See :func:`horizontal_path`.
        tolerance: Fisher–Rao distance that counts as reached, one number or one for each path.
            Default: 0.02; no probability then differs by more than 0.01, and one near 0 or 1 by
            0.0001.
        normalize: See :func:`horizontal_path`.
        domain: Valid range, see :func:`horizontal_path`.
        rtol: Relative error allowed in a lift. With ``rtol > 0`` it is computed by products with
            vectors, at most 64 of two passes at each point, and ε is relative to the largest
            eigenvalue of K instead of its trace. Default: 0.001 with more than 160 classes, if the
            model allows products with its Jacobian; else 0, exact.
        forward: See :func:`horizontal_path`.
        likelihood: See :func:`horizontal_path`.
        keep_points: Largest number of points kept of each path (≥ 2), evenly spaced over the
            steps.
        chunk_size: Largest number of paths computed together; limits memory. Default: 32 on a CPU,
            what memory allows on a GPU, less for large inputs.
        progress: Show a progress bar on a terminal or in a notebook.

    Returns:
        The N paths, on the CPU. Their ``distance`` is the Fisher–Rao distance to the target,
        through the intermediate ones.

    Raises:
        LeafError: If the model cannot be used (see :meth:`LocalDataMatrix.at`), an argument is out
            of its range, or start lies outside the domain.
        NonFiniteError: If start contains NaN or infinity.

    Example:
        The identity is a classifier whose scores are its input. The path exchanges the two largest
        probabilities and keeps the third:

        >>> import torch
        >>> from lightning_leaf import prediction_path
        >>> x = torch.tensor([[2.0, 0.0, -1.0]])
        >>> path = prediction_path(torch.nn.Identity(), x, target=1, progress=False)
        >>> path.status[0].value, f"{float(path.length_ratio[0]):.3f}"
        ('reached', '1.000')
        >>> for log_p in path.log_probs[0, [0, -1]]:
        ...     print([round(p, 3) for p in log_p.exp().tolist()])
        [0.844, 0.114, 0.042]
        [0.114, 0.844, 0.042]
    """
    if max_time is not None:
        positive_number(max_time, "max_time")
    checked_chunk_size(chunk_size)
    if isinstance(through, (str, bytes, Tensor)) or not isinstance(through, Sequence):
        raise LeafError(
            "through expects a sequence of targets, such as [3] or [3, 5]; got "
            f"{shown(through)}. Pass through=[target]."
        )
    with (
        ended_after(max_time),
        measuring(model, forward=forward, likelihood=likelihood, inputs=start) as classifier,
    ):
        x = classifier.prepare(start, "start")
        classifier.require_usable(x[:chunk_size])
        first = classifier.log_probs(scores_of(classifier, x, chunk_size)).to(x.device)
        named = [*((f"through[{i}]", each) for i, each in enumerate(through)), ("target", target)]
        waypoints = torch.stack(
            [target_log_probs(each, first, classifier.likelihood, name) for name, each in named], 1
        )
        alpha = length_per_path(step_size, first.new_full((len(x),), STEP_SIZE), "step_size")
        radius = length_per_path(tolerance, first.new_full((len(x),), TOLERANCE), "tolerance")
        normalization = known_normalization(classifier, normalize, domain, start)
        settings = PathSettings(
            kind="prediction",
            step_size=alpha,
            threshold=radius,
            max_steps=whole_number(max_steps, "max_steps", at_least=0),
            keep_points=whole_number(keep_points, "keep_points", at_least=2),
            bounds=domain_bounds(normalization, domain, start=x),
            normalization=normalization,
            likelihood=classifier.likelihood,
            targets=waypoints[:, -1].exp().cpu(),
        )
        projection = ProjectionSettings(None, rtol, chunk_size)
        goal = TowardPrediction(classifier, waypoints, radius, alpha, settings.bounds)
        rule = Arrives(alpha.cpu().numpy())
        return walk(classifier, x, goal, rule, settings, projection, progress)
