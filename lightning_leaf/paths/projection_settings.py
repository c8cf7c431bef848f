"""How the projections along paths are computed: exactly or iteratively."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_leaf._arguments import whole_number
from lightning_leaf.errors import LeafError, shown
from lightning_leaf.geometry.matrix_free.data_matrix import EXACT_CLASSES, PROJECTION_RTOL
from lightning_leaf.geometry.matrix_free.inverse_gram import pays_off
from lightning_leaf.geometry.matrix_free.logit_jacobian import products_available
from lightning_leaf.model.chunks import (
    ROWS_OF_A_GRAPH,
    checked_chunk_size,
    chosen_chunk_size,
    fitting_chunk_size,
)
from lightning_leaf.model.classifier import Classifier
from lightning_leaf.paths.iterative_projectors import IterativeProjectors
from lightning_leaf.paths.projectors import ExactProjectors, Projectors


@dataclass(frozen=True)
class ProjectionSettings:
    """How projections on D_x are computed; see :func:`~lightning_leaf.horizontal_path`.

    Attributes:
        top_classes: Number of most probable classes (of the labels with the largest variance) whose
            gradients span D_x; None for all.
        rtol: Relative error allowed in an iterative projection; 0 for exact projections; None
            for the method that costs less.
        chunk_size: Largest number of paths computed together; None for the default.

    Raises:
        LeafError: If an argument is out of its range, or ``top_classes`` and ``rtol`` are given.
    """

    top_classes: int | None
    rtol: float | None
    chunk_size: int | None

    def __post_init__(self) -> None:
        checked_chunk_size(self.chunk_size)
        top, rtol = self.top_classes, self.rtol
        if top is not None:
            whole_number(top, "top_classes", at_least=2)
        if rtol is not None and not 0 <= rtol < 1:
            raise LeafError(
                f"rtol expects a relative error of at least 0 and below 1; got {shown(rtol)}."
            )
        if top is not None and rtol:
            raise LeafError(
                "Expected top_classes or rtol, not both, because each saves backward passes in its "
                f"own way; got top_classes={top} and rtol={rtol}. Remove one of them."
            )

    def choose(
        self,
        classifier: Classifier,
        classes: int,
        start: Tensor,  # (N, ...)
        clamps: bool,
    ) -> tuple[Projectors, int]:
        """Return the projectors, and the number of paths to compute together.

        With many classes they are iterative by default, but exact for a model that has first
        derivatives only.

        Args:
            classifier: An open classifier.
            classes: Number of classes, C.
            start: Starting points of the paths.
            clamps: Whether displacements are clamped to a domain after their projection.
        """
        size = start[0].numel()
        rtol, chunk = self.rtol, checked_chunk_size(self.chunk_size)
        if rtol is None and self.top_classes is None:
            exact = classes <= EXACT_CLASSES or not products_available(classifier, start)
            rtol = 0 if exact else PROJECTION_RTOL
        if rtol:
            paths = chosen_chunk_size(chunk, classifier, ROWS_OF_A_GRAPH, size)
            keeps = pays_off(classes, classifier.weights, rtol, torch.finfo(start.dtype).eps)
            if keeps:
                paths = fitting_chunk_size(paths, classes, classes)
            return IterativeProjectors(classifier, rtol, keeps, clamps), paths
        top = None if self.top_classes is None else min(self.top_classes, classes)
        rows = top or classes
        return ExactProjectors(classifier, top), chosen_chunk_size(chunk, classifier, rows, size)
