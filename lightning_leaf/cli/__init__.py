"""The command ``lightning-leaf``."""

from lightning_leaf.cli.command import main

__all__ = ["main"]
