"""Ways to change an image so that a classifier says another class, compared."""
