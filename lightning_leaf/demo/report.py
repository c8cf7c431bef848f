"""Print what the callbacks measured: a table over training and a line for each path."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from tensorboard_plugin_leaf import PathRecord

from lightning_leaf.callbacks import (
    HorizontalPathSnapshot,
    LocalDataMatrixMonitor,
    OrthogonalWalkSnapshot,
    PredictionPathSnapshot,
)
from lightning_leaf.drawing.titles import judgement, outcome, pair_name

TABLE_ROWS = 10
HEADINGS = {
    "trace_mean": "mean trace",
    "trace_median": "median",
    "trace_ratio": "ratio",
    "tangent_dimension": "dim D",
}
LEGEND = (
    "Trace and effective ranks of the local data matrix; ratio: median trace divided\n"
    "by its first value; dim D: dimension of the tangent distribution."
)

PathCallback = PredictionPathSnapshot | HorizontalPathSnapshot | OrthogonalWalkSnapshot


def print_report(monitor: LocalDataMatrixMonitor, snapshots: Iterable[PathCallback]) -> None:
    """Print trace and ranks over training, then a line for each path of the last snapshots."""
    print()
    for row in history_table(monitor.history):
        print(row)
    print(LEGEND)
    for callback in snapshots:
        snapshot = callback.last_snapshot
        if snapshot is None:
            print(f"\n{callback.name}: no snapshot was taken")
            continue
        print(f"\n{callback.name} at step {snapshot.step:,} ({snapshot.reason}):")
        for path in snapshot.paths:
            print(f"  {path_line(path, snapshot.kind)}")


def history_table(history: dict[str, list[float]]) -> list[str]:
    """Return at most ten measurements of a monitor as lines of text, denser early in training."""
    count = len(history["step"])
    shown = min(TABLE_ROWS, count)
    # Quadratic spacing, because the trace rises within the first steps and falls slowly.
    rows = {round((count - 1) * (k / max(1, shown - 1)) ** 2) for k in range(shown)}
    columns = list(history)
    headings = [_heading(column) for column in columns]
    cells = [[_cell(column, history[column][row]) for column in columns] for row in sorted(rows)]
    table = [headings, *cells]
    widths = [max(len(line[i]) for line in table) for i in range(len(columns))]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in table
    ]


def path_line(path: PathRecord, kind: str) -> str:
    """Describe a path in one line: its status, its number of steps, and how far it came.

    Args:
        path: The path.
        kind: ``"horizontal"``, ``"prediction"`` or ``"orthogonal"``.
    """
    steps = f"{path.steps} step{'s' * (path.steps != 1)}"
    labels = _changes(path.frame_labels)
    ended = f"{pair_name(path)}: {outcome(path)} after {steps}"
    if kind == "prediction":
        left = f", {path.final_distance:.2f} of {path.start_distance:.2f} left"
        arrived = "" if path.status == "reached" else left
        line = f"{ended}{arrived}, changed by {path.change:.2f}"
        if not math.isnan(path.length_ratio):
            line += f"; Fisher–Rao length {path.length_ratio:.2f} of the shortest"
        return f"{line}; {judgement(path)}" if path.judged else line
    if not path.destination:
        kept = "label kept" if len(labels) == 1 else f"label {' → '.join(labels)}"
        return f"{path.source}: {steps}, {path.final_distance:.2f} from start; {kept}"
    left = f"{path.final_distance:.2f} of {path.start_distance:.2f} left"
    return f"{ended}, {left}; predicted {' → '.join(labels)}"


def _changes(labels: Sequence[str]) -> list[str]:
    """Return the labels without immediate repetitions."""
    return [label for i, label in enumerate(labels) if i == 0 or label != labels[i - 1]]


def _heading(column: str) -> str:
    kind = column.removeprefix("effective_rank_")
    return HEADINGS.get(column, column if kind == column else f"{kind} rank")


def _cell(column: str, value: float) -> str:
    if column == "step":
        return f"{int(value):,}"
    if math.isnan(value):
        return "nan"
    return f"{value:.3g}" if column in ("trace_mean", "trace_median") else f"{value:,.2f}"
