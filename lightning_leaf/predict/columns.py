"""Rows of a table: what is told of every input, and of every path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from lightning_leaf.geometry.effective_rank import RankKind
from lightning_leaf.geometry.local_geometry import local_geometry
from lightning_leaf.paths.leaf_path import PathKind, PathStatus, SinglePath

Rows = dict[str, list[Any]]
"""Columns by name, all of one length; None where there is nothing to tell."""

OK = "ok"
NON_FINITE = PathStatus.NON_FINITE.value


def input_columns(ranks: Sequence[RankKind]) -> dict[str, str]:
    """The type of every column that :func:`input_rows` fills."""
    return {
        "index": "int64",
        "label": "int64",
        "predicted_label": "int64",
        "probability": "double",
        "trace": "double",
        "trace_standard_error": "double",
        **{f"effective_rank_{kind}": "double" for kind in ranks},
        "tangent_dimension": "int64",
        "eigenvalues": "list<double>",
        "status": "string",
    }


def input_rows(
    model: Callable[..., Any],
    inputs: Tensor,  # (B, ...)
    *,
    ranks: Sequence[RankKind],
    eigenvalues: int,
    chunk_size: int,
) -> Rows:
    """What the model predicts and its geometry at every input."""
    found = local_geometry(
        model, inputs, ranks=ranks, eigenvalues=eigenvalues, chunk_size=chunk_size
    )
    finite = found.finite.tolist()
    log_probability, label = found.log_probs.max(-1)
    numbers = {
        "probability": log_probability.exp(),
        "trace": found.trace,
        "trace_standard_error": found.standard_error,
        **{f"effective_rank_{kind}": found.effective_rank[kind] for kind in ranks},
    }
    dimensions = _numbers(found.tangent_dimension)
    return {
        "predicted_label": _where(finite, label.tolist()),
        **{name: _numbers(values) for name, values in numbers.items()},
        "tangent_dimension": [None if each is None else int(each) for each in dimensions],
        "eigenvalues": _where(finite, found.eigenvalues.tolist()),
        "status": [OK if each else NON_FINITE for each in finite],
    }


def _where(known: list[bool], values: list[Any]) -> list[Any]:
    return [value if each else None for each, value in zip(known, values, strict=True)]


def _numbers(values: Tensor) -> list[float | None]:  # (n,)
    """None instead of NaN: tables know what is missing."""
    return _where(values.isfinite().tolist(), values.tolist())


_PATH_COLUMNS = {
    "steps": "int64",
    "mean_horizontality": "double",
    "min_horizontality": "double",
    "fisher_rao_length": "double",
    "first_label": "int64",
    "final_label": "int64",
    "final_probability": "double",
    "status": "string",
}


def path_columns(kind: PathKind) -> dict[str, str]:
    """The type of every column that is told of a path of this kind."""
    ends = ("source",) if kind == "orthogonal" else ("source", "destination")
    lengths = ["start_distance", "remaining_distance"] if kind == "horizontal" else ["distance"]
    return {
        "index": "int64",
        **{f"{end}_{what}": "int64" for end in ends for what in ("index", "label")},
        **dict.fromkeys(lengths, "double"),
        **_PATH_COLUMNS,
    }


def path_row(path: SinglePath) -> dict[str, Any]:
    """What became of one path; None for the predictions that a model without numbers made."""
    first, final = (_prediction(path.log_probs[step]) for step in (0, -1))
    shares = path.horizontality[path.horizontality.isfinite()]
    if path.kind == "orthogonal":
        row = {"distance": _number(path.distance[-1])}
    else:
        row = {
            "start_distance": _number(path.distance[0]),
            "remaining_distance": _number(path.distance[-1]),
        }
    return row | {
        "steps": path.steps,
        "mean_horizontality": float(shares.mean()) if len(shares) else None,
        "min_horizontality": float(shares.min()) if len(shares) else None,
        "fisher_rao_length": _number(path.fisher_rao_length[-1]),
        "first_label": first[0],
        "final_label": final[0],
        "final_probability": final[1],
        "status": path.status.value,
    }


def path_without_steps(kind: PathKind) -> dict[str, Any]:
    """The row of a path whose ends hold NaN or infinity: there is nowhere to walk."""
    return dict.fromkeys(path_columns(kind)) | {"steps": 0, "status": NON_FINITE}


def _prediction(log_probs: Tensor) -> tuple[int | None, float | None]:  # (C,)
    if bool(log_probs.isnan().any()):
        return None, None
    label = int(log_probs.argmax())
    return label, float(log_probs[label].exp())


def _number(value: Tensor) -> float | None:
    return float(value) if bool(value.isfinite()) else None
