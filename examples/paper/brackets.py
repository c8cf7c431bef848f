"""Theorem 3.1: the fields ∇p_i are in involution in the input space, not in the weight space.

A distribution has leaves if it contains the Lie brackets of its fields (Frobenius). The brackets
are computed exactly, from second derivatives in float64. The result is the share of a bracket
outside the span of all fields, for inputs of a ReLU network, for its weights, and for inputs of the
same network with GELU as the control.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from tqdm.auto import tqdm

from examples.paper.experiment import Claim, Experiment, Found
from examples.paper.figures import BLUE
from examples.paper.generic import generic, in_double
from examples.paper.scale import Scale
from examples.paper.study import Study
from examples.paper.weights import scores_of_weights, weights_of
from lightning_leaf import LocalDataMatrix

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLASSES = 4
"""Number of most probable classes whose fields are used."""
RELU, GELU, WEIGHTS = "inputs, ReLU", "inputs, GELU", "weights, ReLU"


def measure(study: Study, seed: int) -> Found:
    # Early in training several classes are probable; later, the fields vanish at most images.
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
    """Return the largest share of a bracket [∇p_i, ∇p_j] outside the span of all ∇p_k.

    [X, Y] = DY·X − DX·Y. For Y = ∇p_j, DY is the Hessian of p_j: each term is one product with it.
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
    """Compute the Hessian of p_of times ∇p_to: the derivative of ∇p_of along ∇p_to."""
    x = x.detach().requires_grad_()
    p = scores(x.clone()).softmax(1)
    (direction,) = torch.autograd.grad(p.gather(1, to.unsqueeze(1)).sum(), x, retain_graph=True)
    (field,) = torch.autograd.grad(p.gather(1, of.unsqueeze(1)).sum(), x, create_graph=True)
    (derivative,) = torch.autograd.grad((field * direction.detach()).sum(), x)
    return derivative.detach()


def claims(scale: Scale) -> list[Claim]:
    return [
        Claim(
            "The distribution D of a ReLU classifier is involutive: its leaves foliate the domain "
            "of the data (Theorem 3.1).",
            "At every point, at most {relu:.1e} of a bracket lies outside D. For the same network "
            "with GELU, to which the theorem does not apply, the share is {gelu:.2f} (median).",
            {
                "relu": lambda one: one[RELU].max(),
                "gelu": lambda one: one[GELU].median(),
            },
            "the share is below 1e-6 at every point",
            lambda relu, gelu: relu < 1e-6,
        ),
        Claim(
            "The distribution of the Fisher matrix in the space of weights is not involutive "
            "(remark in section 3).",
            "{weights:.2f} of a bracket lies outside the distribution (median).",
            {"weights": lambda one: one[WEIGHTS].median()},
            "the share is above 0.01",
            lambda weights: weights > 0.01,
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
