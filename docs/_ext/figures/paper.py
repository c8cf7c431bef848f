"""Numbers of the paper's reproduction, from the results that the report is written from."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

RESULTS = Path(__file__).parents[3] / "examples" / "paper" / "results"


@cache
def claims() -> list[dict[str, Any]]:
    results = [json.loads(file.read_text()) for file in sorted(RESULTS.glob("*.json"))]
    return [claim for result in results for claim in result["claims"] if claim["verdict"]]


def paper_statements() -> int:
    return paper_agrees() + paper_partly() + paper_disagrees()


def paper_agrees() -> int:
    return count("agrees")


def paper_partly() -> int:
    return count("partly")


def paper_disagrees() -> int:
    return count("disagrees")


def paper_reached() -> str:
    return percent("reached")


def paper_left() -> str:
    return percent("left")


def count(verdict: str) -> int:
    return sum(claim["verdict"] == verdict for claim in claims())


def percent(value: str) -> str:
    """Of the horizontal paths between test images, the mean over seeds."""
    claim = json.loads((RESULTS / "fig4.json").read_text())["claims"][0]
    return f"{100 * fmean(claim['values'][value]):.0f} %"
