"""Measure the local data matrix at every input of a data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from typing_extensions import override

from lightning_leaf._arguments import whole_number
from lightning_leaf.data.batches import Examples, Split
from lightning_leaf.geometry.effective_rank import checked_ranks
from lightning_leaf.geometry.rank_kinds import Ranks
from lightning_leaf.model.forward import Forward
from lightning_leaf.model.likelihood import Likelihood
from lightning_leaf.predict.columns import Columns, ColumnTypes, input_column_types, input_columns
from lightning_leaf.predict.predictor import Predictor, require_one_input_per_position

EIGENVALUES = 16
"""Eigenvalues kept of each input; up to 16 classes these are all of them."""


class LeafPredictor(Predictor):
    r"""Predictor that measures the local data matrix at every input of a data set.

    It runs in Lightning's predict loop. The local data matrix is
    G(x, w) = E_{y∼p}[∇ₓ log p_y ∇ₓ log p_yᵀ] (equation 6 of Grementieri & Fioresi, "Model-centric
    data manifold"). The table has one row for each input:

    =========================== ==============================================================
    column                      content
    =========================== ==============================================================
    ``index``                   position in the data set
    ``label``                   class number; None if the batch has no labels
    ``predicted_label``         most probable class, argmax_y p(y|x)
    ``probability``             probability of that class
    ``trace``                   tr G, in units of 1 / input²
    ``trace_standard_error``    zero up to 160 classes. For more classes, trace and ranks are
                                estimates, see :func:`~lightning_leaf.local_geometry`
    ``effective_rank_<kind>``   see :func:`~lightning_leaf.effective_rank`
    ``tangent_dimension``       dimension of the tangent distribution D_x, at most C − 1; None for
                                estimates
    ``eigenvalues``             largest eigenvalues of G, in descending order
    ``status``                  ``"ok"``; ``"non_finite"`` if the input, the scores or their
                                derivatives contain NaN or infinity. Unknown values are None
    =========================== ==============================================================

    With ``likelihood="bernoulli"``, ``predicted_labels`` replaces ``predicted_label``. It lists all
    labels with a probability of at least 1/2; ``probability`` is then that of all these labels
    together, Π_k max(p_k, 1 − p_k), and the tangent dimension is at most the number of labels.

    The memory hardly depends on the size of the data set. It consists of chunk_size · C · d numbers
    for the gradients of one chunk, a few thousand rows with a
    :class:`~lightning_leaf.MeasurementWriter`, and 40 bytes per input of a process for Lightning's
    list of positions. Processes communicate only at the start and at the end. N processes therefore
    measure N times as fast, on one or more nodes, under every strategy that keeps the whole
    classifier in each process. The classifier is measured in evaluation mode and full precision,
    and its state is restored afterwards. Use a trainer of ``lightning.pytorch``.

    Args:
        classifier: Any classifier, see :meth:`LocalDataMatrix.at`. The batch transfer hooks of a
            LightningModule are used.
        ranks: One or several effective ranks to compute: ``"entropy"``, ``"stable"``,
            ``"participation"``, ``"threshold"``.
        eigenvalues: Largest number of eigenvalues kept of each input; G has C. For more than 160
            classes, each eigenvalue costs additional products.
        chunk_size: Inputs per forward pass, which bounds the memory. Default: 32 on a CPU, what
            memory allows on a GPU. The number is halved each time memory runs out.
        forward: How to call the classifier, if not as ``classifier(x)``: the name of a method or
            sub-module that computes the scores, such as ``"backbone"``; a function
            ``(module, inputs) -> scores``; or the dotted name of such a function.
        batch: Where inputs and labels are in a batch, if not where they usually are: names of keys,
            such as ``("pixels", "target")``; a function ``batch -> (inputs, labels)``; or the
            dotted name of such a function.
        likelihood: What the scores mean: ``"categorical"`` (default), the logits of exclusive
            classes, or ``"bernoulli"``, those of independent labels.
        class_names: Names of all classes. They are written into the metadata of the table, and
            their number must be that of the scores.
        exact: Whether to use all classes even if there are more than 160. Default: only if products
            with the Jacobian of the classifier cannot be computed.

    Raises:
        LeafError: If an argument is out of its range. While predicting: see
            :meth:`LocalDataMatrix.at`; also if the scores have no meaning as ``likelihood`` says
            (features, regression, several labels per input), if the strategy shards the classifier,
            or if inputs have no positions (an IterableDataset, several loaders).

    Example:
        >>> import torch
        >>> from lightning_leaf import LeafPredictor
        >>> model = torch.nn.Linear(4, 3)
        >>> predictor = LeafPredictor(model, ranks=["entropy", "stable"])
        >>> batch = torch.rand(2, 4), torch.tensor([0, 2])  # inputs and labels
        >>> table = predictor.measure(model, batch, indices=[10, 11], chunk_size=32)
        >>> table["index"], table["label"], table["status"], table["tangent_dimension"]
        ([10, 11], [0, 2], ['ok', 'ok'], [2, 2])

        With a trainer, which calls ``measure`` for each batch:

        .. code-block:: python

            trainer = L.Trainer(devices=4)
            tables = trainer.predict(LeafPredictor(model), dataloader)  # one for each batch
    """

    def __init__(
        self,
        classifier: Callable[..., Any],
        *,
        ranks: Ranks = ("entropy",),
        eigenvalues: int = EIGENVALUES,
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
        self._ranks = checked_ranks(ranks)
        self._eigenvalues = whole_number(eigenvalues, "eigenvalues")

    @property
    @override
    def settings(self) -> dict[str, Any]:
        return {
            "task": "inputs",
            "ranks": list(self._ranks),
            "eigenvalues": self._eigenvalues,
            **super().settings,
        }

    @property
    @override
    def column_types(self) -> ColumnTypes:
        return input_column_types(self._ranks, self.likelihood)

    @override
    def examples(self, batch: Any, indices: list[int]) -> Examples:
        examples = self._reading.examples(batch, indices)
        require_one_input_per_position(len(examples), indices)
        return examples

    @override
    def measure(
        self, classifier: Callable[..., Any], batch: Any, indices: list[int], chunk_size: int | None
    ) -> Columns:
        examples = self.examples(batch, indices)
        with self._reading.opened(classifier) as opened:
            columns = input_columns(
                opened,
                examples.inputs,
                ranks=self._ranks,
                eigenvalues=self._eigenvalues,
                chunk_size=chunk_size,
                exact=self._exact,
            )
        labels = list(examples.labels or [None] * len(indices))
        return {"index": indices, "label": labels, **columns}
