"""The history of a monitor: lists by column name, with one value per measurement."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from numbers import Real
from typing import Any

from lightning_leaf.errors import LeafError, shown
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


def restored_history(columns: Sequence[str], saved: Any) -> Columns:
    """Return a saved history with these columns, NaN in those that were not saved.

    Another version or other ``ranks`` may have saved other columns.

    Raises:
        LeafError: If it is not a mapping of lists of numbers of one length with ascending steps.
    """
    if not isinstance(saved, Mapping):
        raise LeafError(f"history expects lists of numbers by column name; got {shown(saved)}.")
    if "trace_standard_error" in saved:
        columns = [*columns, "trace_standard_error"]
    steps: Any = saved.get("step", [])
    restored = {}
    for column in dict.fromkeys(["step", *columns]):
        values = saved[column] if column in saved else [math.nan] * len(steps)
        is_list = isinstance(values, (list, tuple)) and len(values) == len(steps)
        if not is_list or not all(map(_is_number, values)):
            raise LeafError(
                f"history[{column!r}] expects a list of one number for each of the {len(steps)} "
                f"steps; got {shown(values)}."
            )
        restored[column] = [float(value) for value in values]
    if not all(step >= 0 and step.is_integer() for step in restored["step"]) or any(
        later <= step for step, later in pairwise(restored["step"])
    ):
        raise LeafError(f"history['step'] expects ascending whole numbers; got {shown(steps)}.")
    restored["step"] = [int(step) for step in steps]
    return restored


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


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
