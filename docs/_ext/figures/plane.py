"""A classifier of points in the plane: two classes, so that every leaf is a curve."""

from __future__ import annotations

from functools import cache

import matplotlib as mpl
import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.datasets import make_moons
from torch import Tensor, nn

from lightning_leaf import LeafPath, LocalDataMatrix, horizontal_path, orthogonal_walk

X, Y = (-1.9, 2.9), (-1.5, 1.95)
SOURCE, DESTINATION = [-0.6, 0.4], [1.0, -0.75]


@cache
def data() -> tuple[Tensor, Tensor]:
    points, labels = make_moons(300, noise=0.2, random_state=0)
    return torch.tensor(points, dtype=torch.float32), torch.tensor(labels)


@cache
@torch.enable_grad()
def classifier() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 2)
    )
    # Weight decay keeps the probabilities away from 0 and 1, so that the figures show them change.
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=8e-3)
    points, labels = data()
    for _ in range(400):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(points), labels).backward()
        optimizer.step()
    return model.eval()


@cache
def path() -> LeafPath:
    source, destination = torch.tensor([SOURCE]), torch.tensor([DESTINATION])
    return horizontal_path(
        classifier(), source, destination, step_size=0.01, threshold=0.05, keep_points=500,
        progress=False,
    )  # fmt: skip


@cache
def walk() -> LeafPath:
    return orthogonal_walk(
        classifier(), torch.tensor([SOURCE]), torch.tensor([[1.0, 0.4]]), step_size=0.01,
        max_steps=190, keep_points=500, progress=False,
    )  # fmt: skip


def leaves() -> Figure:
    """Draw the probability, tangent directions and leaves."""
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.7), layout="constrained", sharey=True)
    points, labels = data()
    left, right = axes
    mappable = draw_probability(left)
    for label, marker in ((0, "o"), (1, "s")):
        left.scatter(
            *points[labels == label].T, s=9, marker=marker, linewidth=0.4,
            color=class_colour(label), edgecolor=mpl.rcParams["grid.color"],
            label=f"class {label}",
        )  # fmt: skip
    left.set_title("What the classifier predicts")
    left.legend(loc="upper left", ncols=2, handletextpad=0.2, columnspacing=1)
    figure.colorbar(mappable, ax=left, label="probability of class 1", shrink=0.9)

    draw_probability(right, alpha=0.35)
    draw_tangent_lines(right)
    for leaf in leaf_curves():
        right.plot(*leaf.T, color=mpl.rcParams["text.color"], linewidth=1.1)
    right.set_title("Tangent lines (grey) and leaves (curves)")
    for axis in axes:
        frame(axis)
    left.set_ylabel("input, second coordinate")
    return figure


def path_and_walk() -> Figure:
    """Draw a path along a leaf, a walk across leaves, and the probability along both."""
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9.6, 3.7), layout="constrained", width_ratios=[1.25, 1]
    )
    draw_probability(left, alpha=0.45)
    along, across = path()[0], walk()[0]
    ink = mpl.rcParams["text.color"]
    left.plot(*along.points.T, color=colour(1), linewidth=2.2, label="horizontal path")
    left.plot(*across.points.T, color=colour(3), linewidth=2.2, label="orthogonal walk")
    rest = torch.stack([along.points[-1], torch.tensor(DESTINATION)])
    left.plot(*rest.T, color=ink, linestyle=":", linewidth=1.4, label="distance that is left")
    left.plot(*SOURCE, "o", color=ink, markersize=6)
    left.plot(*DESTINATION, "*", color=ink, markersize=11)
    left.annotate("source", SOURCE, (-9, 5), textcoords="offset points", ha="right")
    left.annotate("destination", DESTINATION, (9, -6), textcoords="offset points")
    left.legend(loc="upper right")
    left.set_ylabel("input, second coordinate")
    frame(left)
    left.set_title("In the plane of inputs")
    for single, name, index in ((along, "horizontal path", 1), (across, "orthogonal walk", 3)):
        probability = single.log_probs[:, 1].exp()
        right.plot(probability, color=colour(index), linewidth=2.2, label=name)
    right.set_title("Probability of class 1")
    right.set_xlabel("path step")
    right.set_ylim(-0.02, 1.02)
    right.legend(loc="center right")
    return figure


def plane_accuracy() -> str:
    points, labels = data()
    return f"{(classifier()(points).argmax(1) == labels).float().mean():.0%}".replace("%", " %")


def plane_path() -> str:
    return path()[0].describe()


def plane_walk() -> str:
    return walk()[0].describe()


def plane_left_orthogonal() -> str:
    end = path()[0].points[-1:]
    rest = torch.tensor([DESTINATION]) - end
    kept = LocalDataMatrix.at(classifier(), end).reject(rest).norm() / rest.norm()
    return f"{100 * kept.square():.2f} %"


def grid(columns: int, rows: int) -> tuple[Tensor, Tensor, Tensor]:
    x, y = torch.linspace(*X, columns), torch.linspace(*Y, rows)
    mesh = torch.meshgrid(x, y, indexing="xy")
    return x, y, torch.stack(mesh, dim=-1).reshape(-1, 2)


def draw_probability(axis: Axes, alpha: float = 0.6) -> mpl.cm.ScalarMappable:
    x, y, points = grid(140, 100)
    with torch.no_grad():
        probability = classifier()(points).softmax(-1)[:, 1].reshape(len(y), len(x))
    levels = torch.linspace(0, 1, 11)
    filled = axis.contourf(x, y, probability, levels, cmap=probability_map(), alpha=alpha)
    axis.contour(
        x, y, probability, levels[1:-1], colors=[mpl.rcParams["grid.color"]], linewidths=0.7
    )
    return filled


def draw_tangent_lines(axis: Axes) -> None:
    _, _, points = grid(26, 19)
    direction = tangent_direction(points)
    axis.quiver(
        *points.T, *direction.T, pivot="mid", headwidth=0, headlength=0, headaxislength=0,
        scale=34, width=0.0028, color=colour(5),
    )  # fmt: skip


def tangent_direction(points: Tensor) -> Tensor:  # (n, 2) -> (n, 2)
    """Return the unit vector that spans the tangent space at each point, towards class 1."""
    # For two classes, ∇ log p_1 spans it. The second row of the factor has the same direction.
    gradient = LocalDataMatrix.at(classifier(), points).factor()[:, 1]
    return gradient / gradient.norm(dim=1, keepdim=True)


@cache
def leaf_curves(count: int = 11) -> list[Tensor]:
    """Return leaves through points that are evenly spread over the decision boundary."""
    on_boundary = boundary(count)
    halves = []
    for sign in (-1, 1):
        points = [on_boundary]
        for _ in range(120):
            points.append(points[-1] + sign * 0.04 * tangent_direction(points[-1]))
        halves.append(points[::sign])
    return list(torch.stack([*halves[0], *halves[1][1:]], dim=1))


def boundary(count: int) -> Tensor:  # (count, 2)
    """Return points at equal distances on the decision boundary."""
    x, y, points = grid(140, 100)
    with torch.no_grad():
        score = classifier()(points).diff(dim=1).reshape(len(y), len(x))
    figure = Figure()
    (segments,) = figure.subplots().contour(x, y, score, [0.0]).allsegs
    line = torch.tensor(max(segments, key=len), dtype=torch.float32)
    length = torch.cat([torch.zeros(1), line.diff(dim=0).norm(dim=1).cumsum(0)])
    wanted = torch.linspace(0, float(length[-1]), count + 2)[1:-1]
    return line[torch.searchsorted(length, wanted)]


def frame(axis: Axes) -> None:
    axis.set(xlim=X, ylim=Y, xlabel="input, first coordinate", aspect="equal")


def colour(index: int) -> str:
    return str(mpl.rcParams["axes.prop_cycle"].by_key()["color"][index])


def class_colour(label: int) -> str:
    return colour((0, 1)[label])


def probability_map() -> mpl.colors.Colormap:
    middle = mpl.rcParams["grid.color"]
    return mpl.colors.LinearSegmentedColormap.from_list("p", [colour(0), middle, colour(1)])
