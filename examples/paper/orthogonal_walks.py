"""Figure 3: walks orthogonal to the leaf, which the model does not see.

Three walks from every image, in the same random direction, among valid pixels: the library's
orthogonal walk, where pixels at their bounds stay out of the step and of the projection; steps
clamped after their projection, as in the paper, which leads off the kernel of G; and steps without
any projection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from examples.paper.experiment import Claim, Experiment, Found, Table, claim, each
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
            **told(walks.log_probs[:, places].double()),
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
            **told(log_p),
            "distance": (points - points[:, :1]).flatten(2).norm(dim=2),
            "predicted": predicted_drift(network, start, points),
            **framed(points[0, chosen], log_p[0, chosen]),
        }
    return found


def told(log_p: Tensor) -> Found:  # (N, T, C)
    """Curves ``(N, T)``: whether the label is kept, its probability, divergence from the start."""
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
    """½ δᵀGδ with the displacement δ from the start and G there: equation 8."""
    g = LocalDataMatrix.at(network, start)
    columns = [g.pushforward(points[:, i] - start) for i in range(points.shape[1])]
    return torch.stack([0.5 * column.square().sum(1) for column in columns], dim=1)


def last(found: list[Found], rule: str, name: str) -> list[float]:
    return each(found, lambda one: one[rule][name][:, -1].mean())


def last_median(found: list[Found], rule: str, name: str) -> list[float]:
    return each(found, lambda one: one[rule][name][:, -1].median())


def claims(study: Study, found: list[Found]) -> list[Claim]:
    steps = study.scale.walk_steps
    return [
        claim(
            "Moving orthogonally to the leaf, points keep their label, and predictions remain very "
            "certain even when the digit is indistinguishable (section 4.2, Fig. 3).",
            f"After {steps:,} steps, {{distance:.1f}} from the start, {{kept:.0%}} of the walks "
            "have the label of their start, with probability {confidence:.2f}; clamped as "
            "published {clamped:.0%}, not projected {control:.0%}.",
            "95 % keep it, and more than without the projection; partly, if more than without it",
            lambda kept, control, **_: kept >= 0.95 and kept > control,
            lambda kept, control, **_: kept > control,
            kept=last(found, ORTHOGONAL, "kept"),
            confidence=last(found, ORTHOGONAL, "confidence"),
            distance=last(found, ORTHOGONAL, "distance"),
            clamped=last(found, CLAMPED, "kept"),
            control=last(found, RANDOM, "kept"),
        ),
        claim(
            "To second order the prediction does not change along ker G (equation 8).",
            "The divergence from the prediction at the start is {drift:.1e} in the end (median); "
            "{control:.1e} for the same directions not projected.",
            "a hundredth of that without the projection; partly, if half of it",
            lambda drift, control: drift <= 0.01 * control,
            lambda drift, control: drift <= 0.5 * control,
            drift=last_median(found, ORTHOGONAL, "drift"),
            control=last_median(found, RANDOM, "drift"),
        ),
    ]


def tables(study: Study, found: list[Found]) -> list[Table]:
    rows = tuple(
        (
            name,
            f"{last(found, name, 'distance')[0]:.2f}",
            f"{last(found, name, 'kept')[0]:.0%}",
            f"{last(found, name, 'confidence')[0]:.3f}",
            f"{last_median(found, name, 'drift')[0]:.1e}",
            f"{last_median(found, name, 'predicted')[0]:.1e}",
        )
        for name in COLOURS
    )
    columns = ("walk", "distance", "label kept", "its probability", "KL", "½ δᵀGδ at the start")
    return [Table("At the last step (first seed; KL and eq. 8: medians)", columns, rows)]


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
