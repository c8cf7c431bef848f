"""lightning-leaf: how a classifier sees its data while it trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightning_leaf.data.normalization import Normalization
from lightning_leaf.errors import LeafError, NonFiniteError
from lightning_leaf.geometry.data_matrix import LocalDataMatrix
from lightning_leaf.geometry.effective_rank import effective_rank
from lightning_leaf.geometry.fisher_rao import fisher_rao_distance, fisher_rao_length
from lightning_leaf.geometry.local_geometry import LocalGeometry, local_geometry
from lightning_leaf.geometry.matrix_free.data_matrix import MatrixFreeDataMatrix
from lightning_leaf.geometry.matrix_free.leading_spectrum import LeadingSpectrum
from lightning_leaf.geometry.matrix_free.trace_estimate import TraceEstimate
from lightning_leaf.paths.horizontal_path import horizontal_path, orthogonal_walk
from lightning_leaf.paths.leaf_path import LeafPath, PathStatus, SinglePath

if TYPE_CHECKING:
    from lightning_leaf.callbacks import (
        HorizontalPathSnapshot,
        LocalDataMatrixMonitor,
        OrthogonalWalkSnapshot,
        TraceReturn,
        Trigger,
    )
    from lightning_leaf.geometry.metrics import LocalDataMatrixEffectiveRank, LocalDataMatrixTrace
    from lightning_leaf.predict import (
        LeafPredictor,
        MeasurementWriter,
        PairDataset,
        PathPredictor,
        read_measurements,
    )

__all__ = [
    "HorizontalPathSnapshot",
    "LeadingSpectrum",
    "LeafError",
    "LeafPath",
    "LeafPredictor",
    "LocalDataMatrix",
    "LocalDataMatrixEffectiveRank",
    "LocalDataMatrixMonitor",
    "LocalDataMatrixTrace",
    "LocalGeometry",
    "MatrixFreeDataMatrix",
    "MeasurementWriter",
    "NonFiniteError",
    "Normalization",
    "OrthogonalWalkSnapshot",
    "PairDataset",
    "PathPredictor",
    "PathStatus",
    "SinglePath",
    "TraceEstimate",
    "TraceReturn",
    "Trigger",
    "effective_rank",
    "fisher_rao_distance",
    "fisher_rao_length",
    "horizontal_path",
    "local_geometry",
    "orthogonal_walk",
    "read_measurements",
]

# The functional core must not wait for Lightning and torchmetrics, which take seconds to import.
_IMPORTED_WHEN_USED = {
    "HorizontalPathSnapshot": "callbacks",
    "LeafPredictor": "predict",
    "LocalDataMatrixEffectiveRank": "geometry.metrics",
    "LocalDataMatrixMonitor": "callbacks",
    "LocalDataMatrixTrace": "geometry.metrics",
    "MeasurementWriter": "predict",
    "OrthogonalWalkSnapshot": "callbacks",
    "PairDataset": "predict",
    "PathPredictor": "predict",
    "TraceReturn": "callbacks",
    "Trigger": "callbacks",
    "read_measurements": "predict",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _IMPORTED_WHEN_USED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_IMPORTED_WHEN_USED[name]}"), name)
