"""The columns of the two tables: one row for each input, or one row for each path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor

from lightning_leaf.geometry.local_geometry import local_geometry
from lightning_leaf.geometry.rank_kinds import RankKind
from lightning_leaf.model.classifier import Classifier
from lightning_leaf.model.likelihood import Likelihood
from lightning_leaf.paths.single_path import PathStatus, SinglePath

Columns = dict[str, list[Any]]
"""The values of each column, by its name. All columns have the same length. None: missing."""
TableKind = Literal["horizontal", "orthogonal"]
"""The kinds of paths that a table can have."""
ColumnTypes = dict[str, str]
"""The type of each column, by its name: int64, double, string, list<int64> or list<double>."""

OK = "ok"
NON_FINITE = PathStatus.NON_FINITE.value


def input_column_types(ranks: Sequence[RankKind], likelihood: Likelihood) -> ColumnTypes:
    """Return the columns of a table of inputs."""
    return {
        "index": "int64",
        "label": "int64",
        **_prediction_types("predicted_label", likelihood),
        "probability": "double",
        "trace": "double",
        "trace_standard_error": "double",
        **{f"effective_rank_{kind}": "double" for kind in ranks},
        "tangent_dimension": "int64",
        "eigenvalues": "list<double>",
        "status": "string",
    }


def input_columns(
    classifier: Classifier,
    inputs: Tensor,  # (B, ...)
    *,
    ranks: Sequence[RankKind],
    eigenvalues: int,
    chunk_size: int | None,
    exact: bool | None,
) -> Columns:
    """Measure inputs: all columns but ``index`` and ``label``."""
    geometry = local_geometry(
        classifier,
        inputs,
        ranks=ranks,
        eigenvalues=eigenvalues,
        chunk_size=chunk_size,
        exact=exact,
    )
    finite = geometry.finite.tolist()
    likelihood = classifier.likelihood
    predictions = [_prediction(log_probs, likelihood) for log_probs in geometry.log_probs]
    numbers = {
        "trace": geometry.trace,
        "trace_standard_error": geometry.standard_error,
        **{f"effective_rank_{kind}": geometry.effective_rank[kind] for kind in ranks},
    }
    dimensions = _none_for_nan(geometry.tangent_dimension)
    return {
        _prediction_name("predicted_label", likelihood): _none_unless(
            finite, [label for label, _ in predictions]
        ),
        "probability": _none_unless(finite, [probability for _, probability in predictions]),
        **{name: _none_for_nan(values) for name, values in numbers.items()},
        "tangent_dimension": [None if value is None else int(value) for value in dimensions],
        "eigenvalues": _none_unless(finite, geometry.eigenvalues.tolist()),
        "status": [OK if is_finite else NON_FINITE for is_finite in finite],
    }


def _none_unless(known: list[bool], values: list[Any]) -> list[Any]:
    return [value if is_known else None for is_known, value in zip(known, values, strict=True)]


def _none_for_nan(values: Tensor) -> list[float | None]:  # (n,)
    return _none_unless(values.isfinite().tolist(), values.tolist())


def path_column_types(kind: TableKind, likelihood: Likelihood) -> ColumnTypes:
    """Return the columns of a table of paths of one kind."""
    ends = ("source",) if kind == "orthogonal" else ("source", "destination")
    lengths = ["start_distance", "remaining_distance"] if kind == "horizontal" else ["distance"]
    return {
        "index": "int64",
        **{f"{end}_{field}": "int64" for end in ends for field in ("index", "label")},
        **dict.fromkeys(lengths, "double"),
        "steps": "int64",
        "mean_horizontality": "double",
        "min_horizontality": "double",
        "fisher_rao_length": "double",
        **_prediction_types("first_label", likelihood),
        **_prediction_types("final_label", likelihood),
        "final_probability": "double",
        "status": "string",
    }


def path_row(path: SinglePath) -> dict[str, Any]:
    """Return the row of one path, without its position and its ends."""
    likelihood = path.likelihood
    first_label, _ = _prediction(path.log_probs[0], likelihood)
    final_label, final_probability = _prediction(path.log_probs[-1], likelihood)
    horizontality = path.horizontality[path.horizontality.isfinite()]
    if path.kind == "orthogonal":
        row = {"distance": _finite_or_none(path.distance[-1])}
    else:
        row = {
            "start_distance": _finite_or_none(path.distance[0]),
            "remaining_distance": _finite_or_none(path.distance[-1]),
        }
    return row | {
        "steps": path.steps,
        "mean_horizontality": float(horizontality.mean()) if len(horizontality) else None,
        "min_horizontality": float(horizontality.min()) if len(horizontality) else None,
        "fisher_rao_length": _finite_or_none(path.fisher_rao_length[-1]),
        _prediction_name("first_label", likelihood): first_label,
        _prediction_name("final_label", likelihood): final_label,
        "final_probability": final_probability,
        "status": path.status.value,
    }


def path_row_without_steps(kind: TableKind, likelihood: Likelihood) -> dict[str, Any]:
    """Return the row of a path whose source or destination contains NaN or infinity."""
    return dict.fromkeys(path_column_types(kind, likelihood)) | {"steps": 0, "status": NON_FINITE}


def _prediction_name(name: str, likelihood: Likelihood) -> str:
    return f"{name}s" if likelihood == "bernoulli" else name


def _prediction_types(name: str, likelihood: Likelihood) -> ColumnTypes:
    kind = "list<int64>" if likelihood == "bernoulli" else "int64"
    return {_prediction_name(name, likelihood): kind}


def _prediction(
    log_probs: Tensor,  # (C,)
    likelihood: Likelihood,
) -> tuple[int | list[int] | None, float | None]:
    """Return the prediction and its probability; None where the scores are not finite.

    The prediction is the most probable class, or all labels with a probability of at least 1/2.
    """
    if bool(log_probs.isnan().any()):
        return None, None
    p = log_probs.double().exp()
    if likelihood == "bernoulli":
        return (p >= 0.5).nonzero().flatten().tolist(), float(p.maximum(1 - p).prod())
    label = int(p.argmax())
    return label, float(p[label])


def _finite_or_none(value: Tensor) -> float | None:
    return float(value) if bool(value.isfinite()) else None
