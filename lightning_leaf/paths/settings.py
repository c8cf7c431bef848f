"""Settings that horizontal paths and orthogonal walks share: defaults and argument checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_leaf.data.normalization import Bound, Normalization, input_bounds
from lightning_leaf.errors import LeafError, shown
from lightning_leaf.model.classifier import Classifier
from lightning_leaf.model.likelihood import Likelihood
from lightning_leaf.paths.single_path import PathKind

STEPS_PER_DISTANCE = 300
"""Default step size: the paper's 0.1 on MNIST is about 1/300 of the distance between two digits."""
KEEP_POINTS = 64
"""Default number of points kept of each path."""


@dataclass(frozen=True)
class PathSettings:
    """Settings of a batch of N paths.

    Attributes:
        kind: ``"horizontal"``, ``"prediction"`` or ``"orthogonal"``.
        step_size: Length α of a step, ``(N,)``, float64, in the units of the recorded distance.
        threshold: Distance that counts as reached, ``(N,)``, float64, in these units; None for
            paths without a destination or target.
        max_steps: Largest number of steps of each path.
        keep_points: Largest number of points kept of each path.
        bounds: Smallest and largest valid input, which broadcast to ``(N, ...)``; None for an
            open domain.
        normalization: The map from pixels to inputs, if it is known.
        likelihood: What the scores of the model mean.
        targets: Probabilities that prediction paths lead to, ``(N, C)``, float64, on the CPU; None
            for other paths.
    """

    kind: PathKind
    step_size: Tensor
    threshold: Tensor | None
    max_steps: int
    keep_points: int
    bounds: tuple[Tensor, Tensor] | None
    normalization: Normalization | None
    likelihood: Likelihood
    targets: Tensor | None = None


def length_per_path(
    value: float | Tensor | None,
    default: Tensor,  # (N,)
    name: str,
) -> Tensor:  # (N,)
    """Return one positive length for each path, float64.

    Args:
        value: The argument as the user passed it: one length, one for each path, or None.
        default: The lengths to return if ``value`` is None.
        name: Name of the argument, for the message.

    Raises:
        LeafError: If a length is not positive or the number of lengths is not N.
    """
    if value is None:
        return default
    lengths = torch.as_tensor(value, dtype=torch.float64, device=default.device)
    if lengths.shape not in ((), default.shape) or not bool((lengths > 0).all()):
        raise LeafError(
            f"{name} expects a positive number, or one for each of the {len(default)} paths; got "
            f"{shown(value)}."
        )
    return lengths.expand_as(default)


def known_normalization(
    classifier: Classifier,
    normalize: Any | None,
    domain: tuple[Bound, Bound] | None,
    *ends: Tensor,  # each (N, ...)
) -> Normalization | None:
    """Return the map from pixels to inputs: the argument, or that of bytes from 0 to 255.

    Args:
        classifier: An open classifier, which has prepared the ends.
        normalize: See :func:`~lightning_leaf.data.normalization.input_bounds`.
        domain: See :func:`~lightning_leaf.data.normalization.input_bounds`.
        *ends: The ends of the paths as the user passed them.

    Raises:
        LeafError: If ``normalize`` is not valid.
    """
    if normalize is not None:
        return Normalization.of(normalize)
    are_bytes = any(x.dtype == torch.uint8 for x in ends)
    if domain is not None or not are_bytes or classifier.pixel_scale is None:
        return None
    return Normalization((0.0,), (1 / (255 * classifier.pixel_scale),))


def domain_bounds(
    normalize: Any | None,
    domain: tuple[Bound, Bound] | None,
    **ends: Tensor,  # each (N, ...)
) -> tuple[Tensor, Tensor] | None:
    """Return the bounds of the domain, after checking that both ends of every path lie in it.

    Args:
        normalize: See :func:`~lightning_leaf.data.normalization.input_bounds`.
        domain: See :func:`~lightning_leaf.data.normalization.input_bounds`.
        **ends: The ends of the paths, by the name of the argument.

    Raises:
        LeafError: If ``normalize`` or ``domain`` is not valid, or an end lies outside the domain.
    """
    bounds = input_bounds(next(iter(ends.values())), normalize, domain)
    if bounds is not None:
        low, high = bounds
        tolerance = 1e-3 * (high - low)  # allows for rounding in the user's normalization
        for name, x in ends.items():
            if bool(((x < low - tolerance) | (x > high + tolerance)).any()):
                raise LeafError(
                    f"{name} expects values inside the domain, [{float(low.min()):.4g}, "
                    f"{float(high.max()):.4g}] in input units; got values in "
                    f"[{float(x.min()):.4g}, {float(x.max()):.4g}]. Check that normalize and "
                    "domain match the preprocessing of these inputs."
                )
    return bounds
