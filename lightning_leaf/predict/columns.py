"""Rows of a table: what is told of every input, and of every path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_leaf.classifier import measuring
from lightning_leaf.data_matrix import LocalDataMatrix
from lightning_leaf.errors import NonFiniteError
from lightning_leaf.leaf_path import PathKind, PathStatus, SinglePath
from lightning_leaf.spectrum import RankKind, effective_rank

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
    """The geometry at every input; only one chunk's gradients are held at a time."""
    columns = [name for name in input_columns(ranks) if name not in ("index", "label")]
    rows: Rows = {name: [] for name in columns}
    for chunk in torch.split(inputs, chunk_size):
        finite, matrices = _finite_matrices(model, chunk)
        found = {} if matrices is None else _geometry(matrices, ranks, eigenvalues)
        for name in columns:
            values: list[Any] = [NON_FINITE if name == "status" else None] * len(chunk)
            for row, value in zip(finite, found.get(name, []), strict=True):
                values[row] = value
            rows[name] += values
    return rows


def _geometry(g: LocalDataMatrix, ranks: Sequence[RankKind], eigenvalues: int) -> Rows:
    spectrum = g.eigenvalues()  # (n, C)
    log_probability, label = g.log_probs.max(-1)
    return {
        "predicted_label": label.tolist(),
        "probability": log_probability.exp().tolist(),
        "trace": g.trace().tolist(),
        **{f"effective_rank_{kind}": effective_rank(spectrum, kind).tolist() for kind in ranks},
        "tangent_dimension": g.tangent_dimension().tolist(),
        "eigenvalues": spectrum[:, :eigenvalues].tolist(),
        "status": [OK] * len(g),
    }


def _finite_matrices(
    model: Callable[..., Any],
    x: Tensor,  # (n, ...)
) -> tuple[list[int], LocalDataMatrix | None]:
    """At which inputs everything is finite, and the local data matrices there."""
    rows = torch.arange(len(x))
    try:
        g = _matrices(model, x)
    except NonFiniteError:
        rows = _rows_with_finite_scores(model, x)
        if not len(rows):
            return [], None
        g = _matrices(model, x[rows])
    # Finite scores may have derivatives that are not: √x at zero.
    whole = g.tangent.gram.isfinite().flatten(1).all(1)
    if not bool(whole.all()):
        rows = rows[whole.cpu()]
        if not len(rows):
            return [], None
        g = LocalDataMatrix(g.log_probs[whole], g.tangent.jacobian[whole], x.shape[1:])
    return rows.tolist(), g


def _matrices(model: Callable[..., Any], x: Tensor) -> LocalDataMatrix:
    """The one place that decides how a chunk of inputs is measured."""
    return LocalDataMatrix.at(model, x, chunk_size=len(x))


def _rows_with_finite_scores(model: Callable[..., Any], x: Tensor) -> Tensor:  # -> (m,)
    """At which inputs both they and the model's scores are finite."""
    rows = _rows_that_are_finite(x)
    if not len(rows):
        return rows
    with measuring(model) as classifier, torch.no_grad():
        scores = classifier.scores(classifier.prepare(x[rows]))
    return rows[_rows_that_are_finite(scores.cpu())]


def _rows_that_are_finite(x: Tensor) -> Tensor:  # (n, ...) -> (m,)
    return x.isfinite().flatten(1).all(1).nonzero().flatten()


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
