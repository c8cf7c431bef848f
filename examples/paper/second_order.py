"""Equations 7 and 8: the divergence of predictions is ½ δᵀGδ to second order.

The divergence is divided by ½ δᵀGδ for random directions, tangent directions (in im G) and
orthogonal directions (in ker G). The length of δ decreases from the length of the input to 1e-4 of
it. Most test images have a background of constant grey, which produces ties in max-pooling. At such
an image the network is not differentiable, G is the matrix of one side, and the equation does not
hold. Inputs are therefore images with a little noise; the unperturbed images are shown separately
as *images as they are*.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from examples.paper.experiment import Claim, Experiment, Found, Table
from examples.paper.figures import BLUE, GREEN, GREY, ORANGE, band
from examples.paper.generic import generic, in_double, unit
from examples.paper.scale import Scale
from examples.paper.study import Study
from examples.paper.weights import scores_of_weights, weights_of
from lightning_leaf import LocalDataMatrix

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = tuple(10 ** (-k / 2) for k in range(0, 9))
"""Lengths ε of δ relative to the length of the input."""
RANDOM, TANGENT, KERNEL = "random", "tangent (im G)", "orthogonal (ker G)"
COLOURS = {RANDOM: BLUE, TANGENT: GREEN, KERNEL: ORANGE}
INPUTS, IMAGES, WEIGHTS = "inputs (eq. 8)", "images as they are", "weights (eq. 7)"
"""Inputs are images with noise that removes ties, see :func:`generic`."""


def measure(study: Study, seed: int) -> Found:
    # Early in training: later, the network is too certain at most images to see a change.
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
    """Compute KL over ½ε² vᵀGv for directions v, each ``(N, number of ε)``.

    Along ker G, where vᵀGv is zero, the divisor is that of the random direction.
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
    """Return the median of |ratio − 1| at the smallest ε."""
    return float((one[space][direction][:, -1] - 1).abs().median())


def kernel(one: Found, space: str) -> float:
    """Return the median ratio along the kernel at the smallest ε."""
    return float(one[space][KERNEL][:, -1].median())


def second_order(paper: str, space: str, at: str) -> Claim:
    """Return the claim that the ratio tends to one, and to zero along the kernel."""
    return Claim(
        paper,
        f"At {at} and the smallest δ, the ratio of the two deviates from one by "
        "{random:.1e} in random directions and by {tangent:.1e} in tangent directions (medians). "
        "The divergence along the kernel is {kernel:.1e} of that in the random direction.",
        {
            "random": lambda one: error(one, space, RANDOM),
            "tangent": lambda one: error(one, space, TANGENT),
            "kernel": lambda one: kernel(one, space),
        },
        "both deviations are below 1 %, and so is the divergence along the kernel",
        lambda random, tangent, kernel: max(random, tangent, abs(kernel)) < 0.01,
    )


def claims(scale: Scale) -> list[Claim]:
    return [
        second_order(
            "The divergence is ½ δᵀGδ up to second order in the inputs; it vanishes along the "
            "kernel (equation 8).",
            INPUTS,
            "images with noise",
        ),
        second_order(
            "The divergence is ½ δᵀGδ up to second order in the weights; it vanishes along the "
            "kernel (equation 7).",
            WEIGHTS,
            "the weights",
        ),
        second_order(
            "G and equation 8 are defined at the data x ∈ Σ; the points where G is not "
            "differentiable are a closed set that proofs may avoid (section 3, appendix B).",
            IMAGES,
            "unperturbed test images",
        ),
    ]


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
        panel.set_xlabel("length of δ over length of the input")
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
