"""A small ReLU network on scikit-learn's digits: 8×8 pixels, ten classes, no download."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import matplotlib as mpl
import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from torch import Tensor, nn

from lightning_leaf import (
    LeafPath,
    LocalDataMatrix,
    LocalGeometry,
    effective_rank,
    horizontal_path,
    local_geometry,
    orthogonal_walk,
)

RANK_KINDS = ("entropy", "stable", "participation", "threshold")
STEPS = 1500
PROBE = 64


@dataclass(frozen=True)
class Training:
    """A trained network, and measurements at steps of its training."""

    model: nn.Module
    steps: list[int]
    measured: list[LocalGeometry]
    accuracy: float


@cache
def images() -> tuple[Tensor, Tensor]:
    digits = load_digits()
    pixels = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    return pixels, torch.tensor(digits.target)


@cache
@torch.enable_grad()
def trained() -> Training:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(32 * 16, 10),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pixels, labels = images()
    probe = pixels[-PROBE:]
    steps, measured = [], []
    # Measured more often at the start, where the trace changes fastest.
    due = {round(STEPS * (k / 40) ** 2) for k in range(41)}
    for step in range(STEPS + 1):
        if step in due:
            steps.append(step)
            measured.append(local_geometry(model, probe, ranks=RANK_KINDS))
        rows = torch.randint(len(pixels) - 360, (60,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(pixels[rows]), labels[rows]).backward()
        if step < STEPS:
            optimizer.step()
    with torch.no_grad():
        accuracy = (model(pixels[-360:]).argmax(1) == labels[-360:]).float().mean().item()
    return Training(model.eval(), steps, measured, accuracy)


@cache
def uncertain_and_certain() -> tuple[int, int]:
    """Return the positions of the held-out images with the least and most certain predictions."""
    pixels, _ = images()
    with torch.no_grad():
        probability = trained().model(pixels[-360:]).softmax(1)
    first = len(pixels) - 360
    certainty = probability.max(1).values
    return first + int(certainty.argmin()), first + int(certainty.argmax())


@cache
def path() -> LeafPath:
    pixels, _ = images()
    source = first_correct(3)
    destination = first_correct(8)
    return horizontal_path(
        trained().model, pixels[[source]], pixels[[destination]], domain=(0, 1), progress=False
    )


@cache
def map_paths() -> LeafPath:
    """Return horizontal paths from an image of a 3 to an 8, a 5 and a 9."""
    pixels, _ = images()
    destinations = [first_correct(digit) for digit in (8, 5, 9)]
    sources = pixels[[first_correct(3)] * len(destinations)]
    return horizontal_path(
        trained().model, sources, pixels[destinations], domain=(0, 1), progress=False
    )


@cache
def towards() -> LeafPath:
    """Return an orthogonal walk between the ends of the horizontal path."""
    pixels, _ = images()
    start, end = (pixels[[first_correct(digit)]] for digit in (3, 8))
    return orthogonal_walk(
        trained().model, start, towards=end, domain=(0, 1), keep_points=256, progress=False
    )


@cache
def walk() -> LeafPath:
    pixels, _ = images()
    return orthogonal_walk(
        trained().model, pixels[[first_correct(3)]], domain=(0, 1), max_steps=400, seed=1,
        progress=False,
    )  # fmt: skip


def first_correct(digit: int) -> int:
    pixels, labels = images()
    with torch.no_grad():
        predicted = trained().model(pixels).argmax(1)
    wanted = (labels == digit) & (predicted == digit)
    wanted[:-360] = False
    return int(wanted.nonzero()[0])


def directions() -> Figure:
    """Draw directions of D_x and of the kernel, and the probabilities along each."""
    pixels, _ = images()
    image = pixels[[uncertain_and_certain()[0]]]
    model = trained().model
    g = LocalDataMatrix.at(model, image)
    values, vectors = torch.linalg.eigh(g.gram())
    shares = values.flip(1)[0] / values.sum()
    leading = [g.pullback(vectors[:, :, -k]).float() for k in (1, 2, 3)]
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    shifts = [(v / v.norm()) for v in (*leading, g.reject(noise))]
    titles = [f"eigenvector {k + 1}\n{shares[k]:.0%} of the trace" for k in range(3)]

    figure, axes = plt.subplots(
        2, 5, figsize=(9.6, 4), layout="constrained", height_ratios=[1, 1.05], sharey="row"
    )
    for axis in axes[0]:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    axes[0, 0].imshow(image[0, 0], cmap="gray", vmin=0, vmax=1)
    axes[0, 0].set_title("the input\n", fontsize="small")
    axes[1, 0].axis("off")
    colours = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
    reach = torch.linspace(-1, 1, 81)
    with torch.no_grad():
        top = model(image)[0].topk(3).indices.tolist()
    for column, (shift, title) in enumerate(
        zip(shifts, [*titles, "in the kernel\n0 % of the trace"], strict=True), start=1
    ):
        largest = float(shift.abs().max())
        axes[0, column].imshow(shift[0, 0], cmap="RdBu_r", vmin=-largest, vmax=largest)
        axes[0, column].set_title(title, fontsize="small")
        with torch.no_grad():
            probability = model(image + reach[:, None, None, None] * shift).softmax(1)
        for label, colour in zip(top, colours, strict=False):
            axes[1, column].plot(reach, probability[:, label], color=colour, label=f"{label}")
        axes[1, column].set(xlabel="shift", ylim=(-0.02, 1.02))
    axes[1, 1].tick_params(labelleft=True)
    axes[1, 1].set_ylabel("probability")
    axes[1, 4].legend(title="class", loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def spectra() -> Figure:
    """Draw the eigenvalues of G at an uncertain and at a certain prediction, with their ranks."""
    pixels, _ = images()
    g = LocalDataMatrix.at(trained().model, pixels[list(uncertain_and_certain())])
    spectrum = g.eigenvalues()
    probability = g.log_probs.exp().max(1).values
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.2), layout="constrained", sharey=True)
    names = ("An uncertain", "A certain")
    for row, (axis, name) in enumerate(zip(axes, names, strict=True)):
        axis.bar(range(1, 10), spectrum[row, :9])
        # Leave space beside the bars for the text.
        axis.set(yscale="log", xlabel="eigenvalue, by size", xticks=range(1, 10), xlim=(0.3, 14.5))
        axis.set_title(f"{name} prediction: largest probability {probability[row]:.3g}")
        ranks = "\n".join(
            f"{kind} rank {effective_rank(spectrum[row], kind):.2f}" for kind in RANK_KINDS
        )
        trace = f"trace {spectrum[row].sum():.2g}\n"
        axis.text(0.98, 0.97, trace + ranks, ha="right", va="top", transform=axis.transAxes)
    axes[0].set_ylabel("eigenvalue (1 / input²)")
    return figure


def training() -> Figure:
    """Draw trace, effective rank and tangent dimension over a training."""
    found = trained()
    figure, (trace, rank, dimension) = plt.subplots(
        1, 3, figsize=(9.6, 3.1), layout="constrained", width_ratios=[1.5, 1, 1]
    )
    traces = torch.stack([each.trace for each in found.measured])
    (median,) = trace.plot(found.steps, traces.quantile(0.5, dim=1), label="median", linewidth=2)
    trace.plot(found.steps, traces.mean(1), label="mean", color=median.get_color(), alpha=0.5)
    trace.axhline(
        float(traces[0].quantile(0.5)), linestyle="--", label="initial median", linewidth=1
    )
    trace.set(yscale="log", ylabel="trace (1 / input²)")
    trace.set_title("Trace")
    for kind in RANK_KINDS:
        ranks = torch.stack([each.effective_rank[kind] for each in found.measured]).mean(1)
        rank.plot(found.steps, ranks, label=kind)
    rank.set(ylim=(0, 9.5), ylabel="effective rank")
    rank.set_title("Effective rank, mean")
    dimensions = torch.stack([each.tangent_dimension for each in found.measured]).mean(1)
    dimension.plot(found.steps, dimensions, linewidth=2)
    dimension.set(ylim=(0, 9.5), ylabel="dimension")
    dimension.set_title("Tangent dimension, mean")
    for axis in (trace, rank, dimension):
        axis.set_xlabel("optimizer step")
    trace.legend(loc=(0.06, 0.12))
    rank.legend(loc=(0.4, 0.21))
    return figure


def horizontal_path_of_digits() -> Figure:
    """``LeafPath.plot`` of a horizontal path."""
    return as_wide_as_a_page(path().plot())


def orthogonal_walk_of_digits() -> Figure:
    """``LeafPath.plot`` of an orthogonal walk."""
    return as_wide_as_a_page(walk().plot())


def walk_towards_a_digit() -> Figure:
    """``LeafPath.plot`` of an orthogonal walk towards an image of another class."""
    return as_wide_as_a_page(towards().plot())


def map_of_digits() -> Figure:
    """``LeafPath.plot_map`` of horizontal paths from one digit to three others."""
    return map_paths().plot_map(images=4)


def as_wide_as_a_page(figure: Figure) -> Figure:
    """Reduce the width that suits a notebook, so that text stays legible on a page."""
    figure.set_size_inches(10.8, 3.9)
    return figure


def digits_accuracy() -> str:
    return f"{100 * trained().accuracy:.0f} %"


def digits_first_trace() -> str:
    return f"{trained().measured[0].trace.quantile(0.5):.2g}"


def digits_peak() -> str:
    medians = [float(each.trace.quantile(0.5)) for each in trained().measured]
    return f"{max(medians) / medians[0]:.0f}"


def digits_path() -> str:
    return path()[0].describe()


def digits_map_covered() -> str:
    covered = sorted(100 * (1 - float(one.distance[-1] / one.distance[0])) for one in map_paths())
    return f"{covered[0]:.0f} to {covered[-1]:.0f} %"


def digits_walk() -> str:
    return walk()[0].describe()


def digits_towards() -> str:
    return towards()[0].describe()
