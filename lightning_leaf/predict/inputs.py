"""Measure every input of a data set on many devices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lightning_leaf.callbacks.base import checked_count
from lightning_leaf.data.batches import read_batch
from lightning_leaf.geometry.effective_rank import RankKind, checked_ranks
from lightning_leaf.predict.columns import Rows, input_columns, input_rows
from lightning_leaf.predict.predictor import Predictor, require_one_row_each

EIGENVALUES = 16
"""Leading eigenvalues kept of each input: all of a classifier of few classes."""


class LeafPredictor(Predictor):
    r"""Measures the local data matrix at every input of a data set, in Lightning's predict loop.

    One row for each input, with G(x, w) = E_{y∼p}[∇ₓ log p_y ∇ₓ log p_yᵀ] (equation 6 of
    Grementieri & Fioresi, "Model-centric data manifold"):

    =========================== ==============================================================
    ``index``                   position in the data set
    ``label``                   class number, where the batch has one
    ``predicted_label``         argmax_y p(y|x), and
    ``probability``             its probability
    ``trace``                   tr G, in units of 1 / input²
    ``trace_standard_error``    zero up to 160 classes; beyond, trace and ranks are estimates, see
                                :func:`~lightning_leaf.local_geometry`
    ``effective_rank_<kind>``   see :func:`~lightning_leaf.effective_rank`
    ``tangent_dimension``       dimension of the tangent distribution D_x, at most C − 1; None
                                beyond 160 classes
    ``eigenvalues``             the largest eigenvalues of G, descending
    ``status``                  ``"ok"``; ``"non_finite"`` where the input, the scores or their
                                derivatives hold NaN or infinity: what is not known is None
    =========================== ==============================================================

    Memory hardly grows with the data set: one chunk's gradients are held, chunk_size · C · d
    numbers, with a :class:`~lightning_leaf.predict.MeasurementWriter` a few thousand rows, and
    Lightning's list of positions, 40 bytes for each input of a process. Processes do not talk to
    each other but at the beginning and the end, so N of them measure N times as fast, on one node
    or many, under any strategy that leaves each the whole classifier. It is measured in evaluation
    mode and full precision and left as it was. The trainer is one of ``lightning.pytorch``.

    Args:
        classifier: Any classifier, see :meth:`LocalDataMatrix.at`; a LightningModule's own batch
            transfer hooks are used.
        ranks: Which effective ranks: ``"entropy"``, ``"stable"``, ``"participation"``,
            ``"threshold"``.
        eigenvalues: How many to keep of each input, at most; there are C. Beyond 160 classes each
            costs products.
        chunk_size: Inputs per forward pass; bounds memory. Default 32, halved where memory runs
            out.

    Raises:
        LeafError: If an argument is out of its range. While predicting: see
            :meth:`LocalDataMatrix.at`; also if the strategy shards the classifier, or positions in
            the data set cannot be told (an IterableDataset, several loaders).

    Example:
        >>> import torch
        >>> from lightning_leaf.predict import LeafPredictor
        >>> predictor = LeafPredictor(torch.nn.Linear(4, 3), ranks=["entropy", "stable"])
        >>> rows = predictor.measure((torch.rand(2, 4), torch.tensor([0, 2])), [10, 11], 32)
        >>> rows["index"], rows["label"], rows["status"], rows["tangent_dimension"]
        ([10, 11], [0, 2], ['ok', 'ok'], [2, 2])

        .. code-block:: python

            trainer = L.Trainer(devices=4)
            rows = trainer.predict(LeafPredictor(model), dataloader)
    """

    def __init__(
        self,
        classifier: Callable[..., Any],
        *,
        ranks: Sequence[RankKind] = ("entropy",),
        eigenvalues: int = EIGENVALUES,
        chunk_size: int | None = None,
    ) -> None:
        super().__init__(classifier, chunk_size)
        self._ranks = checked_ranks(ranks)
        self._eigenvalues = checked_count(eigenvalues, "eigenvalues")

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "task": "inputs", "ranks": list(self._ranks), "eigenvalues": self._eigenvalues
        }  # fmt: skip

    @property
    def columns(self) -> dict[str, str]:
        return input_columns(self._ranks)

    def measure(self, batch: Any, indices: list[int], chunk_size: int) -> Rows:
        examples = read_batch(batch)
        require_one_row_each(len(examples), indices)
        return {
            "index": indices,
            "label": list(examples.labels or [None] * len(indices)),
            **input_rows(
                self.classifier,
                examples.inputs,
                ranks=self._ranks,
                eigenvalues=self._eigenvalues,
                chunk_size=chunk_size,
            ),
        }
