"""Measure whole data sets in Lightning's predict loop, and write the tables to disk."""

from lightning_leaf.predict.folder import read_measurements
from lightning_leaf.predict.leaf_predictor import LeafPredictor
from lightning_leaf.predict.pairs import PairDataset
from lightning_leaf.predict.path_predictor import PathPredictor
from lightning_leaf.predict.writer import MeasurementWriter

__all__ = [
    "LeafPredictor",
    "MeasurementWriter",
    "PairDataset",
    "PathPredictor",
    "read_measurements",
]
