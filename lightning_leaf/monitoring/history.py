"""The history of a monitor: lists by column name, with one value per measurement."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from lightning_leaf.geometry.rank_kinds import RankKind

Columns = dict[str, list[float]]


def empty_history(ranks: Sequence[RankKind]) -> Columns:
    """Return a history without measurements."""
    columns = (
        "step",
        "trace_mean",
        "trace_median",
        "trace_ratio",
        *(f"effective_rank_{kind}" for kind in ranks),
        "tangent_dimension",
    )
    return {column: [] for column in columns}


def restored_history(columns: Sequence[str], saved: Mapping[str, Sequence[float]]) -> Columns:
    """Return a saved history with these columns, NaN in those that were not saved.

    Another version or other ``ranks`` may have saved other columns.
    """
    steps = saved.get("step", [])
    if "trace_standard_error" in saved:
        columns = [*columns, "trace_standard_error"]
    return {column: list(saved.get(column, [math.nan] * len(steps))) for column in columns}


def trace_ratio(history: Columns, median: float) -> float:
    """Return a median of the trace relative to the first one above zero; NaN if there is none.

    The trace is zero at first if the last layer of the classifier is initialized to zero.
    """
    medians = [*history["trace_median"], median]
    first = next((each for each in medians if each > 0), None)
    return math.nan if first is None else median / first


def append_row(history: Columns, row: Mapping[str, float]) -> None:
    """Append one measurement; NaN in columns that are missing in it or in earlier ones."""
    known = len(history["step"])
    for column in row:
        history.setdefault(column, [math.nan] * known)
    for column, values in history.items():
        values.append(row.get(column, math.nan))


def drop_after(history: Columns, step: int) -> None:
    """Drop the measurements of an earlier fit after ``step``; all of them at step 0."""
    kept = sum(each <= step for each in history["step"]) if step else 0
    for values in history.values():
        del values[kept:]
