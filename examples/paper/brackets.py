"""Theorem 3.1: the fields ∇p_i are in involution in the inputs, not in the weights.

A distribution has leaves if the Lie brackets of its fields stay in it (Frobenius). Brackets are
taken exactly, by second derivatives in float64; what is shown is the share of a bracket outside
the span of all fields. The network with GELU is the control.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from tqdm.auto import tqdm

from examples.paper.experiment import Claim, Experiment, Found, claim, each
from examples.paper.figures import BLUE
from examples.paper.generic import generic, in_double
from examples.paper.scale import Scale
from examples.paper.study import Study
from examples.paper.weights import scores_of_weights, weights_of
from lightning_leaf import LocalDataMatrix

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLASSES = 4
"""Brackets are taken of the fields of so many of the most probable classes."""
RELU, GELU, WEIGHTS = "inputs, ReLU", "inputs, GELU", "weights, ReLU"


def measure(study: Study, seed: int) -> Found:
    # Where several classes are probable: the fields of a trained network vanish for most images.
    step = study.scale.leaf_checkpoints[1]
    x = generic(study.test_images(seed, study.scale.points, use=3), seed)
    relu = in_double(study.network(seed, step))
    gelu = in_double(study.network(seed, step, "gelu"))
    flat = weights_of(relu)
    few = x[: max(2, len(x) // 4)]
    weights = [
        outside(scores_of_weights(relu, image), flat)
        for image in tqdm(few, desc="brackets", disable=None, leave=False)
    ]
    return {
        RELU: outside(relu, x),
        GELU: outside(gelu, x),
        WEIGHTS: torch.cat(weights),
    }


def outside(scores: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:  # (B, ...) -> (B,)
    """Share of the brackets [∇p_i, ∇p_j] that leaves the span of all ∇p_k, the largest of pairs.

    [X, Y] = DY·X − DX·Y, and DY of Y = ∇p_j is its Hessian: one product with it for each term.
    """
    g = LocalDataMatrix.at(scores, x)
    top = g.log_probs.topk(CLASSES, dim=1).indices  # (B, k)
    shares = []
    for i, j in combinations(range(CLASSES), 2):
        bracket = along(scores, x, top[:, j], top[:, i]) - along(scores, x, top[:, i], top[:, j])
        rest = torch.linalg.vector_norm(g.reject(bracket).flatten(1), dim=1)
        shares.append(rest / torch.linalg.vector_norm(bracket.flatten(1), dim=1))
    return torch.stack(shares, 1).amax(1)


def along(scores: Callable[[Tensor], Tensor], x: Tensor, of: Tensor, to: Tensor) -> Tensor:
    """Derivative of the field ∇p_of along the field ∇p_to: the Hessian of p_of times ∇p_to."""
    x = x.detach().requires_grad_()
    p = scores(x.clone()).softmax(1)
    (direction,) = torch.autograd.grad(p.gather(1, to.unsqueeze(1)).sum(), x, retain_graph=True)
    (field,) = torch.autograd.grad(p.gather(1, of.unsqueeze(1)).sum(), x, create_graph=True)
    (derivative,) = torch.autograd.grad((field * direction.detach()).sum(), x)
    return derivative.detach()


def claims(study: Study, found: list[Found]) -> list[Claim]:
    return [
        claim(
            "The distribution D of a ReLU classifier is involutive: its leaves foliate the domain "
            "of the data (Theorem 3.1).",
            "At most {relu:.1e} of a bracket leaves D at any point; for the same network with "
            "GELU, about which the theorem says nothing, {gelu:.2f} (median).",
            "less than a millionth at every point",
            lambda relu, gelu: relu < 1e-6,
            relu=each(found, lambda one: one[RELU].max()),
            gelu=each(found, lambda one: one[GELU].median()),
        ),
        claim(
            "The distribution of the Fisher matrix in the space of weights is not involutive "
            "(remark in section 3).",
            "{weights:.2f} of a bracket leaves it (median).",
            "more than a hundredth",
            lambda weights: weights > 0.01,
            weights=each(found, lambda one: one[WEIGHTS].median()),
        ),
    ]


def draw(study: Study, found: list[Found], figure: Figure) -> None:
    panel = figure.subplots()
    for i, name in enumerate((RELU, GELU, WEIGHTS)):
        values = torch.cat([one[name] for one in found]).clamp_min(1e-16)
        spread = torch.linspace(-0.25, 0.25, len(values))
        panel.scatter(i + spread, values, s=8, color=BLUE, alpha=0.6, linewidths=0)
    panel.set_xticks(range(3), (RELU, GELU, WEIGHTS))
    panel.set(yscale="log", title="Share of the brackets [∇p_i, ∇p_j] outside the distribution")
    panel.set_ylim(1e-17, 3)


def points(scale: Scale) -> int:
    return 40 * scale.points


EXPERIMENT = Experiment(
    "theorem", "brackets of the fields ∇p_i", measure, draw, claims, points, size=(6, 3.6)
)
