"""The geometry that a classifier gives its inputs, measured while it trains.

The public interface is flat: ``from lightning_leaf import LocalDataMatrixMonitor``. Each name is
imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning_leaf.callbacks import (
        HorizontalPathSnapshot,
        LocalDataMatrixMonitor,
        OrthogonalWalkSnapshot,
        PredictionPathSnapshot,
        TraceReturn,
        Trigger,
    )
    from lightning_leaf.data.normalization import Normalization
    from lightning_leaf.errors import LeafError, NonFiniteError
    from lightning_leaf.geometry.data_matrix import LocalDataMatrix
    from lightning_leaf.geometry.effective_rank import effective_rank
    from lightning_leaf.geometry.estimates import LeadingSpectrum, TraceEstimate
    from lightning_leaf.geometry.fisher_rao import fisher_rao_distance, fisher_rao_length
    from lightning_leaf.geometry.leaf_coordinates import leaf_coordinates, log_probs_at
    from lightning_leaf.geometry.leaf_map import LeafMap, leaf_map
    from lightning_leaf.geometry.local_geometry import LocalGeometry, local_geometry
    from lightning_leaf.geometry.matrix_free.data_matrix import MatrixFreeDataMatrix
    from lightning_leaf.geometry.metrics import LocalDataMatrixEffectiveRank, LocalDataMatrixTrace
    from lightning_leaf.loops import LeafMonitor, LeafWriter
    from lightning_leaf.loops.hugging_face import LeafTrainerCallback
    from lightning_leaf.paths.horizontal_path import horizontal_path
    from lightning_leaf.paths.leaf_path import LeafPath
    from lightning_leaf.paths.orthogonal_walk import orthogonal_walk
    from lightning_leaf.paths.prediction_path import prediction_path
    from lightning_leaf.paths.single_path import PathStatus, SinglePath
    from lightning_leaf.predict import (
        LeafPredictor,
        MeasurementWriter,
        PairDataset,
        PathPredictor,
        read_measurements,
    )

    __version__: str

__all__ = [
    "HorizontalPathSnapshot",
    "LeadingSpectrum",
    "LeafError",
    "LeafMap",
    "LeafMonitor",
    "LeafPath",
    "LeafPredictor",
    "LeafTrainerCallback",
    "LeafWriter",
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
    "PredictionPathSnapshot",
    "SinglePath",
    "TraceEstimate",
    "TraceReturn",
    "Trigger",
    "effective_rank",
    "fisher_rao_distance",
    "fisher_rao_length",
    "horizontal_path",
    "leaf_coordinates",
    "leaf_map",
    "local_geometry",
    "log_probs_at",
    "orthogonal_walk",
    "prediction_path",
    "read_measurements",
]

# PyTorch, Lightning and torchmetrics take seconds to import: ``lightning-leaf --help`` needs none.
_MODULES = {
    "HorizontalPathSnapshot": "callbacks",
    "LeadingSpectrum": "geometry.estimates",
    "LeafError": "errors",
    "LeafMap": "geometry.leaf_map",
    "LeafMonitor": "loops",
    "LeafPath": "paths.leaf_path",
    "LeafPredictor": "predict",
    "LeafTrainerCallback": "loops.hugging_face",
    "LeafWriter": "loops",
    "LocalDataMatrix": "geometry.data_matrix",
    "LocalDataMatrixEffectiveRank": "geometry.metrics",
    "LocalDataMatrixMonitor": "callbacks",
    "LocalDataMatrixTrace": "geometry.metrics",
    "LocalGeometry": "geometry.local_geometry",
    "MatrixFreeDataMatrix": "geometry.matrix_free.data_matrix",
    "MeasurementWriter": "predict",
    "NonFiniteError": "errors",
    "Normalization": "data.normalization",
    "OrthogonalWalkSnapshot": "callbacks",
    "PairDataset": "predict",
    "PathPredictor": "predict",
    "PathStatus": "paths.single_path",
    "PredictionPathSnapshot": "callbacks",
    "SinglePath": "paths.single_path",
    "TraceEstimate": "geometry.estimates",
    "TraceReturn": "callbacks",
    "Trigger": "callbacks",
    "effective_rank": "geometry.effective_rank",
    "fisher_rao_distance": "geometry.fisher_rao",
    "fisher_rao_length": "geometry.fisher_rao",
    "horizontal_path": "paths.horizontal_path",
    "leaf_coordinates": "geometry.leaf_coordinates",
    "leaf_map": "geometry.leaf_map",
    "local_geometry": "geometry.local_geometry",
    "log_probs_at": "geometry.leaf_coordinates",
    "orthogonal_walk": "paths.orthogonal_walk",
    "prediction_path": "paths.prediction_path",
    "read_measurements": "predict",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":  # both distributions have the same
        from tensorboard_plugin_leaf import __version__

        return __version__
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
