"""The snapshots and scalars of a log directory, read through TensorBoard's data provider.

This folder imports ``schema`` and ``codec``.
"""
