"""Compute one path for every pair or every input of a data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from lightning_leaf._arguments import one_of, positive_number, whole_number
from lightning_leaf.data.batches import Examples, Split
from lightning_leaf.data.normalization import Bound, Normalization
from lightning_leaf.errors import LeafError
from lightning_leaf.geometry.matrix_free.data_matrix import PROJECTION_RTOL
from lightning_leaf.model.classifier import Classifier
from lightning_leaf.model.forward import Forward
from lightning_leaf.model.likelihood import Likelihood
from lightning_leaf.paths import horizontal_path as horizontal
from lightning_leaf.paths import orthogonal_walk as orthogonal
from lightning_leaf.paths.leaf_path import LeafPath
from lightning_leaf.predict.columns import (
    Columns,
    ColumnTypes,
    TableKind,
    path_column_types,
    path_row,
    path_row_without_steps,
)
from lightning_leaf.predict.pairs import PathEnds, read_pairs, read_starts, split_pairs
from lightning_leaf.predict.predictor import Predictor, require_one_input_per_position


class PathPredictor(Predictor):
    r"""Predictor that computes a path for every pair or every input of a data set.

    It runs in Lightning's predict loop. The table has one row for each path. It does not contain
    the points and curves of the paths; :func:`~lightning_leaf.horizontal_path` returns them.

    ================================================== =======================================
    column                                             content
    ================================================== =======================================
    ``index``                                          position in the data set
    ``source_index``, ``destination_index``            positions of the ends; None if unknown
    ``source_label``, ``destination_label``            class numbers of the ends; None if unknown
    ``status``                                         a :class:`~lightning_leaf.PathStatus`
    ``steps``                                          path steps taken
    ``start_distance``, ``remaining_distance``         distance to the destination at the first
                                                       and at the last point, in input units
    ``distance``                                       distance from the start at the last point;
                                                       orthogonal walks only
    ``mean_horizontality``, ``min_horizontality``      share of a path step that lies in the
                                                       tangent distribution, over all path steps
    ``fisher_rao_length``                              length in the metric G
    ``first_label``, ``final_label``                   predicted class at the first and at the
                                                       last point
    ``final_probability``                              probability of ``final_label``
    ================================================== =======================================

    With ``likelihood="bernoulli"``, ``first_labels`` and ``final_labels`` replace ``first_label``
    and ``final_label``. They list all labels with a probability of at least 1/2, and
    ``final_probability`` is that of all labels together.

    Horizontal paths expect batches of a :class:`PairDataset`, tuples ``(source, destination)``,
    or mappings with these two keys. Each end is a batch of inputs, or of inputs and labels.
    Orthogonal walks expect batches of inputs, or of inputs and labels. The direction of a walk
    depends only on the seed and on its position in the data set, not on the process.

    Args:
        classifier: Any classifier, see :meth:`LocalDataMatrix.at`.
        kind: ``"horizontal"`` or ``"orthogonal"``.
        step_size: See :func:`~lightning_leaf.horizontal_path`.
        max_steps: Largest number of path steps. Default: 5000 for horizontal paths, 1000 for
            orthogonal walks.
        threshold: Distance at which the destination counts as reached; horizontal paths only.
        normalize: See :func:`~lightning_leaf.horizontal_path`.
        domain: See :func:`~lightning_leaf.horizontal_path`.
        seed: Seed of the directions of orthogonal walks.
        chunk_size: Paths computed at once, which bounds the memory. Default: 32. The number is
            halved each time memory runs out.
        forward: How to call the classifier, see :class:`LeafPredictor`.
        batch: Where inputs and labels are in a batch, see :class:`LeafPredictor`; in batches of
            pairs, where they are in each end.
        likelihood: What the scores mean, see :class:`LeafPredictor`.
        class_names: Names of all classes, see :class:`LeafPredictor`.
        exact: Whether projections use all classes. Default: up to 160 classes; see ``rtol`` of
            :func:`~lightning_leaf.horizontal_path`.

    Raises:
        LeafError: If an argument is out of its range. While predicting: see
            :func:`~lightning_leaf.horizontal_path` and :class:`LeafPredictor`.

    Example:
        >>> import torch
        >>> from lightning_leaf import PathPredictor
        >>> model = torch.nn.Linear(4, 3)
        >>> predictor = PathPredictor(model, max_steps=20)
        >>> batch = torch.zeros(2, 4), torch.ones(2, 4)  # sources and destinations
        >>> table = predictor.measure(model, batch, indices=[0, 1], chunk_size=32)
        >>> table["start_distance"], table["steps"], table["status"]
        ([2.0, 2.0], [20, 20], ['out_of_steps', 'out_of_steps'])

        With a trainer, which calls ``measure`` for each batch:

        .. code-block:: python

            pairs = PairDataset(dataset, [(0, 7), (3, 1)])
            tables = L.Trainer().predict(PathPredictor(model), DataLoader(pairs, batch_size=32))
    """

    def __init__(
        self,
        classifier: Callable[..., Any],
        kind: TableKind = "horizontal",
        *,
        step_size: float | None = None,
        max_steps: int | None = None,
        threshold: float | None = None,
        normalize: Any | None = None,
        domain: tuple[Bound, Bound] | None = None,
        seed: int = 0,
        chunk_size: int | None = None,
        forward: Forward | None = None,
        batch: Split | None = None,
        likelihood: Likelihood | None = None,
        class_names: Sequence[str] | None = None,
        exact: bool | None = None,
    ) -> None:
        super().__init__(
            classifier,
            chunk_size,
            forward=forward,
            batch=batch,
            likelihood=likelihood,
            class_names=class_names,
            exact=exact,
        )
        self._kind: TableKind = one_of(kind, get_args(TableKind), "kind")  # type: ignore[assignment]
        if kind == "orthogonal" and threshold is not None:
            raise LeafError(
                "threshold expects kind='horizontal', because an orthogonal walk has no "
                f"destination; got {threshold!r} with kind='orthogonal'. Remove threshold."
            )
        if max_steps is None:
            max_steps = horizontal.MAX_STEPS if kind == "horizontal" else orthogonal.MAX_STEPS
        self._step_size = None if step_size is None else positive_number(step_size, "step_size")
        self._max_steps = whole_number(max_steps, "max_steps", at_least=0)
        self._threshold = None if threshold is None else positive_number(threshold, "threshold")
        self._normalize = None if normalize is None else Normalization.of(normalize)
        self._domain = domain
        self._seed = whole_number(seed, "seed", at_least=0)

    @property
    @override
    def settings(self) -> dict[str, Any]:
        normalize = self._normalize
        return {
            "task": f"{self._kind} paths",
            "step_size": self._step_size,
            "max_steps": self._max_steps,
            "threshold": self._threshold,
            "normalize": normalize and [list(normalize.mean), list(normalize.std)],
            "domain": self._domain and [torch.as_tensor(end).tolist() for end in self._domain],
            "seed": self._seed,
            **super().settings,
        }

    @property
    @override
    def column_types(self) -> ColumnTypes:
        return path_column_types(self._kind, self.likelihood)

    @override
    def examples(self, batch: Any, indices: list[int]) -> Examples:
        return self._ends(batch, indices).sources

    def _ends(self, batch: Any, indices: list[int]) -> PathEnds:
        if self._kind == "horizontal":
            ends = read_pairs(batch, self._reading)
        else:
            ends = read_starts(batch, indices, self._reading)
        require_one_input_per_position(len(ends.sources), indices)
        return ends

    @override
    def measure(
        self, classifier: Callable[..., Any], batch: Any, indices: list[int], chunk_size: int | None
    ) -> Columns:
        ends = self._ends(batch, indices)
        rows = [path_row_without_steps(self._kind, self.likelihood) for _ in indices]
        if finite := ends.finite_rows():
            with self._reading.opened(classifier) as opened:
                paths = self._paths(opened, ends, finite, indices, chunk_size)
            for row, path in zip(finite, paths, strict=True):
                rows[row] = path_row(path)
        for row, index in enumerate(indices):
            rows[row] |= ends.columns_of(row) | {"index": index}
        return {name: [row[name] for row in rows] for name in self.column_types}

    def _paths(
        self,
        classifier: Classifier,
        ends: PathEnds,
        rows: list[int],
        indices: list[int],
        chunk_size: int | None,
    ) -> LeafPath:
        options: dict[str, Any] = {
            "step_size": self._step_size,
            "max_steps": self._max_steps,
            "normalize": self._normalize,
            "domain": self._domain,
            "rtol": None if self._exact is None else 0 if self._exact else PROJECTION_RTOL,
            "keep_points": 2,  # the minimum, because the table contains no points
            "chunk_size": chunk_size,
            "progress": False,
        }
        start = ends.sources.inputs[rows]
        if ends.destinations is not None:
            end = ends.destinations.inputs[rows]
            return horizontal.horizontal_path(
                classifier, start, end, threshold=self._threshold, **options
            )
        directions = _directions(start.shape[1:], [indices[row] for row in rows], self._seed)
        return orthogonal.orthogonal_walk(classifier, start, directions, **options)

    @override
    def _transfer_hook(self, name: str, batch: Any, *arguments: Any) -> Any:
        if self._kind == "orthogonal":
            return super()._transfer_hook(name, batch, *arguments)
        # The hooks of a classifier expect batches of examples instead of pairs.
        sources, destinations, others = split_pairs(batch)
        return others | {
            "source": super()._transfer_hook(name, sources, *arguments),
            "destination": super()._transfer_hook(name, destinations, *arguments),
        }


def _directions(shape: torch.Size, indices: list[int], seed: int) -> Tensor:  # -> (n, ...)
    """Draw normally distributed directions, float64, each from the seed and its position."""
    drawn = [np.random.default_rng((seed, index)).standard_normal(shape) for index in indices]
    return torch.from_numpy(np.stack(drawn))
