"""Types of snapshots and paths: plain strings, numbers and numpy arrays, checked when built.

This folder imports no other folder of the package.
"""
