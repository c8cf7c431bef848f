"""Snapshots as bytes and as summaries in event files.

This folder is the only one that knows the layout of the bytes. It imports ``schema``.
"""
