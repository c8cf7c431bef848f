"""Figure 2: the trace of the local data matrix during training.

At checkpoints of one training, the trace, the effective ranks and the dimension of D are computed
at fixed training images. The trace rises within the first steps and then falls slowly. A few
uncertain images dominate the mean; the median returns to its initial value much earlier. Whether
the trace has returned at the paper's step 10,000 depends on the reference. The paper's code logged
the trace for the first time at step 100, when it had already risen. The dimension of D does not
follow the trace. The effective ranks do: they measure how evenly the spectrum is spread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from tqdm.auto import tqdm

from examples.paper.experiment import Claim, Experiment, Found, Table
from examples.paper.figures import BLUE, GREEN, GREY, ORANGE, RED
from examples.paper.scale import Scale
from examples.paper.study import Study
from examples.paper.training import accuracy
from lightning_leaf import TraceReturn, local_geometry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUANTILES = (0.1, 0.25, 0.75, 0.9)
NEVER = float("inf")


def measure(study: Study, seed: int) -> Found:
    scale, images = study.scale, study.images
    probe = images.train[: scale.probe]
    study.network(seed, max(scale.measured))  # train before the progress bar starts
    rows: list[dict[str, Tensor]] = []
    for step in tqdm(scale.measured, desc="trace during training", disable=None, leave=False):
        network = study.network(seed, step)
        found = local_geometry(network, probe, ranks=("entropy", "stable"))
        levels = torch.tensor(QUANTILES, dtype=torch.float64)
        rows.append(
            {
                "trace_mean": found.trace.mean(),
                "trace_median": found.trace.median(),
                "quantiles": found.trace.quantile(levels),
                "entropy": found.effective_rank["entropy"].mean(),
                "stable": found.effective_rank["stable"].mean(),
                "dimension": found.tangent_dimension.mean(),
                "accuracy": torch.tensor(
                    accuracy(network, images.test[:2000], images.test_labels[:2000])
                ),
            }
        )
    curves: Found = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    return {"step": list(scale.measured), **curves}


def returned(found: Found, statistic: str, reference: int) -> float:
    """Return the step at which the smoothed trace returned; infinity if it did not."""
    history = {
        "step": found["step"],
        f"trace_{statistic}": found[f"trace_{statistic}"].tolist(),
    }
    step = TraceReturn(statistic, reference).returned_at(history)  # type: ignore[arg-type]
    return NEVER if step is None else step


def when(found: Found, statistic: str, reference: int) -> str:
    """Format the step at which the smoothed trace returned."""
    trace = found[f"trace_{statistic}"][found["step"].index(reference) :]
    if trace.max() <= TraceReturn.RISE * trace[0]:
        return "never rose above it"
    step = returned(found, statistic, reference)
    return "not yet" if step == NEVER else f"{step:,.0f}"


def ratio_at(found: Found, statistic: str, step: int, reference: int) -> float:
    """Return the trace at a step, smoothed over five measurements, relative to a reference step."""
    trace = found[f"trace_{statistic}"]
    place = found["step"].index(step)
    smoothed = trace[max(0, place - 4) : place + 1].median()
    return float(smoothed / trace[found["step"].index(reference)])


def claims(scale: Scale) -> list[Claim]:
    chosen, first = scale.paper_step, scale.first_logged
    return [
        Claim(
            "The mean trace decreases during training, and the local data matrix loses its content "
            "at the end of training (section 4.1, Fig. 2).",
            "The mean trace rises to {peak:.1f} times its value at initialisation. At step "
            f"{scale.train_steps:,} it has fallen to {{last:.2f}} of its peak.",
            {
                "peak": lambda one: one["trace_mean"].max() / one["trace_mean"][0],
                "last": lambda one: one["trace_mean"][-1] / one["trace_mean"].max(),
            },
            "the last value is below a tenth of the peak; in part if it is below half",
            lambda peak, last: last < 0.1,
            lambda peak, last: last < 0.5,
        ),
        Claim(
            f"At step {chosen:,} the smoothed mean trace is very similar to the one measured at "
            "the beginning of the training (section 4.1).",
            f"At step {chosen:,} the mean trace is {{logged:.2f}} times its value at step {first}, "
            "the first one that the paper's code logged, and {initial:.1f} times its value at "
            "initialisation. The median is {median:.2f} times its value at initialisation.",
            {
                "logged": lambda one: ratio_at(one, "mean", chosen, first),
                "initial": lambda one: ratio_at(one, "mean", chosen, 0),
                "median": lambda one: ratio_at(one, "median", chosen, 0),
            },
            "the mean is between half and twice its value at initialisation; in part if it is "
            "between half and twice the first logged value",
            lambda logged, initial, median: 0.5 <= initial <= 2,
            lambda logged, initial, median: 0.5 <= logged <= 2,
        ),
        Claim(
            "While the mean trace is above its first value, the rank of G is the same at every "
            "point (section 4.1).",
            "The mean dimension of D is between {least:.2f} and {most:.2f} at every step, for "
            "every value of the trace. The entropy rank falls from {before:.2f} to {after:.2f}.",
            {
                "least": lambda one: one["dimension"].min(),
                "most": lambda one: one["dimension"].max(),
                "before": lambda one: one["entropy"][0],
                "after": lambda one: one["entropy"][-1],
            },
            "the dimension stays within 1 % of its value at initialisation",
            lambda least, most, before, after: least >= 0.99 * most,
        ),
    ]


def tables(study: Study, found: list[Found]) -> list[Table]:
    first = study.scale.first_logged
    rows = []
    for statistic in ("mean", "median"):
        for reference in (0, first):
            steps = ", ".join(when(one, statistic, reference) for one in found)
            rows.append((statistic, f"{reference:,}", steps))
    columns = ("trace", "reference step", "returns at step (each seed)")
    title = "Return of the smoothed trace to its value at a reference step"
    return [Table(title, columns, tuple(rows))]


def draw(study: Study, found: list[Found], figure: Figure) -> None:
    scale, one = study.scale, found[0]
    trace, rank = figure.subplots(1, 2)
    steps = [max(step, 1) for step in one["step"]]
    low, quarter, three, high = one["quantiles"].T
    trace.fill_between(steps, low, high, color=BLUE, alpha=0.12, lw=0, label="10 – 90 %")
    trace.fill_between(steps, quarter, three, color=BLUE, alpha=0.2, lw=0, label="25 – 75 %")
    for i, other in enumerate(found):
        for statistic, colour in (("mean", ORANGE), ("median", BLUE)):
            label, alpha = (None, 0.6) if i else (statistic, 1)
            trace.plot(steps, other[f"trace_{statistic}"], color=colour, alpha=alpha, label=label)
    first = one["step"].index(scale.first_logged)
    trace.axhline(float(one["trace_mean"][0]), color=GREY, ls="--", lw=0.8, label="at step 0")
    trace.axhline(
        float(one["trace_mean"][first]), color=GREY, ls=":", lw=1, label=f"at step {steps[first]}"
    )
    trace.axvline(scale.paper_step, color=RED, lw=0.8, label="the paper's choice")
    trace.set(xscale="log", yscale="log", xlabel="step", title="Trace of the local data matrix")
    trace.legend(ncols=2)
    for name, colour, label in (
        ("dimension", GREY, "dimension of D"),
        ("entropy", GREEN, "entropy rank"),
        ("stable", BLUE, "stable rank"),
    ):
        for i, other in enumerate(found):
            rank.plot(steps, other[name], color=colour, label=None if i else label)
    rank.set(xscale="log", xlabel="step", title="Ranks", ylim=(0, None))
    rank.legend()


def points(scale: Scale) -> int:
    return scale.probe * len(scale.measured)


EXPERIMENT = Experiment(
    "fig2", "mean trace during training", measure, draw, claims, points, tables=tables
)
