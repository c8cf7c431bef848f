"""Section 5: adversarial perturbations and the leaf.

Perturbations by the Fast Gradient Sign Method (FGSM) and by projected gradient descent (PGD) are
compared with a step along the gradient and with a random direction, which is the control. All are
scaled to the same length. The experiment measures the share of each perturbation in D and which
part of it changes the prediction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from examples.paper.experiment import Claim, Experiment, Found
from examples.paper.figures import BLUE, ORANGE, dots
from examples.paper.scale import Scale
from examples.paper.study import Study
from examples.paper.walked import norm
from lightning_leaf import LocalDataMatrix

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FGSM, PGD, GRADIENT, CHANCE = "FGSM", "PGD", "gradient step", "random direction"
ITERATIONS = 10
SIZE = 0.15
"""Change of a pixel, as a share of the range from black to white."""


def measure(study: Study, seed: int) -> Found:
    scale, network = study.scale, study.network(seed)
    rows = study.test_rows(seed, scale.walks, use=4)
    x, labels = study.images.test[rows], study.images.test_labels[rows]
    epsilon = SIZE / study.images.normalization.std[0]
    sign = loss_gradient(network, x, labels).sign()
    perturbations = {
        FGSM: epsilon * sign,
        PGD: projected_gradient(network, x, labels, epsilon) - x,
        GRADIENT: loss_gradient(network, x, labels),
        CHANCE: torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)),
    }
    g = LocalDataMatrix.at(network, x)
    found: Found = {}
    for name, change in perturbations.items():
        # All perturbations have the length of FGSM's.
        length = norm(epsilon * sign) / norm(change).clamp_min(1e-30)
        change = change * length.reshape(-1, *[1] * (x.ndim - 1)).float()
        tangent = g.project(change)
        found[name] = {
            "share": norm(tangent) / norm(change),
            "fools": fooled(network, x + change, labels),
            "tangent_fools": fooled(network, x + tangent, labels),
            "rest_fools": fooled(network, x + change - tangent, labels),
        }
    return found


def projected_gradient(network: nn.Module, x: Tensor, labels: Tensor, epsilon: float) -> Tensor:
    """Perturb by PGD: steps along the sign of the gradient, within ε of every pixel."""
    step = 2.5 * epsilon / ITERATIONS
    moved = x
    for _ in range(ITERATIONS):
        moved = moved + step * loss_gradient(network, moved, labels).sign()
        moved = x + (moved - x).clamp(-epsilon, epsilon)
    return moved


def loss_gradient(network: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
    """Compute the gradient from float64 scores; in float32 a certain prediction has none."""
    x = x.detach().requires_grad_()
    loss = nn.functional.cross_entropy(network(x).double(), labels, reduction="sum")
    gradient: Tensor = torch.autograd.grad(loss, x)[0]
    return gradient


@torch.no_grad()
def fooled(network: nn.Module, x: Tensor, labels: Tensor) -> Tensor:  # (N,)
    wrong: Tensor = network(x).argmax(1) != labels
    return wrong.double()


def claims(scale: Scale) -> list[Claim]:
    return [
        Claim(
            "Adversarial examples of the Fast Gradient Sign Method are made by perturbing an image "
            "outside the data leaf: the sign of a gradient is not in D (section 5).",
            "The share of the perturbation in D is {fgsm:.2f} for FGSM, {pgd:.2f} for PGD, "
            "{gradient:.4f} for the gradient and {chance:.2f} for a random direction.",
            {
                "fgsm": lambda one: one[FGSM]["share"].mean(),
                "pgd": lambda one: one[PGD]["share"].mean(),
                "gradient": lambda one: one[GRADIENT]["share"].median(),
                "chance": lambda one: one[CHANCE]["share"].mean(),
            },
            "the share is below 0.9 for FGSM and PGD and above 0.999 for the gradient",
            lambda fgsm, pgd, gradient, chance: max(fgsm, pgd) < 0.9 and gradient > 0.999,
        ),
        Claim(
            "The part of the perturbation that changes the prediction (not stated in the paper).",
            "With FGSM, the prediction is wrong at {whole:.0%} of the images. With its "
            "part in D alone it is wrong at {tangent:.0%}, with its part orthogonal to D alone at "
            "{rest:.0%}.",
            {
                "whole": lambda one: one[FGSM]["fools"].mean(),
                "tangent": lambda one: one[FGSM]["tangent_fools"].mean(),
                "rest": lambda one: one[FGSM]["rest_fools"].mean(),
            },
        ),
    ]


def draw(study: Study, found: list[Found], figure: Figure) -> None:
    one = found[0]
    share, fools = figure.subplots(1, 2)
    dots(share, {name: one[name]["share"] for name in (FGSM, PGD, GRADIENT, CHANCE)}, BLUE)
    share.set(title="Share of the perturbation in D", ylim=(0, 1.05))
    kinds = {"fools": "all of it", "tangent_fools": "part in D", "rest_fools": "rest"}
    for i, (key, label) in enumerate(kinds.items()):
        rates = [float(one[name][key].mean()) for name in (FGSM, PGD, GRADIENT, CHANCE)]
        places = [j + 0.25 * (i - 1) for j in range(4)]
        fools.bar(places, rates, 0.22, color=ORANGE, alpha=1 - 0.3 * i, label=label)
    fools.set_xticks(range(4), (FGSM, PGD, GRADIENT, CHANCE))
    fools.set(title="Images with a wrong prediction", ylim=(0, 1.05))
    fools.legend()


def points(scale: Scale) -> int:
    return 8 * scale.walks


EXPERIMENT = Experiment(
    "attacks", "adversarial perturbations and the leaf", measure, draw, claims, points
)
