"""The version of both distributions, lightning-leaf and tensorboard-plugin-leaf."""

__version__ = "0.1.0"
