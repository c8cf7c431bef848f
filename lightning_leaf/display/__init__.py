"""Display: paths as snapshots, and snapshots in loggers and files."""
