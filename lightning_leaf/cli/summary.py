"""Summarize a measured data set for each checkpoint, as a table and as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lightning_leaf.geometry.rank_kinds import RankKind
from lightning_leaf.model.likelihood import Likelihood
from lightning_leaf.predict.columns import NON_FINITE, input_column_types
from lightning_leaf.predict.folder import read_measurements

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.figure import Figure

RANK = "effective_rank_"
LEGEND = (
    "Trace and effective ranks of the local data matrix; dim D: dimension of the tangent\n"
    "distribution; NaN: number of inputs at which the model returned NaN or infinity; the\n"
    "other columns ignore them."
)


@dataclass(frozen=True)
class Summary:
    """One checkpoint on one data set; unknown numbers are NaN.

    Attributes:
        name: The name of the checkpoint.
        step: The step at which it was saved; None if unknown.
        inputs: Number of inputs measured.
        non_finite: Number of inputs at which the model returned NaN or infinity. The attributes
            below ignore them.
        trace: Mean, 10 %, 50 % and 90 % quantiles of tr G.
        ranks: Mean effective rank, by kind.
        tangent_dimension: Mean dimension of the tangent distribution.
        accuracy: Share of the labelled inputs that are classified correctly; unknown for
            independent labels.
    """

    name: str
    step: int | None
    inputs: int
    non_finite: int
    trace: tuple[float, float, float, float]
    ranks: dict[RankKind, float]
    tangent_dimension: float
    accuracy: float


def summarize(
    folder: Path, ranks: Sequence[RankKind], likelihood: Likelihood, step: int | None
) -> Summary:
    """Summarize what a :class:`LeafPredictor` has measured into a folder.

    Raises:
        LeafError: If the folder cannot be read.
    """
    # The eigenvalues are most of the table and are not needed.
    columns = [name for name in input_column_types(ranks, likelihood) if name != "eigenvalues"]
    with np.errstate(over="ignore", invalid="ignore"):  # of very large numbers in a file
        return _summary(folder.name, read_measurements(folder, columns), ranks, likelihood, step)


def _summary(
    name: str, table: pa.Table, ranks: Sequence[RankKind], likelihood: Likelihood, step: int | None
) -> Summary:
    trace = _values(table, "trace")
    correct = [] if likelihood == "bernoulli" else _correct(table)
    quantiles = np.quantile(trace, [0.1, 0.5, 0.9]) if len(trace) else [float("nan")] * 3
    return Summary(
        name,
        step,
        inputs=table.num_rows,
        non_finite=table["status"].to_pylist().count(NON_FINITE),
        trace=(_mean(trace), *map(float, quantiles)),  # type: ignore[arg-type]
        ranks={kind: _mean(_values(table, f"{RANK}{kind}")) for kind in ranks},
        tangent_dimension=_mean(_values(table, "tangent_dimension")),
        accuracy=_mean(np.array(correct, dtype=float)),
    )


def _correct(table: pa.Table) -> list[bool]:
    return [
        label == predicted
        for label, predicted in zip(
            table["label"].to_pylist(), table["predicted_label"].to_pylist(), strict=True
        )
        if label is not None and predicted is not None
    ]


def summary_table(summaries: Sequence[Summary]) -> list[str]:
    """Return a line of headings and one line for each checkpoint."""
    headings = ["step", "inputs", "mean trace", "10 %", "median", "90 %"]
    headings += [f"{kind} rank" for kind in summaries[0].ranks]
    headings += ["dim D", "accuracy", "NaN", "checkpoint"]
    lines = [headings, *map(_cells, summaries)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headings))]
    return [
        "  ".join(
            [
                *(cell.rjust(width) for cell, width in zip(line[:-1], widths, strict=False)),
                line[-1],
            ]
        )
        for line in lines
    ]


def plot_summaries(summaries: Sequence[Summary]) -> Figure:
    """Plot trace, effective ranks and tangent dimension over the steps of the checkpoints.

    If a step is unknown, the checkpoints are numbered in the given order.

    Raises:
        ModuleNotFoundError: If matplotlib is not installed; the message gives the command that
            installs it.
    """
    from lightning_leaf.drawing.plotting import plot_history

    steps = [summary.step for summary in summaries]
    axis = list(range(1, len(steps) + 1)) if None in steps else [int(step or 0) for step in steps]
    ordered = sorted(zip(axis, summaries, strict=True), key=lambda pair: pair[0])
    history = {
        "step": [float(step) for step, _ in ordered],
        "trace_mean": [summary.trace[0] for _, summary in ordered],
        "trace_median": [summary.trace[2] for _, summary in ordered],
        "tangent_dimension": [summary.tangent_dimension for _, summary in ordered],
    }
    for kind in summaries[0].ranks:
        history[f"{RANK}{kind}"] = [summary.ranks[kind] for _, summary in ordered]
    return plot_history(history, reference=None)


def _cells(summary: Summary) -> list[str]:
    return [
        "–" if summary.step is None else f"{summary.step:,}",
        f"{summary.inputs:,}",
        *(_format(value, ".3g") for value in summary.trace),
        *(_format(value, ".2f") for value in summary.ranks.values()),
        _format(summary.tangent_dimension, ".2f"),
        _format(summary.accuracy, ".1%").replace("%", " %"),
        f"{summary.non_finite:,}",
        summary.name,
    ]


def _format(value: float, form: str) -> str:
    return "–" if np.isnan(value) else format(value, form)


def _values(table: pa.Table, column: str) -> Any:  # (n,)
    return table[column].drop_null().to_numpy().astype(float)


def _mean(values: Any) -> float:
    return float(values.mean()) if len(values) else float("nan")
