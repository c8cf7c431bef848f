"""Data: labelled inputs from batches and data sets, and the normalization of pixels."""
