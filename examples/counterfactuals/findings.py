"""The summaries of the report: the best ways, and where a baseline is better."""

from __future__ import annotations

from collections.abc import Callable
from operator import gt, lt
from statistics import fmean as mean
from typing import Any

from examples.counterfactuals.question import TARGETS
from examples.counterfactuals.training import KINDS
from examples.counterfactuals.ways import (
    ALGORITHM_1,
    ASCENT,
    ASCENT_VALID,
    LEAST_SURE,
    LINE,
    PREDICTION,
    PREDICTION_VALID,
    WAYS,
)
from examples.paper.experiment import Spread
from examples.paper.readme import markdown

COLUMNS = {
    "class": ("class", ".0%"),
    "sure": ("as sure", ".0%"),
    "prediction": ("prediction", ".0%"),
    "size": ("size", ".1f"),
    "relative": ("of distance", ".2f"),
    "share": ("share in D", ".2f"),
    "horizontality": ("horizontality", ".2f"),
    "passes": ("passes", ".0f"),
    "own agrees": ("agree", ".0%"),
    "own probability": ("probability", ".2f"),
    "robust agrees": ("robust agree", ".0%"),
    "own same size": ("agree, same size", ".0%"),
    "robust same size": ("robust, same size", ".0%"),
}
"""Heading and format of every number."""
MEDIANS = ("size", "relative", "passes")
"""Numbers of which the median over images is taken; of all others, the mean."""
BEST: dict[str, tuple[str, Callable[..., str]]] = {
    "least change": ("size", min),
    "fewest passes": ("passes", min),
    "most agreement": ("own agrees", max),
    "most robust agreement": ("robust agrees", max),
    "most agreement, same size": ("own same size", max),
    "most robust agreement, same size": ("robust same size", max),
}
"""Columns of the summary: the number that is compared, and whether less or more is better."""
MEASURES: dict[str, Callable[[float, float], bool]] = {
    "sure": gt,
    "prediction": gt,
    "size": lt,
    "passes": lt,
    "own agrees": gt,
    "robust agrees": gt,
    "own same size": gt,
    "robust same size": gt,
}
"""When a baseline is better than a prediction path: by a greater or by a smaller number."""
BASELINES = {
    ASCENT: PREDICTION,
    ASCENT_VALID: PREDICTION_VALID,
    LEAST_SURE: PREDICTION,
    LINE: PREDICTION_VALID,
    ALGORITHM_1: PREDICTION,
}
"""The baselines, and the prediction path with which each is compared."""
WITH_IMAGES = (LINE, ALGORITHM_1)
"""The ways that know a training image of the class asked for."""
SURE = 0.9
"""The least change and the fewest passes are those of the ways with at least this share as sure."""
SUMMARY = """## Summary

The best way at each measure, of those that know no training image of the class; the mean over seeds
decides. The least change and the fewest passes are those of the ways with which at least {sure:.0%}
of the images are as sure. The last column shows the agreement at the ends of the straight lines,
which are training images where no earlier point is sure.

{table}

![agreement by the size of the change](figures/sizes.png)

*Share of the judges that agree after all changes are scaled to the same size; mean over both
targets.*
"""
AGAINST = """## Where a baseline is better than a prediction path

In how many of the {cases} cases (training and target) the mean over seeds is better than that of
the prediction path. Gradient ascent within valid pixels and the straight line are compared with the
prediction path within valid pixels. Sizes and passes include images with which a way did not
arrive.

{against}

## Do changes look better to others after robust training?

Agreement of the adversarially trained judges at the end; mean over both targets.

{robust}
"""


def summary(results: dict[str, Any]) -> str:
    rows = []
    for kind in KINDS:
        for target in TARGETS:
            ways = results["numbers"][kind][target]
            alone = {way: ways[way] for way in WAYS if way not in WITH_IMAGES}
            winners = [best(alone, *one) for one in BEST.values()]
            rows.append((kind, target, *winners, cell(ways[LINE]["own agrees"], "own agrees")))
    table = markdown(("training", "target", *BEST, "straight line"), rows)
    return SUMMARY.format(sure=SURE, table=table)


def against(results: dict[str, Any]) -> str:
    """Count where baselines are better, and compare the kinds of training."""
    cases = [results["numbers"][kind][target] for kind in KINDS for target in TARGETS]
    counts = []
    for way, path in BASELINES.items():
        row = [way]
        for name, better in MEASURES.items():
            means = [(mean(ways[way][name]), mean(ways[path][name])) for ways in cases]
            row.append(str(sum(better(*pair) for pair in means)))
        counts.append(row)
    robust = []
    for way in WAYS:
        row = [way]
        for kind in KINDS:
            targets = [results["numbers"][kind][target][way]["robust agrees"] for target in TARGETS]
            row.append(cell([mean(seed) for seed in zip(*targets, strict=True)], "robust agrees"))
        robust.append(row)
    headings = ("way", *(COLUMNS[name][0] for name in MEASURES))
    return AGAINST.format(
        cases=len(cases),
        against=markdown(headings, counts),
        robust=markdown(("way", *KINDS), robust),
    )


def best(ways: dict[str, Any], name: str, choose: Callable[..., str]) -> str:
    """Return the best ways at one measure; several if they are equal."""
    means = {
        way: mean(numbers[name])
        for way, numbers in ways.items()
        if name not in MEDIANS or mean(numbers["sure"]) >= SURE
    }
    if not means:
        return "–"
    value = means[choose(means, key=means.__getitem__)]
    winners = [way for way in means if means[way] == value]
    names = " = ".join(winners) if len(winners) <= 3 else f"{len(winners)} ways"
    return f"{names}: {cell(ways[winners[0]][name], name)}"


def cell(values: list[float], name: str) -> str:
    return format(Spread(values), COLUMNS[name][1]) if values else "–"
