"""Figure 3: orthogonal walks, along which the prediction hardly changes.

From every image, three walks start in the same random direction and stay within valid pixel values:

- *orthogonal*: the orthogonal walk of the library. Pixels at their bounds are excluded from the
  step and from the projection.
- *orthogonal, clamped as published*: as in the paper, every step is projected and then clamped.
  Clamping moves the point out of the kernel of G.
- *not projected*: steps in the random direction, clamped. This is the control.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from examples.paper.experiment import Claim, Experiment, Found, Table
from examples.paper.figures import BLUE, GREEN, GREY, ORANGE, above, strip
from examples.paper.published import walk_away
from examples.paper.scale import Scale
from examples.paper.study import Study
from lightning_leaf import LocalDataMatrix, orthogonal_walk
from lightning_leaf.data.normalization import input_bounds
from lightning_leaf.paths.orthogonal_walk import random_directions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ORTHOGONAL, CLAMPED, RANDOM = "orthogonal", "orthogonal, clamped as published", "not projected"
COLOURS = {ORTHOGONAL: BLUE, CLAMPED: ORANGE, RANDOM: GREEN}
PLACES = 50
FRAMES = 9


def measure(study: Study, seed: int) -> Found:
    scale, network = study.scale, study.network(seed)
    start = study.test_images(seed, scale.walks, use=1)
    direction = random_directions(start, seed).float()
    steps = list(range(0, scale.walk_steps + 1, max(1, scale.walk_steps // PLACES)))
    walks = orthogonal_walk(
        network,
        start,
        direction,
        step_size=scale.step_size,
        max_steps=scale.walk_steps,
        normalize=study.images.normalization,
    )
    places = [min(step, int(walks.steps.max())) for step in steps]
    ends = torch.stack([walk.points[-1] for walk in walks])
    chosen = torch.linspace(0, len(walks[0].points) - 1, FRAMES).round().long()
    found: Found = {
        "step": steps,
        ORTHOGONAL: {
            **summary(walks.log_probs[:, places].double()),
            "distance": walks.distance[:, places],
            "predicted": predicted_drift(network, start, ends.unsqueeze(1)),
            **framed(walks[0].points[chosen], walks[0].log_probs[walks[0].point_steps[chosen]]),
        },
    }
    bounds = input_bounds(start, study.images.normalization, None)
    assert bounds is not None
    for name, orthogonal in ((CLAMPED, True), (RANDOM, False)):
        points, log_p = walk_away(
            network,
            start,
            direction,
            bounds,
            orthogonal=orthogonal,
            step_size=scale.step_size,
            steps=steps,
            title=name,
        )
        chosen = torch.linspace(0, len(steps) - 1, FRAMES).round().long()
        found[name] = {
            **summary(log_p),
            "distance": (points - points[:, :1]).flatten(2).norm(dim=2),
            "predicted": predicted_drift(network, start, points),
            **framed(points[0, chosen], log_p[0, chosen]),
        }
    return found


def summary(log_p: Tensor) -> Found:  # (N, T, C)
    """Return curves ``(N, T)``: label kept, its probability, divergence from the start."""
    label = log_p[:, 0].argmax(1)
    of_label = label.reshape(-1, 1, 1).expand(-1, log_p.shape[1], 1)
    return {
        "kept": (log_p.argmax(2) == label.unsqueeze(1)).double(),
        "confidence": log_p.gather(2, of_label).squeeze(2).exp(),
        "drift": (log_p[:, :1].exp() * (log_p[:, :1] - log_p)).sum(2),
    }


def framed(points: Tensor, log_p: Tensor) -> Found:  # (F, ...), (F, C)
    captions = [f"{int(p.argmax())}  {float(p.max()):.2f}" for p in log_p.exp()]
    return {"frames": points.clone(), "captions": captions}


def predicted_drift(network: nn.Module, start: Tensor, points: Tensor) -> Tensor:  # -> (N, T)
    """Compute ½ δᵀGδ (equation 8) for the displacement δ from the start, with G at the start."""
    g = LocalDataMatrix.at(network, start)
    columns = [g.pushforward(points[:, i] - start) for i in range(points.shape[1])]
    return torch.stack([0.5 * column.square().sum(1) for column in columns], dim=1)


def last(one: Found, rule: str, name: str) -> float:
    """Return the mean over walks at the last step."""
    return float(one[rule][name][:, -1].mean())


def last_median(one: Found, rule: str, name: str) -> float:
    """Return the median over walks at the last step."""
    return float(one[rule][name][:, -1].median())


def claims(scale: Scale) -> list[Claim]:
    return [
        Claim(
            "Moving orthogonally to the leaf, points keep their label, and predictions remain very "
            "certain even when the digit is indistinguishable (section 4.2, Fig. 3).",
            f"After {scale.walk_steps:,} steps, at distance {{distance:.1f}} from the start, "
            "{kept:.0%} of the orthogonal walks keep the label of their start, with probability "
            "{confidence:.2f}. The label is kept by {clamped:.0%} of the walks clamped as "
            "published and by {control:.0%} of those that are not projected.",
            {
                "kept": lambda one: last(one, ORTHOGONAL, "kept"),
                "confidence": lambda one: last(one, ORTHOGONAL, "confidence"),
                "distance": lambda one: last(one, ORTHOGONAL, "distance"),
                "clamped": lambda one: last(one, CLAMPED, "kept"),
                "control": lambda one: last(one, RANDOM, "kept"),
            },
            "at least 95 % keep the label, and more than without the projection; in part if more "
            "than without the projection",
            lambda kept, control, **_: kept >= 0.95 and kept > control,
            lambda kept, control, **_: kept > control,
        ),
        Claim(
            "To second order the prediction does not change along ker G (equation 8).",
            "At the last step, the divergence from the prediction at the start is {drift:.1e} "
            "(median). Without the projection it is {control:.1e}.",
            {
                "drift": lambda one: last_median(one, ORTHOGONAL, "drift"),
                "control": lambda one: last_median(one, RANDOM, "drift"),
            },
            "at most a hundredth of the divergence without the projection; in part if at most half",
            lambda drift, control: drift <= 0.01 * control,
            lambda drift, control: drift <= 0.5 * control,
        ),
    ]


def tables(study: Study, found: list[Found]) -> list[Table]:
    rows = tuple(
        (
            name,
            f"{last(found[0], name, 'distance'):.2f}",
            f"{last(found[0], name, 'kept'):.0%}",
            f"{last(found[0], name, 'confidence'):.3f}",
            f"{last_median(found[0], name, 'drift'):.1e}",
            f"{last_median(found[0], name, 'predicted'):.1e}",
        )
        for name in COLOURS
    )
    columns = (
        "walk",
        "distance",
        "label kept",
        "probability of the label",
        "KL",
        "½ δᵀGδ, G at the start",
    )
    return [
        Table(
            "The last step of the walks (first seed; medians for KL and equation 8)", columns, rows
        )
    ]


def draw(study: Study, found: list[Found], figure: Figure) -> None:
    one = found[0]
    strips, curves = above(figure, 1.3)
    grid = strips.subplots(len(COLOURS), FRAMES, squeeze=False)
    for row, name in zip(grid, COLOURS, strict=True):
        strip(row, one[name]["frames"], study.images.normalization, one[name]["captions"])
        row[0].set_title(name, fontsize=7)
    kept, drift = curves.subplots(1, 2)
    for name, colour in COLOURS.items():
        steps = one["step"]
        kept.plot(steps, one[name]["kept"].mean(0), color=colour, label=name)
        middle = one[name]["drift"].median(0).values
        drift.plot(steps[1:], middle[1:].clamp_min(1e-12), color=colour, label=f"{name}: KL")
    predicted = one[RANDOM]["predicted"].median(0).values
    drift.plot(steps[1:], predicted[1:], color=GREY, ls="--", label="not projected: eq. 8")
    kept.set(title="Walks that keep their label", xlabel="step", ylim=(0, 1.05))
    drift.set(title="KL from the start (median)", xlabel="step", yscale="log")
    drift.set_ylim(top=1e4 * drift.get_ylim()[1])  # room for the legend
    kept.legend()
    drift.legend(loc="upper left", ncols=2)


def points(scale: Scale) -> int:
    return scale.walks * scale.walk_steps * 2


EXPERIMENT = Experiment(
    "fig3",
    "walks orthogonal to the leaf",
    measure,
    draw,
    claims,
    points,
    size=(10, 5.6),
    tables=tables,
)
