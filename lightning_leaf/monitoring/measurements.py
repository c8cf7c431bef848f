"""Measurements of the local data matrix at the inputs of a probe, and their statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from lightning_leaf.geometry.local_geometry import local_geometry
from lightning_leaf.geometry.rank_kinds import RankKind
from lightning_leaf.model.classifier import Classifier
from lightning_leaf.monitoring.history import Columns, trace_ratio


@dataclass(frozen=True)
class Measurement:
    """The measurement at one input; its numbers are NaN if the model returns non-finite values.

    Attributes:
        trace: tr G.
        standard_error: Standard error of the trace; 0 if the trace is exact.
        effective_ranks: One effective rank for each kind.
        tangent_dimension: dim D_x; NaN if it is unknown.
        classes: Number of classes.
        exact: Whether all classes were used.
    """

    trace: float
    standard_error: float
    effective_ranks: tuple[float, ...]
    tangent_dimension: float
    classes: int
    exact: bool


def measure(
    classifier: Classifier,
    inputs: Tensor,  # (B, ...)
    *,
    ranks: Sequence[RankKind],
    chunk_size: int | None,
    exact: bool | None,
    seed: int,
) -> list[Measurement]:
    """Return one measurement for each input.

    Args:
        classifier: The open classifier.
        inputs: The inputs; there may be none.
        ranks: Kinds of effective ranks.
        chunk_size: Inputs per forward pass.
        exact: See :func:`~lightning_leaf.local_geometry`.
        seed: Seed of the random draws of estimates.
    """
    if not len(inputs):
        return []  # there are more processes than inputs
    geometry = local_geometry(
        classifier, inputs, ranks=ranks, chunk_size=chunk_size, exact=exact, seed=seed
    )
    columns = (geometry.trace, geometry.standard_error, geometry.tangent_dimension)
    effective_ranks = [geometry.effective_rank[kind] for kind in ranks]
    classes = geometry.log_probs.shape[1]
    return [
        Measurement(trace, error, tuple(row), dimension, classes, geometry.exact)
        for trace, error, dimension, *row in zip(
            *(column.tolist() for column in (*columns, *effective_ranks)), strict=True
        )
    ]


def are_finite(measurements: Sequence[Measurement]) -> bool:
    """Return whether the model returned finite values at all inputs."""
    return not any(math.isnan(each.trace) for each in measurements)


def not_finite_message(measurements: Sequence[Measurement], step: int) -> str:
    """Return a sentence that says why a measurement is NaN."""
    bad = sum(math.isnan(each.trace) for each in measurements)
    return (
        f"The measurement at step {step} is NaN, because the scores of {bad} of "
        f"{len(measurements)} inputs, or their derivatives, are NaN or infinite. Check the inputs, "
        "or whether the training has diverged."
    )


def history_row(
    measurements: Sequence[Measurement], ranks: Sequence[RankKind], history: Columns
) -> dict[str, float]:
    """Return the values to log, by column name; NaN if those of an input are not finite.

    Args:
        measurements: One for each input of the probe.
        ranks: Kinds of effective ranks.
        history: The rows before.
    """
    if are_finite(measurements):
        row = probe_statistics(measurements, ranks)
    else:
        row = {column: math.nan for column in history if column != "step"}
    row["trace_ratio"] = trace_ratio(history, row["trace_median"])
    return row


def probe_statistics(
    measurements: Sequence[Measurement], ranks: Sequence[RankKind]
) -> dict[str, float]:
    """Return the statistics over the inputs of a probe, by column name."""
    trace = torch.tensor([each.trace for each in measurements], dtype=torch.float64)
    errors = [each.standard_error for each in measurements]
    row = {"trace_mean": trace.mean().item(), "trace_median": trace.quantile(0.5).item()}
    if any(errors):
        row["trace_standard_error"] = math.hypot(*errors) / len(errors)
    else:
        row["tangent_dimension"] = fmean(each.tangent_dimension for each in measurements)
    effective_ranks = zip(*(each.effective_ranks for each in measurements), strict=True)
    for kind, values in zip(ranks, effective_ranks, strict=True):
        row[f"effective_rank_{kind}"] = fmean(values)
    return row
