"""Figure 4: horizontal paths between pairs of test images.

Three curves are compared for every pair: a path on the leaf, a path whose points are clamped to
valid pixel values, and the straight line. With exact projections, paths stall. They end at a point
where no direction of D leads closer to the destination, and the remaining displacement is
orthogonal to D. `published` explains why the paper's arithmetic came closer. `leaf` compares the
remaining distance for destinations of several kinds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from examples.paper.experiment import Claim, Experiment, Found
from examples.paper.figures import BLUE, GREY, ORANGE, above, dots, strip
from examples.paper.scale import Scale
from examples.paper.study import Study
from examples.paper.walked import EXAMPLES, FRAMES, straight, summary
from lightning_leaf import horizontal_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ON_THE_LEAF, CLAMPED, STRAIGHT = "on the leaf", "clamped to pixels", "straight line"


def measure(study: Study, seed: int) -> Found:
    start, end = study.pairs(seed, study.scale.pairs)
    return walked(study, seed, start, end, study.scale.path_steps)


def walked(study: Study, seed: int, start: Tensor, end: Tensor, max_steps: int) -> Found:
    """Walk paths on the leaf and paths clamped to valid pixels; add the straight lines."""
    scale, network = study.scale, study.network(seed)
    found: Found = {STRAIGHT: straight(network, start, end)}
    for name, normalize in ((ON_THE_LEAF, None), (CLAMPED, study.images.normalization)):
        paths = horizontal_path(
            network,
            start,
            end,
            step_size=scale.step_size,
            threshold=scale.threshold,
            max_steps=max_steps,
            normalize=normalize,
        )
        found[name] = summary(network, paths, end)
    return found


def reaching(paper: str) -> Claim:
    """Return the claim that paths reach their destinations."""
    return Claim(
        paper,
        "{reached:.0%} of the paths reach their destination and {stalled:.0%} stall. On average "
        "{left:.0%} of the distance remains ({clamped:.0%} if points are clamped to valid pixels). "
        "The remaining displacement is orthogonal to D: {off:.1%} of its squared length.",
        {
            "reached": lambda one: one[ON_THE_LEAF]["reached"].mean(),
            "stalled": lambda one: one[ON_THE_LEAF]["stalled"].mean(),
            "left": lambda one: share_left(one[ON_THE_LEAF]).mean(),
            "clamped": lambda one: share_left(one[CLAMPED]).mean(),
            "off": lambda one: part_off(one[ON_THE_LEAF]).mean(),
        },
        "at least 95 % of the paths reach their destination; in part if at least half do",
        lambda reached, **_: reached >= 0.95,
        lambda reached, **_: reached >= 0.5,
    )


def claims(scale: Scale) -> list[Claim]:
    return [
        reaching(
            "It is possible to link different images with a horizontal path: all valid data lie "
            "on one leaf (section 4.3, Fig. 4)."
        ),
        Claim(
            "Moving along a leaf one obtains points with different labels (section 4.2).",
            "Of the paths between images with different predictions, {arrives:.0%} end with the "
            "prediction of their destination. Such a path passes through {labels:.1f} predictions.",
            {
                "arrives": lambda one: among_different(one, "arrives"),
                "labels": lambda one: among_different(one, "labels"),
            },
            "at least 90 % do; in part if at least half do",
            lambda arrives, labels: arrives >= 0.9,
            lambda arrives, labels: arrives >= 0.5,
        ),
        Claim(
            "On transition points the model assigns a low probability to every class (section 1).",
            "The least certain prediction of a path has probability {doubt:.2f} (median). On a "
            "straight line it has {line:.2f}.",
            {
                "doubt": lambda one: one[ON_THE_LEAF]["doubt"].median(),
                "line": lambda one: one[STRAIGHT]["doubt"].median(),
            },
            "the probability on a path is below 0.6",
            lambda doubt, line: doubt < 0.6,
        ),
        Claim(
            "Leaves carry the metric G (section 3).",
            "In this metric, a path is {path:.2f} times as long as the shortest curve between the "
            "predictions at its ends. A straight line is {line:.2f} times as long (medians).",
            {
                "path": lambda one: detour(one[ON_THE_LEAF]),
                "line": lambda one: detour(one[STRAIGHT]),
            },
        ),
    ]


def share_left(paths: Found) -> Tensor:  # (N,)
    """Return the remaining distance as a share of the distance from start to end."""
    left: Tensor = paths["left"] / paths["from"]
    return left


def part_off(paths: Found) -> Tensor:  # (N,)
    """Return the share of the squared remaining displacement that is orthogonal to D."""
    part: Tensor = (paths["left_off"] / paths["left"]).square()
    return part


def among_different(one: Found, name: str) -> float:
    """Return the mean over paths between images with different predictions."""
    paths = one[ON_THE_LEAF]
    return float(paths[name][paths["differs"] > 0].mean())


def detour(curves: Found) -> float:
    """Return the median ratio of length to lower bound, for curves whose predictions differ."""
    apart = curves["bound"] > 0.1
    return float((curves["length"] / curves["bound"])[apart].median())


def draw(study: Study, found: list[Found], figure: Figure) -> None:
    draw_paths(study, found[0], figure)


def draw_paths(study: Study, one: Found, figure: Figure) -> None:
    """Draw strips of some paths of one seed, and the remaining distance of all paths."""
    paths = one[ON_THE_LEAF]
    strips, curves = above(figure, 1.6)
    grid = strips.subplots(EXAMPLES, FRAMES + 1, squeeze=False)
    for row, frames, labels, goal in zip(
        grid, paths["frames"], paths["frame_labels"], paths["destinations"], strict=True
    ):
        strip(row, frames, study.images.normalization, labels)
        strip(row[FRAMES:], goal.unsqueeze(0), study.images.normalization, ["destination"])
    left, doubt, length = curves.subplots(1, 3)
    distances = {ON_THE_LEAF: share_left(paths), CLAMPED: share_left(one[CLAMPED])}
    dots(left, distances, BLUE)
    left.axhline(study.scale.threshold / float(paths["from"].mean()), color=GREY, ls="--", lw=0.8)
    left.set(title="Share of the distance that remains", ylim=(0, 1))
    groups = (ON_THE_LEAF, STRAIGHT)
    dots(doubt, {name: one[name]["doubt"] for name in groups}, ORANGE)
    doubt.set(title="Least certain prediction of the path", ylim=(0, 1))
    apart = paths["bound"] > 0.1
    dots(
        length,
        {name: (one[name]["length"] / one[name]["bound"])[apart] for name in groups},
        ORANGE,
    )
    length.set(title="Fisher–Rao length over its lower bound")


def points(scale: Scale) -> int:
    return scale.pairs * min(scale.path_steps, 500) * 2


EXPERIMENT = Experiment(
    "fig4",
    "horizontal paths between test images",
    measure,
    draw,
    claims,
    points,
    size=(10, 7.5),
)
