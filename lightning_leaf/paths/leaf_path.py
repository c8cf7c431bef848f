"""The result of a batch of paths or walks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, overload

import torch
from torch import Tensor

from lightning_leaf.drawing.leaf_map import plot_map
from lightning_leaf.drawing.plotting import KIND_NAMES, plot_paths
from lightning_leaf.geometry.leaf_map import leaf_map
from lightning_leaf.model.likelihood import Likelihood
from lightning_leaf.paths.single_path import Barrier, PathKind, PathStatus, SinglePath

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class LeafPath(Sequence[SinglePath]):
    """A batch of N horizontal paths, prediction paths or orthogonal walks, on the CPU.

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
        if not len(self):
            return "LeafPath of 0 paths"
        lines = (f"  [{i}] {path.describe()}" for i, path in enumerate(self))
        return f"LeafPath of {len(self)} {KIND_NAMES[self.kind]}s:\n" + "\n".join(lines)

    @property
    def kind(self) -> PathKind:
        """``"horizontal"``, ``"prediction"`` or ``"orthogonal"``."""
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
        """Length of a step, ``(N,)``, float64; see :class:`SinglePath`."""
        return torch.tensor([path.step_size for path in self], dtype=torch.float64)

    @property
    def threshold(self) -> Tensor | None:  # (N,)
        """Distance that counts as reached, ``(N,)``, float64; None for paths without one."""
        thresholds = [path.threshold for path in self if path.threshold is not None]
        return torch.tensor(thresholds, dtype=torch.float64) if thresholds else None

    @property
    def start(self) -> Tensor:  # (N, ...)
        """The first points, ``(N, ...)``."""
        return torch.stack([path.start for path in self])

    @property
    def end(self) -> Tensor | None:  # (N, ...)
        """The destinations, ``(N, ...)``; None for paths without one."""
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
        """Distance at every step, ``(N, T + 1)``, float64; see :class:`SinglePath`."""
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

    @cached_property
    def euclidean_length(self) -> Tensor:  # (N, T + 1)
        """Length from the start in input units, ``(N, T + 1)``, float64."""
        return _hold_last([path.euclidean_length for path in self])

    @property
    def target(self) -> Tensor | None:  # (N, C)
        """Probabilities that prediction paths lead to, ``(N, C)``; None for other paths."""
        targets = [path.target for path in self if path.target is not None]
        return torch.stack(targets) if targets else None

    @property
    def change(self) -> Tensor:  # (N,)
        """Euclidean distance between first and last point, ``(N,)``, float64, in input units."""
        return torch.tensor([path.change for path in self], dtype=torch.float64)

    @property
    def switch_change(self) -> Tensor:  # (N,)
        """Change after which each path is first read as its target; see :class:`SinglePath`."""
        return torch.tensor([path.switch_change for path in self], dtype=torch.float64)

    @property
    def length_ratio(self) -> Tensor:  # (N,)
        """Fisher–Rao length over the Fisher–Rao distance of both ends, ``(N,)``, float64."""
        return torch.tensor([path.length_ratio for path in self], dtype=torch.float64)

    @cached_property
    def kl(self) -> Tensor:  # (N, T + 1)
        """KL divergence from the first prediction at every step, ``(N, T + 1)``, float64."""
        return _hold_last([path.kl for path in self])

    @property
    def covered(self) -> Tensor:  # (N,)
        """Share of the distance to each destination that is covered, ``(N,)``, float64.

        NaN for paths without a destination.
        """
        return torch.tensor([path.covered for path in self], dtype=torch.float64)

    @property
    def blocked_by(self) -> tuple[Barrier, ...]:
        """What blocks each path, ``""`` for paths that are not blocked; see :class:`SinglePath`."""
        return tuple(path.blocked_by for path in self)

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

    def plot_map(
        self, *, classes: Sequence[str] | None = None, images: int | None = None
    ) -> Figure:
        """Plot all paths on one map of predictions, with images beside them; needs matplotlib.

        Each point of the map is a prediction. Its distances resemble Fisher–Rao distances, see
        :func:`leaf_map`; the title says how well. The colour of a path is the predicted class.
        Corners are predictions of which the model is certain. The map of two classes or one label
        is a line, which is drawn once for each path; the map of three classes is a triangle.

        The images of a path are evenly spaced over its Fisher–Rao length. There are none for inputs
        that are vectors or signals. The prediction is written below each: the class and its
        probability, or the labels with p > ½. All images of the map share one scale.

        Args:
            classes: Names of the C classes. Default: their numbers.
            images: Largest number of images of each path; all paths have at most 128. Default: 2
                to 8, about 20 in total. Paths along which the prediction hardly changes have fewer.

        Returns:
            A figure, which a notebook shows and ``figure.savefig`` saves.

        Raises:
            ValueError: If the number of names is not C.
            LeafError: If there are more than 64 paths, or ``images`` is not a whole number from 0
                to 16.
            NonFiniteError: If no prediction is finite.
            ModuleNotFoundError: If matplotlib is not installed.

        Example:
            >>> import torch
            >>> from lightning_leaf import horizontal_path
            >>> _ = torch.manual_seed(0)
            >>> model = torch.nn.Linear(4, 3)
            >>> path = horizontal_path(model, torch.zeros(2, 4), torch.ones(2, 4), progress=False)
            >>> figure = path.plot_map(classes=["cat", "dog", "cow"])
        """
        return plot_map(self, leaf_map, classes=classes, images=images)


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
