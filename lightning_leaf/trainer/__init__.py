"""What callbacks and predictors read of a trainer, and its processes."""
