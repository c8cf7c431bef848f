"""The mathematics of one input: the local data matrix and what follows from it."""
