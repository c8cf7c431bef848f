"""Two-dimensional maps of predictions, whose distances resemble Fisher–Rao distances."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_leaf.errors import LeafError, NonFiniteError
from lightning_leaf.geometry.labels import label_angles
from lightning_leaf.model.likelihood import Likelihood, checked_likelihood

MOST_PREDICTIONS = 2000
"""Largest number of predictions of one map: their distances are a square matrix."""
MOST_CORNERS = 20
"""Largest number of corners of a map without fixed corners."""
_ITERATIONS = 100
_EDGE_POINTS = 33
_OCTANT_SCALE = 0.9876
"""Scale of the map of three classes, the best one for points evenly distributed on the octant."""


@dataclass(frozen=True, eq=False)
class LeafMap:
    """Predictions as points of the plane, see :func:`leaf_map`.

    Attributes:
        positions: The points, ``(..., 2)``, float64, in units of the Fisher–Rao distance.
        corners: Certain predictions, ``(K, C)``, bool: one class has probability one, or each label
            has probability zero or one.
        corner_positions: The points of the corners, ``(K, 2)``, float64.
        edges: Curves between corners, ``(E, M, 2)``, float64, along which two classes or one label
            are uncertain. There are none if the map depends on the predictions (E = 0).
        distortion: Typical relative error of a distance on the map, see :func:`leaf_map`.
    """

    positions: Tensor
    corners: Tensor
    corner_positions: Tensor
    edges: Tensor
    distortion: float


def leaf_map(
    log_probs: Tensor,  # (..., C)
    likelihood: Likelihood = "categorical",
) -> LeafMap:
    r"""Map predictions to the plane so that distances resemble Fisher–Rao distances.

    Predictions of C classes are points of a sphere of radius 2 with C − 1 dimensions, those of
    L independent labels points of a cube with sides of length π. The map depends on C:

    * two classes or one label: their arc, as a line of length π. All distances are exact.
    * two labels: the square. All distances are exact.
    * three classes: the octant of the sphere as a triangle with curved sides, by the azimuthal
      equidistant projection about the uniform prediction. Its distortion was 0.01–0.03 for paths of
      scikit-learn's digits. That of the usual ternary diagram, which draws p itself, was
      0.04–0.19: it hides how certain predictions differ.
    * more: the points with the smallest squared errors of all distances (metric
      multidimensional scaling), computed from classical scaling by 100 steps of the SMACOF
      iteration. For 8 horizontal or prediction paths of MNIST and digits with ten classes its
      distortion was 0.12–0.25. That of stereographic and azimuthal equidistant projections about
      the mean prediction, on their principal axes and at their best scale, was 0.21–0.35, and that
      of classical scaling 0.19–0.37: a projection of a simplex with many corners moves some
      corners into each other. For one path all were below 0.2, this one below 0.05. Ten random
      starts of the iteration lowered its distortion by at most 1 %.

    The distortion is :math:`\sqrt{\sum_{ij} (d_{ij} - \delta_{ij})^2 / \sum_{ij} \delta_{ij}^2}`
    (Kruskal's stress-1) of the distances d on the map and the Fisher–Rao distances δ between all
    predictions and corners.

    Args:
        log_probs: Log-probabilities of at most 2000 predictions, shape ``(..., C)``.
        likelihood: ``"categorical"`` for exclusive classes, ``"bernoulli"`` for independent labels.

    Returns:
        Positions, corners and distortion. Corners are all certain predictions up to three classes
        or two labels, else the classes or sets of labels that are predicted, at most the 20 most
        frequent.

    Raises:
        LeafError: If ``likelihood`` is unknown, there is one class, no prediction or more than
            2000.
        NonFiniteError: If a log-probability is NaN.

    References:
        Jan de Leeuw, *Applications of Convex Analysis to Multidimensional Scaling*, 1977 (SMACOF).

    Example:
        >>> import torch
        >>> certain = torch.eye(3).log()
        >>> chart = leaf_map(certain)
        >>> torch.cdist(chart.positions, chart.positions)[0]  # instead of π
        tensor([0.0000, 3.2683, 3.2683], dtype=torch.float64)
        >>> round(leaf_map(torch.eye(10).log()).distortion, 2)  # ten corners do not fit the plane
        0.33
    """
    is_labels = checked_likelihood(likelihood) == "bernoulli"
    rows = _checked(log_probs, is_labels)  # (n, C)
    classes = rows.shape[1]
    fixed = classes <= (2 if is_labels else 3)
    corners = _all_corners(classes, is_labels) if fixed else _predicted(rows, is_labels)
    rows = torch.cat([rows, corners.to(rows).log()])
    points = label_angles(rows) if is_labels else (0.5 * rows).exp()
    distances = _distances(points, is_labels)
    places = _fixed(points, is_labels) if fixed else _scaled(distances)  # (n + K, 2)
    error = torch.linalg.vector_norm(_between(places) - distances)
    size = torch.linalg.vector_norm(distances)
    count = len(corners)
    return LeafMap(
        positions=places[:-count].reshape(*log_probs.shape[:-1], 2),
        corners=corners,
        corner_positions=places[-count:],
        edges=_edges(corners, is_labels) if fixed else places.new_empty(0, _EDGE_POINTS, 2),
        distortion=float(error / size),
    )


def _checked(log_probs: Tensor, is_labels: bool) -> Tensor:  # (..., C) -> (n, C)
    if log_probs.ndim < 1 or log_probs.shape[-1] < (1 if is_labels else 2):
        raise LeafError(
            f"leaf_map expects at least two classes, or one label with "
            f'likelihood="bernoulli", shape (..., C); got shape {tuple(log_probs.shape)}.'
        )
    rows = log_probs.detach().cpu().double().reshape(-1, log_probs.shape[-1])
    if not 0 < len(rows) <= MOST_PREDICTIONS:
        raise LeafError(
            f"leaf_map expects 1 to {MOST_PREDICTIONS} predictions; got {len(rows)}. Take some of "
            f"them, such as log_probs[::10]."
        )
    if bool(rows.isnan().any()):
        raise NonFiniteError("leaf_map expects log-probabilities; some of them are NaN.")
    return rows


def _all_corners(classes: int, is_labels: bool) -> Tensor:  # (K, C)
    if not is_labels:
        return torch.eye(classes, dtype=torch.bool)
    values = torch.tensor([False, True])
    return torch.cartesian_prod(*[values] * classes).reshape(-1, classes)


def _predicted(rows: Tensor, is_labels: bool) -> Tensor:  # (n, C) -> (K, C)
    """Return the predicted classes or sets of labels, the most frequent first."""
    if is_labels:
        certain = rows > math.log(0.5)
    else:
        certain = torch.nn.functional.one_hot(rows.argmax(1), rows.shape[1]).bool()
    found, counts = torch.unique(certain, dim=0, return_counts=True)
    most: Tensor = found[counts.argsort(descending=True, stable=True)[:MOST_CORNERS]]
    return most


def _distances(points: Tensor, is_labels: bool) -> Tensor:  # (n, C) -> (n, n)
    """Return the Fisher–Rao distances of all pairs, without a tensor of shape (n, n, C)."""
    chords = _between(points)
    return chords if is_labels else 4 * torch.asin((0.5 * chords).clamp(max=1.0))


def _between(points: Tensor) -> Tensor:  # (n, m) -> (n, n)
    distances: Tensor = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    return distances


def _fixed(points: Tensor, is_labels: bool) -> Tensor:  # (n, C) -> (n, 2)
    """Return the map of up to three classes or two labels, which depends on no prediction."""
    zero = torch.zeros_like(points[:, 0])
    if is_labels:
        return torch.stack([points[:, 0], points[:, 1] if points.shape[1] == 2 else zero], 1)
    if points.shape[1] == 2:
        return torch.stack([2 * torch.atan2(points[:, 1], points[:, 0]), zero], 1)
    # An orthonormal frame at the uniform prediction: the first corner is above, the others below.
    up = points.new_tensor([2, -1, -1]) / math.sqrt(6)
    right = points.new_tensor([0, -1, 1]) / math.sqrt(2)
    tangent = points @ torch.stack([right, up], 1)  # (n, 2)
    radius = torch.linalg.vector_norm(tangent, dim=1)
    angle = torch.atan2(radius, points.sum(1) / math.sqrt(3))
    places: Tensor = tangent * (2 * _OCTANT_SCALE * angle / radius.clamp_min(1e-300))[:, None]
    return places


def _edges(corners: Tensor, is_labels: bool) -> Tensor:  # (K, C) -> (E, M, 2)
    """Return the map of the shortest curves between corners that differ in one label, or at all."""
    ends = corners.double()
    different = 1 if is_labels else 2
    pairs = [
        (i, j)
        for i in range(len(ends))
        for j in range(i)
        if int((corners[i] != corners[j]).sum()) == different
    ]
    t = torch.linspace(0, math.pi / 2, _EDGE_POINTS, dtype=torch.float64)[:, None]
    curves = []
    for i, j in pairs:
        if is_labels:
            points = math.pi * (ends[i] + (ends[j] - ends[i]) * t / (math.pi / 2))
        else:
            points = t.cos() * ends[i] + t.sin() * ends[j]
        curves.append(_fixed(points, is_labels))
    return torch.stack(curves)


def _scaled(distances: Tensor) -> Tensor:  # (n, n) -> (n, 2)
    """Return the points of the plane with the least squared errors of all distances (SMACOF)."""
    places = _apart(_classical_scaling(distances))
    for _ in range(_ITERATIONS):
        ratios = distances / _between(places).clamp_min(1e-12)
        ratios.fill_diagonal_(0.0)
        # X ← B X / n with B = diag(Σ_j r_ij) − r, the least value of a quadratic upper bound.
        places = (ratios.sum(1, keepdim=True) * places - ratios @ places) / len(places)
    return _turned(places)


def _classical_scaling(distances: Tensor) -> Tensor:  # (n, n) -> (n, 2)
    """Return the principal axes of the points whose Euclidean distances would be the given ones."""
    squares = distances.square()
    means = squares.mean(1, keepdim=True)
    values, vectors = torch.linalg.eigh(0.5 * (means + means.T - squares - squares.mean()))
    places: Tensor = vectors[:, [-1, -2]] * values[[-1, -2]].clamp_min(0).sqrt()
    return places


def _apart(places: Tensor) -> Tensor:  # (n, 2) -> (n, 2)
    """Move each point a little in another direction: the iteration separates no equal points."""
    turns = torch.arange(len(places), dtype=places.dtype) * math.pi * (3 - math.sqrt(5))
    size = 0.01 * places.square().sum(1).mean().sqrt()
    return places + size * torch.stack([turns.cos(), turns.sin()], 1)


def _turned(places: Tensor) -> Tensor:  # (n, 2) -> (n, 2)
    """Turn the long axis to the horizontal, the first point to the left, the widest one up."""
    places = places - places.mean(0)
    axes = torch.linalg.eigh(places.T @ places)[1].flip(1)
    places = places @ axes
    widest = places[places[:, 1].abs().argmax(), 1]
    signs = torch.stack([-places[0, 0], widest]).sign()
    return places * torch.where(signs == 0, 1.0, signs)
