"""Numbers of the reproduction of the paper, from the results of its report."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean

RESULTS = Path(__file__).parents[3] / "examples" / "paper" / "results"


def paper_reached() -> str:
    return percent("reached")


def paper_left() -> str:
    return percent("left")


def percent(value: str) -> str:
    """Return a share of the horizontal paths between test images, the mean over seeds."""
    claim = json.loads((RESULTS / "fig4.json").read_text())["claims"][0]
    return f"{100 * fmean(claim[value]):.0f} %"
