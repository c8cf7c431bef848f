"""Horizontal paths along the leaves and orthogonal walks across them."""
