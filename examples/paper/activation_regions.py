"""Continuation of leaves across activation boundaries.

Theorem 3.1 holds within one activation region. At a boundary where a single unit switches, the
contrasts J of a ReLU network change by a matrix of rank one, a nᵀ, where n is the normal of the
boundary. The part of D that lies in the boundary has C − 2 = 8 dimensions. Of these directions,
C − 3 = 7 are also in D on the other side; the last one need not be. If it is not, the piece of a
leaf on one side meets many leaves on the other side.

The experiment measures the distance to the first boundary and the angles between the two
distributions there. It also walks along the sides of squares in D, in both orders. On a leaf, the
gap between the two end points is tangent to the leaf to lowest order. The same network with GELU is
shown for comparison.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from examples.paper.experiment import Claim, Experiment, Found, Table
from examples.paper.figures import BLUE, GREY, ORANGE, RED, band, dots
from examples.paper.generic import generic, in_double, unit
from examples.paper.scale import Scale
from examples.paper.study import Study
from examples.paper.walked import norm
from lightning_leaf import LocalDataMatrix

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDES = (0.0003, 0.001, 0.01, 0.1, 1.0, 5.0, 20.0)
"""Sides of the squares, in steps of Algorithm 1."""
SUBSTEPS = 8
SAME = 1e-9
"""Relative change of J that is attributed to rounding; within a region J is constant."""


def measure(study: Study, seed: int) -> Found:
    relu = in_double(study.network(seed))
    gelu = in_double(study.network(seed, study.scale.paper_step, "gelu"))
    images = study.test_images(seed, study.scale.points, use=5).double()
    x = generic(images, seed)
    sides = [side * study.scale.step_size for side in SIDES]
    return {
        **boundaries(relu, x, seed),
        "image_distance": boundaries(relu, images, seed)["distance"],
        "relu": torch.stack([gap_outside(relu, x, side) for side in sides], 1),
        "gelu": torch.stack([gap_outside(gelu, x, side) for side in sides], 1),
        "step": study.scale.step_size,
    }


def boundaries(network: nn.Module, x: Tensor, seed: int) -> Found:
    """Find the first boundary in a random tangent direction and compare D on both sides.

    Returns:
        ``(B,)`` each: ``distance`` to the boundary; ``second``, the second singular value of the
        change of J over the first; ``turn`` and ``rest``, the two largest sines of the angles
        between D behind the boundary and the part of D before it that lies in the boundary.
    """
    v = LocalDataMatrix.at(network, x).project(unit(x.shape, seed))
    v = v / norm(v).reshape(-1, *[1] * (x.ndim - 1))
    before = contrasts(network, x)
    size = torch.linalg.matrix_norm(before)

    def at(t: Tensor) -> Tensor:
        return contrasts(network, x + t.reshape(-1, *[1] * (x.ndim - 1)) * v)

    def same(t: Tensor) -> Tensor:
        inside: Tensor = torch.linalg.matrix_norm(at(t) - before) <= SAME * size
        return inside

    low, high = torch.zeros(len(x)).double(), torch.full((len(x),), 1e-7).double()
    while bool((inside := same(high)).any()):
        low, high = torch.where(inside, high, low), torch.where(inside, 2 * high, high)
    for _ in range(40):
        middle = (low + high) / 2
        inside = same(middle)
        low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
    behind = at(high * (1 + 1e-8))
    change = torch.linalg.svd(behind - before, full_matrices=False)
    normal = change.Vh[:, 0]  # (B, d)
    d1, d2 = basis(before), basis(behind)
    along = torch.linalg.svd((d1 @ normal.unsqueeze(2)).mT).Vh[:, 1:] @ d1  # D ∩ n^⊥
    sines = torch.linalg.svdvals(along - along @ d2.mT @ d2)
    return {
        "distance": high,
        "second": change.S[:, 1] / change.S[:, 0],
        "turn": sines[:, 0],
        "rest": sines[:, 1],
    }


def contrasts(network: nn.Module, x: Tensor) -> Tensor:  # (B, C, d)
    g = LocalDataMatrix.at(network, x)
    rows = g.class_space.with_zeros(g.tangent.rows)
    return rows - rows.mean(1, keepdim=True)


def basis(rows: Tensor) -> Tensor:  # (B, C, d) -> (B, C - 1, d)
    vectors: Tensor = torch.linalg.svd(rows, full_matrices=False).Vh[:, :-1]
    return vectors


def gap_outside(network: nn.Module, x: Tensor, side: float) -> Tensor:  # (B,)
    """Walk two sides of a square in both orders and return the share of the gap outside D.

    The sides follow two fields of D: normalized gradients of log-probabilities, at a temperature at
    which their direction varies. On a leaf, both walks end on it, and the gap between their end
    points is tangent to it to lowest order.
    """
    with torch.no_grad():
        scores = network(x)
    i, j = scores.topk(2, dim=1).indices.T
    temperature = float(scores.std())

    def flow(x: Tensor, of: Tensor) -> Tensor:
        """Integrate by the midpoint rule."""
        h = side / SUBSTEPS
        for _ in range(SUBSTEPS):
            middle = x + h / 2 * field(network, x, of, temperature)
            x = x + h * field(network, middle, of, temperature)
        return x

    one, other = flow(flow(x, i), j), flow(flow(x, j), i)
    g = LocalDataMatrix.at(network, (one + other) / 2)
    return norm(g.reject(one - other)) / norm(one - other)


def field(network: nn.Module, x: Tensor, of: Tensor, temperature: float) -> Tensor:
    """Return ∇ log softmax(s / temperature)_of over its length; it is in D at every temperature."""
    x = x.detach().requires_grad_()
    log_p = (network(x) / temperature).log_softmax(1).gather(1, of.unsqueeze(1))
    rows = torch.autograd.grad(log_p.sum(), x)[0].flatten(1)
    return torch.nn.functional.normalize(rows, dim=1).reshape(x.shape)


def claims(scale: Scale) -> list[Claim]:
    step = SIDES.index(1.0)
    return [
        Claim(
            "The local leaves extend to a global structure of manifold (section 3).",
            "The first boundary is at distance {distance:.1e}; a step of Algorithm 1 is "
            "{times:.2g} times as long (medians). J changes there by a matrix of rank one: the "
            "second singular value is {second:.0e} of the first. One direction of the leaf makes "
            "an angle of sine {turn:.1e} with D behind the boundary, all others at most "
            "{rest:.0e}. The leaf does not continue as one leaf.",
            {
                "distance": lambda one: one["distance"].median(),
                "times": lambda one: one["step"] / one["distance"].median(),
                "second": lambda one: one["second"].median(),
                "turn": lambda one: one["turn"].median(),
                "rest": lambda one: one["rest"].median(),
            },
            "all sines are below 1e-6",
            lambda turn, **_: turn < 1e-6,
        ),
        Claim(
            "Moving along D one stays on one leaf (section 3).",
            "The two walks along a square in D end at different points. The share of the gap "
            "outside D is {small:.0e} for sides of 0.0003 steps, {step:.2f} for sides of one step "
            "and {large:.2f} for sides of twenty steps (medians). With GELU it is {smooth:.2f} "
            "for sides of one step.",
            {
                "small": lambda one: one["relu"][:, 0].median(),
                "step": lambda one: one["relu"][:, step].median(),
                "large": lambda one: one["relu"][:, -1].median(),
                "smooth": lambda one: one["gelu"][:, step].median(),
            },
            "the share is below 0.01 for sides of one step",
            lambda step, **_: step < 0.01,
        ),
        Claim(
            "The points in which G is not differentiable are a closed subset, which a generic "
            "point avoids (appendix B).",
            "{tied:.0%} of the test images lie on it: an activation switches within a distance of "
            "1e-9. A background of constant grey produces ties in all max-pooling windows over it.",
            {"tied": lambda one: (one["image_distance"] < 1e-9).double().mean()},
            "no test image lies on it",
            lambda tied: tied == 0,
        ),
    ]


def tables(study: Study, found: list[Found]) -> list[Table]:
    rows = tuple(
        (label, *(f"{float(found[0][key][:, i].median()):.2g}" for i in range(len(SIDES))))
        for key, label in (("relu", "ReLU"), ("gelu", "GELU"))
    )
    columns = ("network", *(f"{side:g} steps" for side in SIDES))
    return [Table("Share of the gap outside D, by the side of the square", columns, rows)]


def draw(study: Study, found: list[Found], figure: Figure) -> None:
    one = found[0]
    turn, gap = figure.subplots(1, 2)
    sines = {"the direction that turns": one["turn"], "all others": one["rest"]}
    dots(turn, {name: values.clamp_min(1e-17) for name, values in sines.items()}, BLUE)
    turn.set(yscale="log", title="Sine of the angle to D behind the first boundary")
    for key, colour, label in (("relu", BLUE, "ReLU"), ("gelu", ORANGE, "GELU")):
        band(gap, [side * one["step"] for side in SIDES], one[key], colour, label)
    gap.axvline(float(one["distance"].median()), color=GREY, ls="--", lw=0.8, label="first switch")
    gap.axvline(one["step"], color=RED, lw=0.8, label="a step of Algorithm 1")
    gap.set(xscale="log", xlabel="side of the square", title="Share of the gap outside D")
    gap.legend()


def points(scale: Scale) -> int:
    return 1000 * scale.points


EXPERIMENT = Experiment(
    "regions",
    "continuation of leaves across activation boundaries",
    measure,
    draw,
    claims,
    points,
    tables=tables,
)
