"""lightning-leaf: how a classifier sees its data while it trains."""

from lightning_leaf.data_matrix import LocalDataMatrix
from lightning_leaf.errors import LeafError, NonFiniteError
from lightning_leaf.fisher_rao import fisher_rao_distance, fisher_rao_length
from lightning_leaf.leaf_path import LeafPath, PathStatus, SinglePath
from lightning_leaf.metrics import LocalDataMatrixEffectiveRank, LocalDataMatrixTrace
from lightning_leaf.normalization import Normalization
from lightning_leaf.paths import horizontal_path, orthogonal_walk
from lightning_leaf.spectrum import effective_rank

__all__ = [
    "LeafError",
    "LeafPath",
    "LocalDataMatrix",
    "LocalDataMatrixEffectiveRank",
    "LocalDataMatrixTrace",
    "NonFiniteError",
    "Normalization",
    "PathStatus",
    "SinglePath",
    "effective_rank",
    "fisher_rao_distance",
    "fisher_rao_length",
    "horizontal_path",
    "orthogonal_walk",
]
