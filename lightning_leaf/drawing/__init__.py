"""Drawing: points as frames, frames as strips, paths and histories as figures."""
