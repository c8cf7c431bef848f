"""Walk thousands of paths on many devices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lightning_leaf.callbacks.base import checked_count, checked_length
from lightning_leaf.data.batches import Examples, read_batch
from lightning_leaf.data.normalization import Bound, Normalization
from lightning_leaf.errors import LeafError
from lightning_leaf.paths.horizontal_path import horizontal_path, orthogonal_walk
from lightning_leaf.paths.leaf_path import LeafPath, PathKind
from lightning_leaf.predict.columns import Rows, path_columns, path_row, path_without_steps
from lightning_leaf.predict.predictor import Predictor, require_one_row_each


class PairDataset(Dataset[dict[str, Any]]):
    """Pairs of examples of one data set, for :class:`PathPredictor`.

    Args:
        dataset: Any data set of inputs, or of inputs and labels.
        pairs: Positions ``(source, destination)`` in it.

    Example:
        >>> import torch
        >>> from torch.utils.data import DataLoader, TensorDataset
        >>> data = TensorDataset(torch.rand(5, 3), torch.arange(5))
        >>> batch = next(iter(DataLoader(PairDataset(data, [(0, 3), (2, 1)]), batch_size=2)))
        >>> batch["source"][1].tolist(), batch["destination_index"].tolist()
        ([0, 2], [3, 1])
    """

    def __init__(self, dataset: Any, pairs: Sequence[tuple[int, int]]) -> None:
        self.dataset = dataset
        self.pairs = [(int(source), int(destination)) for source, destination in pairs]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, row: int) -> dict[str, Any]:
        source, destination = self.pairs[row]
        return {
            "source": self.dataset[source],
            "destination": self.dataset[destination],
            "source_index": source,
            "destination_index": destination,
        }


class PathPredictor(Predictor):
    r"""Walks a path for every pair of a data set, in Lightning's predict loop.

    One row for each path; its points and curves are not kept (see
    :func:`~lightning_leaf.horizontal_path` for those):

    ================================================== =======================================
    ``index``                                          position in the data set of pairs
    ``source_index``, ``destination_index``            positions of the ends, where known
    ``source_label``, ``destination_label``            their class numbers, where known
    ``status``                                         a :class:`~lightning_leaf.PathStatus`
    ``steps``                                          steps taken
    ``start_distance``, ``remaining_distance``         to the destination, in input units
    ``distance``                                       from the start (orthogonal walks instead)
    ``mean_horizontality``, ``min_horizontality``      share of a step in D_x, over all steps
    ``fisher_rao_length``                              length in the metric G
    ``first_label``, ``final_label``                   predicted where it starts and where it ends
    ``final_probability``                              of the latter
    ================================================== =======================================

    Batches of horizontal paths are those of a :class:`PairDataset`, tuples ``(source,
    destination)``, or mappings with these two keys; each end may be inputs or inputs and labels.
    Batches of orthogonal walks are those of any data set of inputs. The direction of a walk
    depends on the seed and on its position in the data set alone, not on who walks it.

    Args:
        classifier: Any classifier, see :meth:`LocalDataMatrix.at`.
        kind: ``"horizontal"`` or ``"orthogonal"``.
        step_size: See :func:`~lightning_leaf.horizontal_path`.
        max_steps: Steps before giving up, and of an orthogonal walk.
        threshold: Distance that counts as reached; horizontal paths only.
        normalize: See :func:`~lightning_leaf.horizontal_path`.
        domain: See :func:`~lightning_leaf.horizontal_path`.
        seed: Of the directions of orthogonal walks.
        chunk_size: Paths that walk at once; bounds memory. Default 32, halved where memory runs
            out.

    Raises:
        LeafError: If an argument is out of its range. While predicting: see
            :func:`~lightning_leaf.horizontal_path` and :class:`LeafPredictor`.

    Example:
        >>> import torch
        >>> from lightning_leaf.predict import PathPredictor
        >>> predictor = PathPredictor(torch.nn.Linear(4, 3), max_steps=20)
        >>> rows = predictor.measure((torch.zeros(2, 4), torch.ones(2, 4)), [0, 1], 32)
        >>> rows["start_distance"], rows["steps"], rows["status"]
        ([2.0, 2.0], [20, 20], ['out_of_steps', 'out_of_steps'])
    """

    def __init__(
        self,
        classifier: Callable[..., Any],
        kind: PathKind = "horizontal",
        *,
        step_size: float | None = None,
        max_steps: int = 1000,
        threshold: float | None = None,
        normalize: Any | None = None,
        domain: tuple[Bound, Bound] | None = None,
        seed: int = 0,
        chunk_size: int | None = None,
    ) -> None:
        super().__init__(classifier, chunk_size)
        if kind not in get_args(PathKind):
            raise LeafError(f"kind expects 'horizontal' or 'orthogonal'; got {kind!r}.")
        if kind == "orthogonal" and threshold is not None:
            raise LeafError(
                "An orthogonal walk has no destination to come near; leave out threshold, got "
                f"{threshold!r}."
            )
        self._kind = kind
        self._step_size = checked_length(step_size, "step_size")
        self._max_steps = checked_count(max_steps, "max_steps", least=0)
        self._threshold = checked_length(threshold, "threshold")
        self._normalize = None if normalize is None else Normalization.of(normalize)
        self._domain = domain
        self._seed = checked_count(seed, "seed", least=0)

    @property
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
        }

    @property
    def columns(self) -> dict[str, str]:
        return path_columns(self._kind)

    def measure(self, batch: Any, indices: list[int], chunk_size: int) -> Rows:
        ends = _ends(batch) if self._kind == "horizontal" else _start(batch, indices)
        require_one_row_each(len(ends.source), indices)
        finite = ends.finite_rows()
        rows = [path_without_steps(self._kind) for _ in indices]
        if finite:
            for row, path in zip(
                finite, self._walk(ends, finite, indices, chunk_size), strict=True
            ):
                rows[row] = path_row(path)
        told = [ends.row(i) | {"index": index} for i, index in enumerate(indices)]
        return {
            name: [{**row, **known}.get(name) for row, known in zip(rows, told, strict=True)]
            for name in self.columns
        }

    def _walk(self, ends: Ends, rows: list[int], indices: list[int], chunk_size: int) -> LeafPath:
        # The least that is kept of a path: its points are not in the table.
        terms: dict[str, Any] = {
            "step_size": self._step_size,
            "max_steps": self._max_steps,
            "normalize": self._normalize,
            "domain": self._domain,
            "keep_points": 2,
            "chunk_size": chunk_size,
            "progress": False,
        }
        start = ends.source.inputs[rows]
        if ends.destination is not None:
            end = ends.destination.inputs[rows]
            return horizontal_path(self.classifier, start, end, threshold=self._threshold, **terms)
        directions = _directions(start.shape[1:], [indices[row] for row in rows], self._seed)
        return orthogonal_walk(self.classifier, start, directions, **terms)

    def _as_classifier(self, hook: str, batch: Any, *arguments: Any) -> Any:
        if self._kind == "orthogonal":
            return super()._as_classifier(hook, batch, *arguments)
        # The hooks of a classifier know batches of examples, not of pairs of them.
        source, destination, others = _split_pairs(batch)
        return others | {
            "source": super()._as_classifier(hook, source, *arguments),
            "destination": super()._as_classifier(hook, destination, *arguments),
        }


@dataclass(frozen=True, eq=False)
class Ends:
    """The ends of a batch of paths; a walk without destination has but a source."""

    source: Examples
    destination: Examples | None

    def finite_rows(self) -> list[int]:
        """The paths whose ends are both finite."""
        finite = self.source.inputs.isfinite().flatten(1).all(1)
        if self.destination is not None:
            finite = finite & self.destination.inputs.isfinite().flatten(1).all(1)
        return [int(row) for row in finite.nonzero()]

    def row(self, i: int) -> dict[str, Any]:
        """Positions and labels of the ends of one path."""
        told = {}
        for name, end in (("source", self.source), ("destination", self.destination)):
            if end is not None:
                told[f"{name}_index"] = None if end.indices is None else end.indices[i]
                told[f"{name}_label"] = None if end.labels is None else end.labels[i]
        return told


def _start(batch: Any, indices: list[int]) -> Ends:
    examples = read_batch(batch)
    return Ends(Examples(examples.inputs, examples.labels, tuple(indices)), None)


def _ends(batch: Any) -> Ends:
    source, destination, others = _split_pairs(batch)
    ends = []
    for name, end in (("source", source), ("destination", destination)):
        examples, positions = read_batch(end), others.get(f"{name}_index")
        known = tuple(positions.tolist()) if isinstance(positions, Tensor) else None
        ends.append(Examples(examples.inputs, examples.labels, known))
    if ends[0].inputs.shape != ends[1].inputs.shape:
        raise LeafError(
            "Pairs expect one destination for each source, the same shape; got "
            f"{tuple(ends[0].inputs.shape)} and {tuple(ends[1].inputs.shape)}."
        )
    return Ends(*ends)


def _split_pairs(batch: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Sources, destinations, and what else a batch of pairs tells."""
    if isinstance(batch, Mapping) and {"source", "destination"} <= batch.keys():
        others = {name: batch[name] for name in batch if name not in ("source", "destination")}
        return batch["source"], batch["destination"], others
    if isinstance(batch, (list, tuple)) and len(batch) == 2:
        return batch[0], batch[1], {}
    raise LeafError(
        "Horizontal paths expect batches of pairs: tuples (source, destination), or mappings with "
        f"these two keys; got {type(batch).__name__}. Make them with "
        "PairDataset(dataset, [(i, j), …])."
    )


def _directions(shape: torch.Size, indices: list[int], seed: int) -> Tensor:  # -> (n, ...)
    """Normally distributed directions, float64, each chosen by the seed and its position alone."""
    drawn = [np.random.default_rng((seed, index)).standard_normal(shape) for index in indices]
    return torch.from_numpy(np.stack(drawn))
