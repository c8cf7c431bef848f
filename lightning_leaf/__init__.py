"""lightning-leaf: how a classifier sees its data while it trains."""

from lightning_leaf.data_matrix import LocalDataMatrix
from lightning_leaf.errors import LeafError, NonFiniteError
from lightning_leaf.spectrum import effective_rank

__all__ = ["LeafError", "LocalDataMatrix", "NonFiniteError", "effective_rank"]
