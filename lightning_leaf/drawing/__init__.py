"""Arrays as images and figures."""
