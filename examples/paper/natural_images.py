"""Appendix C: horizontal paths of VGG-11 on CIFAR-10.

Horizontal paths are compared with straight lines between the same images. The network has
batch-norm and one linear layer after its convolutions. The step size divides the distance between
two images into as many steps as in the experiments on MNIST. The paper used the published
arithmetic, so the comparison is repeated with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from examples.paper.experiment import Claim, Experiment, Found
from examples.paper.figures import BLUE, ORANGE, above, dots, strip
from examples.paper.horizontal_paths import share_left
from examples.paper.published import descend, published_projection
from examples.paper.scale import Scale
from examples.paper.study import Study
from examples.paper.training import accuracy
from examples.paper.walked import EXAMPLES, FRAMES, norm, summary
from lightning_leaf import LeafPath, horizontal_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def measure(study: Study, seed: int) -> Found:
    scale, images = study.scale, study.colour_images
    network = study.colour_network(seed)
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(images.test), generator=generator)[: 2 * scale.colour_pairs]
    start, end = images.test[rows].chunk(2)
    gap = norm(end - start)
    # The paper's step on MNIST is about one 300th of the distance between two images.
    paths = horizontal_path(
        network,
        start,
        end,
        step_size=gap / 300,
        threshold=gap / 30,
        max_steps=scale.path_steps,
        chunk_size=16,
    )
    published = descend(
        network,
        start,
        end,
        published_projection,
        step_size=float(gap.mean() / 300),
        threshold=float(gap.mean() / 30),
        steps=scale.colour_published_steps,
        every=max(1, scale.colour_published_steps // 20),
        title="as published",
    )
    return {
        **summary(network, paths, end),
        "published_left": published.distance[:, -1] / published.distance[:, 0],
        "published_horizontality": published.horizontality.nanmean(1),
        "published_along": torch.cosine_similarity(
            (published.points - start).flatten(1), (end - start).flatten(1)
        ).double(),
        "accuracy": accuracy(network, images.test[:1000], images.test_labels[:1000]),
        **beside_interpolation(paths, start, end),
    }


def beside_interpolation(paths: LeafPath, start: Tensor, end: Tensor) -> Found:
    """Compare paths with the straight lines between their ends.

    ``aside`` is the largest distance of a kept point from the line, relative to the distance from
    start to end. ``along`` is the cosine between the displacement of the path and the line.
    """
    aside, along = [], []
    for path, x, y in zip(paths, start, end, strict=True):
        line = torch.nn.functional.normalize((y - x).flatten(), dim=0)
        walked = (path.points - x).flatten(1)
        off = walked - (walked @ line).unsqueeze(1) * line
        aside.append(norm(off).max() / norm((y - x).unsqueeze(0))[0])
        along.append(torch.cosine_similarity(walked[-1], line, dim=0).double())
    return {"aside": torch.stack(aside), "along": torch.stack(along)}


def claims(scale: Scale) -> list[Claim]:
    return [
        Claim(
            "On CIFAR-10, with a network similar to VGG-11, horizontal paths are very similar to "
            "interpolations (appendix C).",
            "The largest distance of a path from the straight line is {aside:.2f} of the distance "
            "from start to end. The displacement has cosine {along:.2f} with the line. "
            "{left:.0%} of the distance remains. {reached:.0%} of the paths reach their "
            "destination and {stalled:.0%} stall. {arrives:.0%} end with the prediction of the "
            "destination. A path passes through {labels:.1f} predictions. The accuracy of the "
            "network is {accuracy:.0%}.",
            {
                "aside": lambda one: one["aside"].mean(),
                "along": lambda one: one["along"].mean(),
                "left": lambda one: share_left(one).mean(),
                "reached": lambda one: one["reached"].mean(),
                "stalled": lambda one: one["stalled"].mean(),
                "arrives": lambda one: one["arrives"].mean(),
                "labels": lambda one: one["labels"].mean(),
                "accuracy": lambda one: one["accuracy"],
            },
            "the distance from the line is below 0.1 and the cosine is above 0.95; in part if the "
            "cosine is above 0.95",
            lambda aside, along, **_: aside < 0.1 and along > 0.95,
            lambda aside, along, **_: along > 0.95,
        ),
        Claim(
            "The same claim for paths computed with the published arithmetic (appendix C).",
            f"After {scale.colour_published_steps:,} steps the displacement has cosine "
            "{along:.2f} with the straight line and {left:.0%} of the distance remains. The share "
            "of a step in the exact D is {share:.2f}.",
            {
                "along": lambda one: one["published_along"].mean(),
                "left": lambda one: one["published_left"].mean(),
                "share": lambda one: one["published_horizontality"].mean(),
            },
            "the cosine is above 0.95",
            lambda along, **_: along > 0.95,
        ),
    ]


def draw(study: Study, found: list[Found], figure: Figure) -> None:
    one = found[0]
    strips, curves = above(figure, 1.6)
    count = min(EXAMPLES, len(one["frames"]))
    grid = strips.subplots(count, FRAMES + 1, squeeze=False)
    normalization = study.colour_images.normalization
    for i, row in enumerate(grid):
        strip(row, one["frames"][i], normalization, one["frame_labels"][i])
        strip(row[FRAMES:], one["destinations"][i : i + 1], normalization, ["destination"])
    left, beside = curves.subplots(1, 2)
    dots(
        left,
        {
            "left": share_left(one),
            "left, as published": one["published_left"],
            "off the straight line": one["aside"],
        },
        BLUE,
    )
    left.set(title="Share of the distance at the start", ylim=(0, None))
    dots(beside, {"exact": one["along"], "as published": one["published_along"]}, ORANGE)
    beside.set(title="Cosine of the displacement with the straight line", ylim=(0, 1.02))


def points(scale: Scale) -> int:
    if scale.name == "quick":
        return scale.colour_pairs * scale.path_steps + 15 * scale.colour_steps
    # VGG-11 costs about 7 times as much as the paper's network; an optimizer step, 130 times.
    steps = 500 + 2 * scale.colour_published_steps
    return 7 * scale.colour_pairs * steps + 130 * scale.colour_steps


EXPERIMENT = Experiment(
    "appendixC", "horizontal paths of VGG-11", measure, draw, claims, points, size=(10, 7)
)
