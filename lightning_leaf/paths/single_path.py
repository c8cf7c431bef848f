"""One path or walk: points, predictions and status."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from lightning_leaf.data.normalization import Normalization
from lightning_leaf.drawing.plotting import plot_paths
from lightning_leaf.geometry.divergence import kl_divergence
from lightning_leaf.geometry.fisher_rao import fisher_rao_distance
from lightning_leaf.model.likelihood import Likelihood

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PathKind = Literal["horizontal", "orthogonal", "prediction"]
Barrier = Literal["", "rank", "domain", "prediction"]
"""What blocks a path; see ``SinglePath.blocked_by``."""


class PathStatus(str, Enum):
    """The reason why a path ended.

    Example:
        >>> from lightning_leaf import PathStatus
        >>> [status.value for status in PathStatus]
        ['reached', 'stalled', 'blocked', 'out_of_steps', 'non_finite', 'out_of_time']
    """

    REACHED = "reached"
    """The path came within the threshold of its destination, or of the prediction asked for."""
    STALLED = "stalled"
    """No step along the leaf leads closer to the destination; another path may still reach it.

    For an orthogonal walk: no direction across the leaves is left."""
    BLOCKED = "blocked"
    """The path cannot go on; ``blocked_by`` of :class:`SinglePath` names the cause."""
    OUT_OF_STEPS = "out_of_steps"
    """The path took ``max_steps`` steps, as orthogonal walks usually do."""
    NON_FINITE = "non_finite"
    """The model returned NaN or infinity."""
    OUT_OF_TIME = "out_of_time"
    """The path was ended early, after ``max_time`` seconds or on request. Its steps are kept."""


_OUTCOMES = {
    PathStatus.REACHED: "reached the destination after",
    PathStatus.STALLED: "stalled after",
    PathStatus.BLOCKED: "blocked after",
    PathStatus.OUT_OF_STEPS: "out of steps after",
    PathStatus.OUT_OF_TIME: "out of time after",
}


_BARRIERS: dict[Barrier, str] = {
    "rank": "no change of the input leads on (rank)",
    "domain": "only inputs outside of the domain lead on",
    "prediction": "the next step would change the prediction",
}


@dataclass(frozen=True, eq=False)
class SinglePath:
    """One horizontal path, prediction path or orthogonal walk, on the CPU.

    T is the number of steps taken, F the number of points kept and C the number of classes. Item i
    of a :class:`LeafPath` is a ``SinglePath``.

    Attributes:
        kind: ``"horizontal"``, ``"prediction"`` or ``"orthogonal"``.
        points: Kept points, ``(F, ...)``, in the units of the model's input. They are evenly
            spaced over the steps and always include the first and the last point.
        point_steps: The step of every kept point, ``(F,)``, int64.
        log_probs: log p(y|x) at every step, ``(T + 1, C)``, float32. For independent labels it is
            log p_k of each label k.
        distance: Distance at every step, ``(T + 1,)``, float64: Euclidean distance to the
            destination (horizontal, and orthogonal with one) or from the start (orthogonal), in
            input units; Fisher–Rao distance to the target (prediction).
        horizontality: Share ‖Πδ‖ / ‖δ‖ of every displacement δ that lies in the tangent
            distribution at the point where δ begins, ``(T,)``, float64, from 0 to 1. δ includes
            clamping to the domain. It is about 1 for a horizontal path and 0 for an orthogonal
            walk.
        fisher_rao_length: Length in the metric G from the start to every step, ``(T + 1,)``,
            float64; see :func:`fisher_rao_length`.
        euclidean_length: Length from the start to every step in input units, ``(T + 1,)``,
            float64.
        status: The reason why the path ended.
        end: The destination, ``(...)``; None for paths without one.
        step_size: Length α of a step, in the units of ``distance``; the largest one for a
            prediction path.
        threshold: Distance that counts as reached, in the units of ``distance``; None for paths
            without a destination or target.
        normalization: The map from pixels to inputs; None if it was not given.
        likelihood: ``"categorical"`` for exclusive classes, ``"bernoulli"`` for independent labels.
        target: Probabilities that a prediction path leads to, ``(C,)``, float64; else None.
        blocked_by: What ended a path with the status ``blocked``: ``"rank"``, no change of the
            input makes the change of the prediction; ``"domain"``, only a change out of the domain
            does; ``"prediction"``, the step would change the prediction. ``""`` for other paths.

    Example:
        >>> import torch
        >>> from lightning_leaf import orthogonal_walk
        >>> path = orthogonal_walk(
        ...     torch.nn.Linear(4, 3), torch.ones(1, 4), max_steps=5, progress=False
        ... )[0]
        >>> path.steps, path.log_probs.shape, path.horizontality.shape
        (5, torch.Size([6, 3]), torch.Size([5]))
        >>> path.describe()
        'walked 5 steps, 0.03 from the start'
    """

    kind: PathKind
    points: Tensor
    point_steps: Tensor
    log_probs: Tensor
    distance: Tensor
    horizontality: Tensor
    fisher_rao_length: Tensor
    euclidean_length: Tensor
    status: PathStatus
    end: Tensor | None
    step_size: float
    threshold: float | None
    normalization: Normalization | None
    likelihood: Likelihood = "categorical"
    target: Tensor | None = None
    blocked_by: Barrier = ""

    @property
    def steps(self) -> int:
        """Number of steps taken, T."""
        return len(self.distance) - 1

    @property
    def start(self) -> Tensor:
        """The first point, ``(...)``."""
        return self.points[0]

    @property
    def change(self) -> float:
        """Euclidean distance ‖x_T − x_0‖ between the first and the last point, in input units."""
        return float(torch.linalg.vector_norm((self.points[-1] - self.points[0]).double()))

    @property
    def switch_change(self) -> float:
        """Change after which a prediction path is first read as its target, in input units.

        It is the distance from the first point to the first kept point at which the most probable
        class is that of the target (for labels: at which the label that changes most from start to
        target is on the side of the target). NaN if there is none, and for other kinds.
        """
        if self.target is None:
            return math.nan
        p, asked = self.log_probs[self.point_steps].double().exp(), self.target
        if self.likelihood == "bernoulli":
            label = int((asked - p[0]).abs().argmax())
            is_read = (p[:, label] > 0.5) == bool(asked[label] > 0.5)
        else:
            is_read = p.argmax(1) == asked.argmax()
        if not bool(is_read.any()):
            return math.nan
        first = self.points[int(is_read.long().argmax())]
        return float(torch.linalg.vector_norm((first - self.points[0]).double()))

    @property
    def length_ratio(self) -> float:
        """Fisher–Rao length over the Fisher–Rao distance of the first and the last prediction.

        At least 1; 1 for the shortest path between these predictions. NaN where they are equal.
        """
        first, last = self.log_probs[0].double(), self.log_probs[-1].double()
        shortest = float(fisher_rao_distance(first, last, self.likelihood))
        return float(self.fisher_rao_length[-1]) / shortest if shortest > 0 else math.nan

    @property
    def kl(self) -> Tensor:
        """KL(p(x_0) ‖ p(x_t)) at every step, ``(T + 1,)``, float64, in nats.

        For independent labels it is the sum over the labels.
        """
        return kl_divergence(self.log_probs[:1], self.log_probs, self.likelihood)

    @property
    def covered(self) -> float:
        """Share of the distance to the destination that the path has covered, at most 1.

        0 if the last point is as far from the destination as the first; NaN for paths without one.
        """
        if self.end is None:
            return math.nan
        first, last = float(self.distance[0]), float(self.distance[-1])
        return 1 - last / first if first > 0 else 1.0

    def describe(self) -> str:
        """Return the status, the number of steps and the last distance, as one sentence."""
        last, steps = float(self.distance[-1]), f"{self.steps} step{'s' * (self.steps != 1)}"
        if self.status is PathStatus.NON_FINITE:
            return f"stopped after {steps}: the model returned NaN or infinity"
        if self.status is PathStatus.BLOCKED:
            steps = f"{steps}: {_BARRIERS[self.blocked_by]}"
        if self.kind == "prediction":
            verb = "reached the target after" if self._arrived else _OUTCOMES[self.status]
            left = "" if self._arrived else f", {last:.2f} of {float(self.distance[0]):.2f} left"
            return f"{verb} {steps}{left}, changed by {self.change:.2f}"
        if self.end is None:
            verb = "walked" if self.status is PathStatus.OUT_OF_STEPS else _OUTCOMES[self.status]
            return f"{verb} {steps}, {last:.2f} from the start"
        if self.kind == "orthogonal":
            share, kl = 100 * self.covered, float(self.kl.max())
            left = f"covered {share:.0f} % of the way, KL at most {kl:.2g}"
        else:
            left = f"{last:.2f} of {float(self.distance[0]):.2f} left"
        return f"{_OUTCOMES[self.status]} {steps}, {left}"

    @property
    def _arrived(self) -> bool:
        return self.status is PathStatus.REACHED

    def plot(self, *, classes: Sequence[str] | None = None) -> Figure:
        """Plot the points as a strip, and the curves along the path; needs matplotlib.

        Args:
            classes: Names of the C classes. Default: their numbers.

        Returns:
            A figure, which a notebook shows and ``figure.savefig`` saves.

        Raises:
            ValueError: If the number of names is not C.
            ModuleNotFoundError: If matplotlib is not installed.
        """
        return plot_paths([self], classes=classes)
