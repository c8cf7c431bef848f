"""Table 1: the rank of the local data matrix and its bound.

The rank of G and the dimension of D are computed for several networks, before and after training,
at test images. Of the C rows ∇log p_i at most C − 1 are independent, because Σ p_i ∇log p_i = 0.
The sharp bound is therefore C − 1, one less than the paper's. The rank of G counts the eigenvalues
above 1e-10 of the largest one. The dimension of D is computed from the contrasts of the scores,
which stay well scaled when the network becomes certain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from examples.paper.experiment import Claim, Experiment, Found, Table
from examples.paper.figures import BLUE, GREY
from examples.paper.networks import NETWORKS
from examples.paper.published import score_gradients
from examples.paper.scale import Scale
from examples.paper.study import Study
from lightning_leaf import LocalDataMatrix, effective_rank

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

PAPER = (
    ("MNIST", 784, 10),
    ("CIFAR-10", 3072, 10),
    ("CIFAR-100", 3072, 100),
    ("ImageNet", 150528, 1000),
)
"""Data set, size of an input and the paper's bound; the sharp bound is C − 1."""


def measure(study: Study, seed: int) -> Found:
    scale, images, colour = study.scale, study.images, study.colour_images
    x = images.test[: scale.walks]
    found: Found = {}
    for kind in NETWORKS:
        for step in (0, scale.paper_step):
            name = f"{kind}, {images.name}, step {step:,}"
            found[name] = ranks(study.network(seed, step, kind), x)
    few = colour.test[: 4 * scale.colour_pairs]
    name = f"vgg, {colour.name}, step {scale.colour_steps:,}"
    found[name] = ranks(study.colour_network(seed), few)
    return found


def ranks(network: nn.Module, x: Tensor) -> Found:
    """Compute the ranks of G, of D and of the columns of the published least squares problem."""
    parts = [LocalDataMatrix.at(network, part) for part in torch.split(x, 32)]
    of_g = torch.cat([effective_rank(g.eigenvalues(), "threshold", rtol=1e-10) for g in parts])
    of_d = torch.cat([g.tangent_dimension() for g in parts])
    gradients = torch.cat([score_gradients(network, part) for part in torch.split(x, 32)])
    columns = torch.nn.functional.normalize(gradients, dim=2).mT
    singular = torch.linalg.svdvals(columns)
    # The driver gels divides by every singular value.
    return {
        "size": x[0].numel(),
        "classes": gradients.shape[1],
        "G": int(of_g.max()),
        "D_least": int(of_d.min()),
        "D": int(of_d.max()),
        "published": int((singular > 0).sum(1).max()),
        "noise": float((singular[:, -1] / singular[:, 0]).median()),
    }


def claims(scale: Scale) -> list[Claim]:
    def largest(one: Found, name: str) -> int:
        return max(int(row[name]) for row in one.values() if isinstance(row, dict))

    return [
        Claim(
            "The rank of G is at most the number of classes, which is ten for MNIST and CIFAR-10 "
            "(Proposition 2.1, Table 1).",
            "Over all images, networks and steps, the rank of G is at most {g:.0f} = C − 1 and the "
            "dimension of D is at most {d:.0f}. The columns of the published least squares problem "
            "have {published:.0f} singular values above zero.",
            {
                "g": lambda one: largest(one, "G"),
                "d": lambda one: largest(one, "D"),
                "published": lambda one: largest(one, "published"),
            },
            "both are at most C − 1 = 9 everywhere",
            lambda g, d, published: max(g, d) <= 9,
        )
    ]


def tables(study: Study, found: list[Found]) -> list[Table]:
    rows = [(name, f"{size:,}", str(bound), str(bound - 1), "", "") for name, size, bound in PAPER]
    for name, row in found[0].items():
        if isinstance(row, dict):
            dimension = f"{row['D_least']} – {row['D']}"
            classes = row["classes"]
            cells = (f"{row['size']:,}", str(classes), str(classes - 1), str(row["G"]), dimension)
            rows.append((name, *cells))
    columns = ("data, network", "size", "the paper's bound", "C − 1", "rank G", "dim D")
    return [Table("Bounds and the largest measured rank (first seed)", columns, tuple(rows))]


def draw(study: Study, found: list[Found], figure: Figure) -> None:
    panel = figure.subplots()
    rows = [(name, row) for name, row in found[0].items() if isinstance(row, dict)]
    for i, (_, row) in enumerate(rows):
        panel.barh(i, row["size"], color=GREY, alpha=0.25, height=0.6)
        panel.barh(i, row["D"], color=BLUE, height=0.6)
    panel.axvline(9, color=GREY, lw=0.8, ls="--")
    panel.set(xscale="log")
    panel.set_xlim(left=1)
    panel.set_yticks(range(len(rows)), [name for name, _ in rows])
    panel.invert_yaxis()
    panel.set(title="Size of an input and largest dimension of D; dashed: bound C − 1")


def points(scale: Scale) -> int:
    return 15 * scale.walks


EXPERIMENT = Experiment(
    "table1", "rank of G against its bound", measure, draw, claims, points, tables=tables
)
