"""Figure 5: horizontal paths to images of non-existent digits.

Destinations are test images mirrored left to right. Paths to the same images without mirroring are
the control.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from examples.paper import horizontal_paths
from examples.paper.experiment import Claim, Experiment, Found
from examples.paper.horizontal_paths import ON_THE_LEAF, draw_paths, reaching, share_left, walked
from examples.paper.scale import Scale
from examples.paper.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def measure(study: Study, seed: int) -> Found:
    scale = study.scale
    start, end = study.pairs(seed, scale.pairs)
    mirrored = walked(study, seed, start, end.flip(-1), scale.path_steps)
    # Figure 4 uses the same pairs without mirroring.
    clean = study.measured(horizontal_paths.EXPERIMENT, seed)[ON_THE_LEAF]
    return {**mirrored, "clean": {"left": clean["left"], "from": clean["from"]}}


def claims(scale: Scale) -> list[Claim]:
    return [
        reaching(
            "There are paths from valid images to images of non-existent digits: the data leaf is "
            "not limited to digits (section 4.3, Fig. 5)."
        ),
        Claim(
            "Horizontal paths lead to images of non-existent digits as they do to digits "
            "(section 4.3).",
            "On average {mirrored:.1%} of the distance to the mirrored digits remains, and "
            "{clean:.1%} of the distance to the same digits without mirroring.",
            {
                "mirrored": lambda one: share_left(one[ON_THE_LEAF]).mean(),
                "clean": lambda one: share_left(one["clean"]).mean(),
            },
            "the two differ by less than 5 %",
            lambda mirrored, clean: abs(mirrored - clean) < 0.05,
        ),
    ]


def draw(study: Study, found: list[Found], figure: Figure) -> None:
    draw_paths(study, found[0], figure)


def points(scale: Scale) -> int:
    return scale.pairs * min(scale.path_steps, 500) * 2


EXPERIMENT = Experiment(
    "fig5",
    "horizontal paths to images of non-existent digits",
    measure,
    draw,
    claims,
    points,
    size=(10, 7.5),
)
