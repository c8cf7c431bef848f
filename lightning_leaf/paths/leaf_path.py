"""What a walk returns: the points, the predictions along them, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Literal, overload

import torch
from torch import Tensor

from lightning_leaf.data.normalization import Normalization

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PathKind = Literal["horizontal", "orthogonal"]


class PathStatus(str, Enum):
    """Why a path ended."""

    REACHED = "reached"
    """It came within the threshold of its destination."""
    STALLED = "stalled"
    """No step along the leaf leads closer; whether another way would, it does not tell."""
    OUT_OF_STEPS = "out_of_steps"
    """It took all its steps; for an orthogonal walk, which has no destination, the usual end."""
    NON_FINITE = "non_finite"
    """The model returned NaN or infinity."""


@dataclass(frozen=True, eq=False)
class SinglePath:
    """One path, on the CPU. T is the number of steps taken, F the number of points kept.

    Attributes:
        kind: ``"horizontal"`` or ``"orthogonal"``.
        points: Kept points, evenly spread over the steps, first and last always among them,
            ``(F, ...)``, in the units of the model's input.
        point_steps: The step of every kept point, ``(F,)``, int64.
        log_probs: log p(y|x) at every step, ``(T + 1, C)``, float32.
        distance: Euclidean distance to the destination (horizontal) or from the start
            (orthogonal) at every step, ``(T + 1,)``, float64, in input units.
        horizontality: Share ‖Πδ‖/‖δ‖ of every displacement δ that lies in the tangent
            distribution at its origin, clamping to the domain included, ``(T,)``, float64.
        fisher_rao_length: Length in the metric G up to every step, ``(T + 1,)``, float64.
        status: Why the path ended.
        end: The destination, None for an orthogonal walk.
        step_size: Length α of a step, in input units.
        threshold: Distance that counts as reached; None for an orthogonal walk.
        normalization: How inputs were made from pixels, where it was given.
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

    @property
    def steps(self) -> int:
        """Steps taken, T."""
        return len(self.distance) - 1

    @property
    def start(self) -> Tensor:
        """The point that the path starts from."""
        return self.points[0]

    def describe(self) -> str:
        """One sentence: what became of the path, after how many steps, how far off it ended."""
        last, taken = float(self.distance[-1]), f"{self.steps} step{'s' * (self.steps != 1)}"
        if self.status is PathStatus.NON_FINITE:
            return f"stopped after {taken}: the model returned NaN or infinity"
        if self.kind == "orthogonal":
            verb = "walked" if self.status is PathStatus.OUT_OF_STEPS else "stalled after"
            return f"{verb} {taken}, {last:.2f} from the start"
        left = f"{last:.2f} of {float(self.distance[0]):.2f} left"
        if self.status is PathStatus.REACHED:
            return f"reached the destination after {taken}, {left}"
        if self.status is PathStatus.STALLED:
            return f"stalled after {taken}, {left}"
        return f"out of steps after {taken}, {left}"

    def plot(self, *, classes: Sequence[str] | None = None) -> Figure:
        """Strip of points and curves along the path (needs matplotlib).

        Args:
            classes: Names of the C classes; numbers by default.
        """
        from lightning_leaf.drawing.plotting import plot_paths

        return plot_paths([self], classes=classes)


class LeafPath(Sequence[SinglePath]):
    """A batch of N paths, on the CPU.

    ``path[i]``, iteration and ``len`` give the single paths, without padding. The attributes
    below are batch first, padded to the longest path: one that stopped early holds its last
    value. T is the number of steps of the longest path, F the most points kept of any.

    Example:
        >>> import torch
        >>> from lightning_leaf import horizontal_path
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Linear(4, 3)
        >>> path = horizontal_path(model, torch.zeros(2, 4), torch.ones(2, 4), progress=False)
        >>> len(path), path.points.shape[0], path.log_probs.shape[-1]
        (2, 2, 3)
        >>> path[0].status.value  # two directions of four are tangent: it stops half-way
        'stalled'
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
        return f"LeafPath of {len(self)} {self.kind} paths:\n" + "\n".join(lines)

    @property
    def kind(self) -> PathKind:
        """``"horizontal"`` or ``"orthogonal"``."""
        return self._paths[0].kind

    @property
    def status(self) -> tuple[PathStatus, ...]:
        """Why each path ended."""
        return tuple(path.status for path in self)

    @property
    def steps(self) -> Tensor:  # (N,)
        """Steps that each path took, int64."""
        return torch.tensor([path.steps for path in self])

    @property
    def step_size(self) -> Tensor:  # (N,)
        """Length of a step, float64, in input units."""
        return torch.tensor([path.step_size for path in self], dtype=torch.float64)

    @property
    def threshold(self) -> Tensor | None:  # (N,)
        """Distance that counts as reached, float64; None for orthogonal walks."""
        thresholds = [path.threshold for path in self if path.threshold is not None]
        return torch.tensor(thresholds, dtype=torch.float64) if thresholds else None

    @property
    def start(self) -> Tensor:  # (N, ...)
        """The points that the paths start from."""
        return torch.stack([path.start for path in self])

    @property
    def end(self) -> Tensor | None:  # (N, ...)
        """The destinations; None for orthogonal walks."""
        ends = [path.end for path in self if path.end is not None]
        return torch.stack(ends) if ends else None

    @cached_property
    def points(self) -> Tensor:  # (N, F, ...)
        """Kept points, see :class:`SinglePath`."""
        return _hold_last([path.points for path in self])

    @cached_property
    def point_steps(self) -> Tensor:  # (N, F)
        """The steps of the kept points, int64."""
        return _hold_last([path.point_steps for path in self])

    @cached_property
    def log_probs(self) -> Tensor:  # (N, T + 1, C)
        """log p(y|x) at every step, float32."""
        return _hold_last([path.log_probs for path in self])

    @cached_property
    def distance(self) -> Tensor:  # (N, T + 1)
        """Distance to the destination, or from the start, at every step, float64."""
        return _hold_last([path.distance for path in self])

    @cached_property
    def horizontality(self) -> Tensor:  # (N, T)
        """Share of every displacement in the tangent distribution, float64; NaN if none."""
        return _hold_last([path.horizontality for path in self])

    @cached_property
    def fisher_rao_length(self) -> Tensor:  # (N, T + 1)
        """Length in the metric G up to every step, float64."""
        return _hold_last([path.fisher_rao_length for path in self])

    def plot(self, *, classes: Sequence[str] | None = None) -> Figure:
        """Strips of points and curves, a row for each path (needs matplotlib).

        Args:
            classes: Names of the C classes; numbers by default.
        """
        from lightning_leaf.drawing.plotting import plot_paths

        return plot_paths(self, classes=classes)


def _hold_last(series: Sequence[Tensor]) -> Tensor:
    """Stack series of different lengths, each padded with its last value."""
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
