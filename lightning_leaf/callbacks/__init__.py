"""Callbacks for the trainers of ``lightning.pytorch`` and ``pytorch_lightning``."""

from lightning_leaf.callbacks.horizontal_path_snapshot import HorizontalPathSnapshot
from lightning_leaf.callbacks.monitor import LocalDataMatrixMonitor
from lightning_leaf.callbacks.orthogonal_walk_snapshot import OrthogonalWalkSnapshot
from lightning_leaf.callbacks.prediction_path_snapshot import PredictionPathSnapshot
from lightning_leaf.callbacks.triggers import (
    AtCheckpoint,
    AtEpochEnd,
    AtFitEnd,
    AtSteps,
    Moment,
    TraceReturn,
    Trigger,
)

__all__ = [
    "AtCheckpoint",
    "AtEpochEnd",
    "AtFitEnd",
    "AtSteps",
    "HorizontalPathSnapshot",
    "LocalDataMatrixMonitor",
    "Moment",
    "OrthogonalWalkSnapshot",
    "PredictionPathSnapshot",
    "TraceReturn",
    "Trigger",
]
