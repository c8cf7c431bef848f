"""The local data matrix of an input, and quantities that are computed from it."""
