"""Equations 7 and 8: the divergence of predictions is ½ δᵀGδ to second order.

Directions are random, tangent (in im G) and orthogonal (in ker G), lengths go down to 1e-4 of that
of the image. Where a background of one grey ties the maxima that pooling takes, which is at most
test images, the network is not differentiable, G is that of one side, and the equation does not
hold at the images as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from examples.paper.experiment import Claim, Experiment, Found, Table, claim
from examples.paper.figures import BLUE, GREEN, GREY, ORANGE, band
from examples.paper.generic import generic, in_double, unit
from examples.paper.scale import Scale
from examples.paper.study import Study
from examples.paper.weights import scores_of_weights, weights_of
from lightning_leaf import LocalDataMatrix

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = tuple(10 ** (-k / 2) for k in range(0, 9))
"""Lengths ε of δ, of the length of the input: from the whole of it to a ten-thousandth."""
RANDOM, TANGENT, KERNEL = "random", "tangent (im G)", "orthogonal (ker G)"
COLOURS = {RANDOM: BLUE, TANGENT: GREEN, KERNEL: ORANGE}
INPUTS, IMAGES, WEIGHTS = "inputs (eq. 8)", "images as they are", "weights (eq. 7)"
"""Inputs are images moved off the ties of their background, see :func:`generic`."""


def measure(study: Study, seed: int) -> Found:
    # Where predictions still change: a trained network's are too certain for most images.
    step = study.scale.leaf_checkpoints[1]
    network = in_double(study.network(seed, step))
    x = study.test_images(seed, study.scale.points, use=2).double()
    few = max(2, len(x) // 4)
    flat = weights_of(network)
    by_weights = [
        curves(scores_of_weights(network, image), flat, seed + i) for i, image in enumerate(x[:few])
    ]
    return {
        INPUTS: curves(network, generic(x, seed), seed),
        IMAGES: curves(network, x, seed),
        WEIGHTS: {
            name: torch.cat([one[name] for one in by_weights]) for name in (*COLOURS, "scale")
        },
    }


def curves(scores: Callable[[Tensor], Tensor], x: Tensor, seed: int) -> dict[str, Tensor]:
    """KL over ½ε² vᵀGv for directions v, each ``(N, number of ε)``.

    Along ker G, where that would be a division by zero, over ½ε² vᵀGv of the random direction.
    """
    g = LocalDataMatrix.at(scores, x)
    v = unit(x.shape, seed)
    directions = {RANDOM: v, TANGENT: normalized(g.project(v)), KERNEL: normalized(g.reject(v))}
    length = x.flatten(1).norm(dim=1)
    before = g.log_probs
    found: dict[str, Tensor] = {"scale": length}
    for name, direction in directions.items():
        metric = 0.5 * g.pushforward(v if name == KERNEL else direction).square().sum(1)
        ratios = []
        for step in STEPS:
            epsilon = step * length
            moved = x + epsilon.reshape(-1, *[1] * (x.ndim - 1)) * direction
            with torch.no_grad():
                after = scores(moved).log_softmax(1)
            divergence = (before.exp() * (before - after)).sum(1)
            ratios.append(divergence / (metric * epsilon.square()))
        found[name] = torch.stack(ratios, 1)
    return found


def normalized(v: Tensor) -> Tensor:
    flat = torch.nn.functional.normalize(v.flatten(1), dim=1)
    return flat.reshape(v.shape)


def error(one: Found, space: str, direction: str) -> float:
    """Median of |ratio − 1| at the smallest ε."""
    return float((one[space][direction][:, -1] - 1).abs().median())


def claims(study: Study, found: list[Found]) -> list[Claim]:
    made = []
    for space, equation in ((INPUTS, "8"), (WEIGHTS, "7")):
        made.append(
            claim(
                f"The divergence is ½ δᵀGδ up to second order in the {space.split()[0]}; it "
                f"vanishes along the kernel (equation {equation}).",
                "At the smallest δ the ratio of both is off one by {random:.1e} for random and "
                "{tangent:.1e} for tangent directions (medians); along the kernel the divergence "
                "is {kernel:.1e} of that of the random direction.",
                "both within 1 %, and less than 1 % along the kernel",
                lambda random, tangent, kernel: max(random, tangent, abs(kernel)) < 0.01,
                random=[error(one, space, RANDOM) for one in found],
                tangent=[error(one, space, TANGENT) for one in found],
                kernel=[float(one[space][KERNEL][:, -1].median()) for one in found],
            )
        )
    made.append(
        claim(
            "G and equation 8 are those of the data x ∈ Σ; where G is not differentiable is a "
            "closed set that proofs may avoid (section 3, appendix B).",
            "At test images as they are, the ratio is off one by {random:.1e} for random and "
            "{tangent:.1e} for tangent directions at the smallest δ; along the kernel the "
            "divergence is {kernel:.1e} of that of the random direction.",
            "both within 1 %, and less than 1 % along the kernel",
            lambda random, tangent, kernel: max(random, tangent, abs(kernel)) < 0.01,
            random=[error(one, IMAGES, RANDOM) for one in found],
            tangent=[error(one, IMAGES, TANGENT) for one in found],
            kernel=[float(one[IMAGES][KERNEL][:, -1].median()) for one in found],
        )
    )
    return made


def tables(study: Study, found: list[Found]) -> list[Table]:
    places = (0, 2, 4, 6, 8)
    rows = tuple(
        (space, name, *(f"{float(found[0][space][name][:, i].median()):.4g}" for i in places))
        for space in (INPUTS, IMAGES, WEIGHTS)
        for name in COLOURS
    )
    columns = ("space", "direction", *(f"ε = {STEPS[i]:.0e}" for i in places))
    return [Table("Divergence over ½ δᵀGδ (medians, first seed)", columns, rows)]


def draw(study: Study, found: list[Found], figure: Figure) -> None:
    for panel, space in zip(figure.subplots(1, 3), (INPUTS, IMAGES, WEIGHTS), strict=True):
        for name, colour in COLOURS.items():
            curves = found[0][space][name].abs().clamp(1e-9, 1e3)
            band(panel, STEPS, curves, colour, name)
        panel.axhline(1, color=GREY, lw=0.8, ls="--")
        panel.set(xscale="log", yscale="log", title=f"KL over ½ δᵀGδ: {space}")
        panel.set_xlabel("length of δ, of that of the input")
        panel.legend()


def points(scale: Scale) -> int:
    return 50 * scale.points


EXPERIMENT = Experiment(
    "kl",
    "the divergence of predictions to second order",
    measure,
    draw,
    claims,
    points,
    size=(13, 3.6),
    tables=tables,
)
