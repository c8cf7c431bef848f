"""Paths along and across the leaves."""
