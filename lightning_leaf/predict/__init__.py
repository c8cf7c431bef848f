"""Whole data sets on many devices: rows about inputs and paths, written where runs can go on."""

from lightning_leaf.predict.folder import read_measurements
from lightning_leaf.predict.inputs import LeafPredictor
from lightning_leaf.predict.paths import PairDataset, PathPredictor
from lightning_leaf.predict.writer import MeasurementWriter

__all__ = [
    "LeafPredictor",
    "MeasurementWriter",
    "PairDataset",
    "PathPredictor",
    "read_measurements",
]
