"""Figure 4: horizontal paths between pairs of test images.

With exact projections paths stall: they come to a point from which no direction of D leads closer,
and what is left of the distance is orthogonal to D. `published` shows why the paper's own
arithmetic came further, `leaf` how far off destinations of all kinds are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from examples.paper.experiment import Claim, Experiment, Found, claim, each
from examples.paper.figures import BLUE, GREY, ORANGE, above, dots, strip
from examples.paper.scale import Scale
from examples.paper.study import Study
from examples.paper.walked import EXAMPLES, FRAMES, straight, told
from lightning_leaf import horizontal_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ON_THE_LEAF, CLAMPED, STRAIGHT = "on the leaf", "clamped to pixels", "straight line"


def measure(study: Study, seed: int) -> Found:
    start, end = study.pairs(seed, study.scale.pairs)
    return walked(study, seed, start, end, study.scale.path_steps)


def walked(study: Study, seed: int, start: Tensor, end: Tensor, max_steps: int) -> Found:
    """Paths that stay on the leaf, paths that stay among valid pixels, and straight lines."""
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
        found[name] = told(network, paths, end)
    return found


def reaching(paper: str, found: list[Found]) -> Claim:
    """Whether paths reach their destinations."""
    return claim(
        paper,
        "{reached:.0%} of the paths reach their destination and {stalled:.0%} stall, with "
        "{left:.0%} of the distance left ({clamped:.0%} where points are clamped to valid pixels); "
        "what is left is orthogonal to the leaf: {off:.1%} of its square.",
        "95 % of the paths reach their destination; partly, if half of them do",
        lambda reached, **_: reached >= 0.95,
        lambda reached, **_: reached >= 0.5,
        reached=each(found, lambda one: one[ON_THE_LEAF]["reached"].mean()),
        stalled=each(found, lambda one: one[ON_THE_LEAF]["stalled"].mean()),
        left=each(found, lambda one: share_left(one[ON_THE_LEAF]).mean()),
        clamped=each(found, lambda one: share_left(one[CLAMPED]).mean()),
        off=each(found, lambda one: (part_off(one[ON_THE_LEAF])).mean()),
    )


def claims(study: Study, found: list[Found]) -> list[Claim]:
    return [
        reaching(
            "It is possible to link different images with a horizontal path: all valid data lie "
            "on one leaf (section 4.3, Fig. 4).",
            found,
        ),
        claim(
            "Moving along a leaf one obtains points with different labels (section 4.2).",
            "{arrives:.0%} of the paths between images of different predictions end with the "
            "prediction of their destination, after {labels:.1f} predictions on the way.",
            "90 % of them do; partly, if half of them do",
            lambda arrives, labels: arrives >= 0.9,
            lambda arrives, labels: arrives >= 0.5,
            arrives=each(found, lambda one: among_different(one, "arrives")),
            labels=each(found, lambda one: among_different(one, "labels")),
        ),
        claim(
            "On transition points the model assigns a low probability to every class (section 1).",
            "The least certain prediction on a path has probability {doubt:.2f} (median), on a "
            "straight line {line:.2f}.",
            "below 0.6",
            lambda doubt, line: doubt < 0.6,
            doubt=each(found, lambda one: one[ON_THE_LEAF]["doubt"].median()),
            line=each(found, lambda one: one[STRAIGHT]["doubt"].median()),
        ),
        claim(
            "Leaves carry the metric G (section 3).",
            "In this metric, the paths are {path:.2f} times as long as the shortest curve between "
            "the predictions at their ends, straight lines {line:.2f} times (medians).",
            "",
            None,
            path=each(found, lambda one: detour(one[ON_THE_LEAF])),
            line=each(found, lambda one: detour(one[STRAIGHT])),
        ),
    ]


def share_left(told: Found) -> Tensor:  # (N,)
    """Of the distance from start to end."""
    left: Tensor = told["left"] / told["from"]
    return left


def part_off(told: Found) -> Tensor:  # (N,)
    """Of the square of what is left, how much is orthogonal to the tangent distribution."""
    part: Tensor = (told["left_off"] / told["left"]).square()
    return part


def among_different(one: Found, name: str) -> float:
    told = one[ON_THE_LEAF]
    return float(told[name][told["differs"] > 0].mean())


def detour(told: Found) -> float:
    """Length over its lower bound, of curves between predictions that differ."""
    apart = told["bound"] > 0.1
    return float((told["length"] / told["bound"])[apart].median())


def draw(study: Study, found: list[Found], figure: Figure) -> None:
    draw_paths(study, found[0], figure)


def draw_paths(study: Study, one: Found, figure: Figure) -> None:
    """Strips of some paths of one seed, and how far off all of them end."""
    told = one[ON_THE_LEAF]
    strips, curves = above(figure, 1.6)
    grid = strips.subplots(EXAMPLES, FRAMES + 1, squeeze=False)
    for row, frames, labels, goal in zip(
        grid, told["frames"], told["frame_labels"], told["destinations"], strict=True
    ):
        strip(row, frames, study.images.normalization, labels)
        strip(row[FRAMES:], goal.unsqueeze(0), study.images.normalization, ["destination"])
    left, doubt, length = curves.subplots(1, 3)
    distances = {ON_THE_LEAF: share_left(told), CLAMPED: share_left(one[CLAMPED])}
    dots(left, distances, BLUE)
    left.axhline(study.scale.threshold / float(told["from"].mean()), color=GREY, ls="--", lw=0.8)
    left.set(title="Distance left, of that at the start", ylim=(0, 1))
    groups = (ON_THE_LEAF, STRAIGHT)
    dots(doubt, {name: one[name]["doubt"] for name in groups}, ORANGE)
    doubt.set(title="Least certain prediction on the way", ylim=(0, 1))
    apart = told["bound"] > 0.1
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
