"""Appendix C: horizontal paths of VGG-11 on CIFAR-10, beside plain interpolation.

The network has batch-norm and one linear layer behind its convolutions. As many steps lead from
image to image as in the experiments on MNIST, and paths are also walked by the published
arithmetic, which the paper's words are about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from examples.paper.experiment import Claim, Experiment, Found, claim, each
from examples.paper.figures import BLUE, ORANGE, above, dots, strip
from examples.paper.horizontal_paths import share_left
from examples.paper.published import descend, published_projection
from examples.paper.scale import Scale
from examples.paper.study import Study
from examples.paper.training import accuracy
from examples.paper.walked import EXAMPLES, FRAMES, norm, told
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
    # As many steps from image to image as in the paper's experiments on MNIST.
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
        **told(network, paths, end),
        "published_left": published.distance[:, -1] / published.distance[:, 0],
        "published_horizontality": published.horizontality.nanmean(1),
        "published_along": torch.cosine_similarity(
            (published.points - start).flatten(1), (end - start).flatten(1)
        ).double(),
        "accuracy": accuracy(network, images.test[:1000], images.test_labels[:1000]),
        **beside_interpolation(paths, start, end),
    }


def beside_interpolation(paths: LeafPath, start: Tensor, end: Tensor) -> Found:
    """How far paths lead from the straight line, and along it.

    ``aside``: the largest distance of a kept point from the line, over the distance from start to
    end. ``along``: cosine between what was walked and the line.
    """
    aside, along = [], []
    for path, x, y in zip(paths, start, end, strict=True):
        line = torch.nn.functional.normalize((y - x).flatten(), dim=0)
        walked = (path.points - x).flatten(1)
        off = walked - (walked @ line).unsqueeze(1) * line
        aside.append(norm(off).max() / norm((y - x).unsqueeze(0))[0])
        along.append(torch.cosine_similarity(walked[-1], line, dim=0).double())
    return {"aside": torch.stack(aside), "along": torch.stack(along)}


def claims(study: Study, found: list[Found]) -> list[Claim]:
    return [
        claim(
            "On CIFAR-10, with a network similar to VGG-11, horizontal paths are very similar to "
            "interpolations (appendix C).",
            "Paths lead up to {aside:.2f} of the distance away from the straight line, and end in "
            "a direction whose cosine with it is {along:.2f}; {left:.0%} of the distance is left, "
            "{reached:.0%} reach their destination, {stalled:.0%} stall; {arrives:.0%} end with "
            "its prediction, after {labels:.1f} predictions on the way (accuracy of the network: "
            "{accuracy:.0%}).",
            "less than a tenth away from the line, cosine above 0.95; partly, if the cosine is",
            lambda aside, along, **_: aside < 0.1 and along > 0.95,
            lambda aside, along, **_: along > 0.95,
            aside=each(found, lambda one: one["aside"].mean()),
            along=each(found, lambda one: one["along"].mean()),
            left=each(found, lambda one: share_left(one).mean()),
            reached=each(found, lambda one: one["reached"].mean()),
            stalled=each(found, lambda one: one["stalled"].mean()),
            arrives=each(found, lambda one: one["arrives"].mean()),
            labels=each(found, lambda one: one["labels"].mean()),
            accuracy=each(found, lambda one: one["accuracy"]),
        ),
        claim(
            "The same, of paths found by the published arithmetic (appendix C).",
            f"After {study.scale.colour_published_steps:,} steps, cosine {{along:.2f}} with the "
            "straight line, {left:.0%} of the distance left, {share:.2f} of a step in the exact D.",
            "cosine above 0.95",
            lambda along, **_: along > 0.95,
            along=each(found, lambda one: one["published_along"].mean()),
            left=each(found, lambda one: one["published_left"].mean()),
            share=each(found, lambda one: one["published_horizontality"].mean()),
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
    left.set(title="Of the distance at the start", ylim=(0, None))
    dots(beside, {"exact": one["along"], "as published": one["published_along"]}, ORANGE)
    beside.set(title="Cosine of what was walked with the straight line", ylim=(0, 1.02))


def points(scale: Scale) -> int:
    if scale.name == "quick":
        return scale.colour_pairs * scale.path_steps + 15 * scale.colour_steps
    # VGG-11 costs about seven times as much as the paper's network, a step of training 130.
    steps = 500 + 2 * scale.colour_published_steps
    return 7 * scale.colour_pairs * steps + 130 * scale.colour_steps


EXPERIMENT = Experiment(
    "appendixC", "horizontal paths of VGG-11", measure, draw, claims, points, size=(10, 7)
)
