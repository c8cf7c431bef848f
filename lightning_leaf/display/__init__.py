"""Paths as snapshots, and snapshots as what loggers show."""
