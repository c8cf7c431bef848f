"""Monitoring in any training loop: plain PyTorch, Lightning Fabric and Hugging Face."""

from lightning_leaf.loops.monitor import LeafMonitor
from lightning_leaf.loops.writer import LeafWriter

__all__ = ["LeafMonitor", "LeafWriter"]
