"""All rows of the table, in the order of the page."""

from __future__ import annotations

from tests.support.trainers import data, forwards, loggers, loops, models, precision, scores
from tests.support.trainers.kinds import KINDS, Kind

__all__ = ["KINDS", "Kind", "data", "forwards", "loggers", "loops", "models", "precision", "scores"]
