"""The result of a horizontal path or orthogonal walk: points, predictions and status."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Literal, overload

import torch
from torch import Tensor

from lightning_leaf.data.normalization import Normalization
from lightning_leaf.drawing.plotting import KIND_NAMES, plot_paths
from lightning_leaf.model.likelihood import Likelihood

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PathKind = Literal["horizontal", "orthogonal"]


class PathStatus(str, Enum):
    """The reason why a path ended.

    Example:
        >>> from lightning_leaf import PathStatus
        >>> [status.value for status in PathStatus]
        ['reached', 'stalled', 'out_of_steps', 'non_finite', 'out_of_time']
    """

    REACHED = "reached"
    """The path came within the threshold of its destination."""
    STALLED = "stalled"
    """No step along the leaf leads closer to the destination; another path may still reach it.

    For an orthogonal walk: no direction across the leaves is left."""
    OUT_OF_STEPS = "out_of_steps"
    """The path took ``max_steps`` steps, as orthogonal walks usually do."""
    NON_FINITE = "non_finite"
    """The model returned NaN or infinity."""
    OUT_OF_TIME = "out_of_time"
    """The path was ended early, after ``max_time`` seconds or on request. Its steps are kept."""


_OUTCOMES = {
    PathStatus.REACHED: "reached the destination after",
    PathStatus.STALLED: "stalled after",
    PathStatus.OUT_OF_STEPS: "out of steps after",
    PathStatus.OUT_OF_TIME: "out of time after",
}


@dataclass(frozen=True, eq=False)
class SinglePath:
    """One horizontal path or orthogonal walk, on the CPU.

    T is the number of steps taken, F the number of points kept and C the number of classes. Item i
    of a :class:`LeafPath` is a ``SinglePath``.

    Attributes:
        kind: ``"horizontal"`` or ``"orthogonal"``.
        points: Kept points, ``(F, ...)``, in the units of the model's input. They are evenly
            spaced over the steps and always include the first and the last point.
        point_steps: The step of every kept point, ``(F,)``, int64.
        log_probs: log p(y|x) at every step, ``(T + 1, C)``, float32. For independent labels it is
            log p_k of each label k.
        distance: Euclidean distance to the destination (horizontal) or from the start
            (orthogonal) at every step, ``(T + 1,)``, float64, in input units.
        horizontality: Share ‖Πδ‖ / ‖δ‖ of every displacement δ that lies in the tangent
            distribution at the point where δ begins, ``(T,)``, float64, from 0 to 1. δ includes
            clamping to the domain. It is about 1 for a horizontal path and 0 for an orthogonal
            walk.
        fisher_rao_length: Length in the metric G from the start to every step, ``(T + 1,)``,
            float64; see :func:`fisher_rao_length`.
        status: The reason why the path ended.
        end: The destination, ``(...)``; None for an orthogonal walk.
        step_size: Length α of a step, in input units.
        threshold: Distance that counts as reached, in input units; None for an orthogonal walk.
        normalization: The map from pixels to inputs; None if it was not given.
        likelihood: ``"categorical"`` for exclusive classes, ``"bernoulli"`` for independent labels.

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
    status: PathStatus
    end: Tensor | None
    step_size: float
    threshold: float | None
    normalization: Normalization | None
    likelihood: Likelihood = "categorical"

    @property
    def steps(self) -> int:
        """Number of steps taken, T."""
        return len(self.distance) - 1

    @property
    def start(self) -> Tensor:
        """The first point, ``(...)``."""
        return self.points[0]

    def describe(self) -> str:
        """Return the status, the number of steps and the last distance, as one sentence."""
        last, steps = float(self.distance[-1]), f"{self.steps} step{'s' * (self.steps != 1)}"
        if self.status is PathStatus.NON_FINITE:
            return f"stopped after {steps}: the model returned NaN or infinity"
        if self.kind == "orthogonal":
            verb = "walked" if self.status is PathStatus.OUT_OF_STEPS else _OUTCOMES[self.status]
            return f"{verb} {steps}, {last:.2f} from the start"
        left = f"{last:.2f} of {float(self.distance[0]):.2f} left"
        return f"{_OUTCOMES[self.status]} {steps}, {left}"

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


class LeafPath(Sequence[SinglePath]):
    """A batch of N horizontal paths or orthogonal walks, on the CPU.

    It is a sequence of :class:`SinglePath`: ``path[i]``, iteration and ``len`` give the single
    paths, each with its own number of steps. The attributes below are batched: the first axis is
    the path, and a path that ended early is padded with its last value. T is the number of steps
    of the longest path, F the largest number of points kept of any path, C the number of classes.

    Args:
        paths: Paths of the same kind, of inputs of the same shape.

    Example:
        >>> import torch
        >>> from lightning_leaf import horizontal_path
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Linear(4, 3)
        >>> path = horizontal_path(model, torch.zeros(2, 4), torch.ones(2, 4), progress=False)
        >>> len(path), path.points.shape[0], path.log_probs.shape[-1]
        (2, 2, 3)
        >>> path[0].status.value  # D_x has two of four dimensions and misses the destination
        'stalled'
        >>> [round(float(single.distance[-1]), 2) for single in path]
        [1.76, 1.76]
    """

    def __init__(self, paths: Sequence[SinglePath]) -> None:
        self._paths = tuple(paths)

    @overload
    def __getitem__(self, index: int) -> SinglePath: ...
    @overload
    def __getitem__(self, index: slice) -> LeafPath: ...
    def __getitem__(self, index: int | slice) -> SinglePath | LeafPath:
        if isinstance(index, slice):
            return LeafPath(self._paths[index])
        return self._paths[index]

    def __iter__(self) -> Iterator[SinglePath]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def __repr__(self) -> str:
        lines = (f"  [{i}] {path.describe()}" for i, path in enumerate(self))
        return f"LeafPath of {len(self)} {KIND_NAMES[self.kind]}s:\n" + "\n".join(lines)

    @property
    def kind(self) -> PathKind:
        """``"horizontal"`` or ``"orthogonal"``."""
        return self._paths[0].kind

    @property
    def likelihood(self) -> Likelihood:
        """``"categorical"`` for exclusive classes, ``"bernoulli"`` for independent labels."""
        return self._paths[0].likelihood

    @property
    def status(self) -> tuple[PathStatus, ...]:
        """The reason why each path ended."""
        return tuple(path.status for path in self)

    @property
    def steps(self) -> Tensor:  # (N,)
        """Number of steps that each path took, ``(N,)``, int64."""
        return torch.tensor([path.steps for path in self])

    @property
    def step_size(self) -> Tensor:  # (N,)
        """Length of a step, ``(N,)``, float64, in input units."""
        return torch.tensor([path.step_size for path in self], dtype=torch.float64)

    @property
    def threshold(self) -> Tensor | None:  # (N,)
        """Distance that counts as reached, ``(N,)``, float64; None for orthogonal walks."""
        thresholds = [path.threshold for path in self if path.threshold is not None]
        return torch.tensor(thresholds, dtype=torch.float64) if thresholds else None

    @property
    def start(self) -> Tensor:  # (N, ...)
        """The first points, ``(N, ...)``."""
        return torch.stack([path.start for path in self])

    @property
    def end(self) -> Tensor | None:  # (N, ...)
        """The destinations, ``(N, ...)``; None for orthogonal walks."""
        ends = [path.end for path in self if path.end is not None]
        return torch.stack(ends) if ends else None

    @cached_property
    def points(self) -> Tensor:  # (N, F, ...)
        """Kept points, ``(N, F, ...)``; see :class:`SinglePath`."""
        return _hold_last([path.points for path in self])

    @cached_property
    def point_steps(self) -> Tensor:  # (N, F)
        """Steps of the kept points, ``(N, F)``, int64."""
        return _hold_last([path.point_steps for path in self])

    @cached_property
    def log_probs(self) -> Tensor:  # (N, T + 1, C)
        """Log-probabilities of the classes or labels at every step, ``(N, T + 1, C)``, float32."""
        return _hold_last([path.log_probs for path in self])

    @cached_property
    def distance(self) -> Tensor:  # (N, T + 1)
        """Distance to the destination, or from the start, ``(N, T + 1)``, float64."""
        return _hold_last([path.distance for path in self])

    @cached_property
    def horizontality(self) -> Tensor:  # (N, T)
        """Share of every displacement that lies in D_x, ``(N, T)``, float64.

        NaN for a path without steps.
        """
        return _hold_last([path.horizontality for path in self])

    @cached_property
    def fisher_rao_length(self) -> Tensor:  # (N, T + 1)
        """Length in the metric G from the start, ``(N, T + 1)``, float64."""
        return _hold_last([path.fisher_rao_length for path in self])

    def plot(self, *, classes: Sequence[str] | None = None) -> Figure:
        """Plot every path in a row: a strip of its points, and its curves; needs matplotlib.

        Args:
            classes: Names of the C classes. Default: their numbers.

        Returns:
            A figure, which a notebook shows and ``figure.savefig`` saves.

        Raises:
            ValueError: If the number of names is not C.
            ModuleNotFoundError: If matplotlib is not installed.
        """
        return plot_paths(self, classes=classes)


def _hold_last(series: Sequence[Tensor]) -> Tensor:
    """Stack series of different lengths, each padded with its last value, or with NaN if empty."""
    longest = max(len(values) for values in series)
    padded = []
    for values in series:
        missing = longest - len(values)
        if missing and len(values):
            values = torch.cat([values, values[-1:].expand(missing, *values.shape[1:])])
        elif missing:
            values = values.new_full((missing, *values.shape[1:]), torch.nan)
        padded.append(values)
    return torch.stack(padded)
