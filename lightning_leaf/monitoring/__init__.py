"""Monitoring: measurements of a probe, their history, and the interval between them."""
