"""Figure 5: horizontal paths to images of non-existent digits.

Destinations are test images mirrored left to right; the same pairs not mirrored are the control.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from examples.paper import horizontal_paths
from examples.paper.experiment import Claim, Experiment, Found, claim, each
from examples.paper.horizontal_paths import ON_THE_LEAF, draw_paths, reaching, share_left, walked
from examples.paper.scale import Scale
from examples.paper.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def measure(study: Study, seed: int) -> Found:
    scale = study.scale
    start, end = study.pairs(seed, scale.pairs)
    mirrored = walked(study, seed, start, end.flip(-1), scale.path_steps)
    # Figure 4 has the same pairs not mirrored: what there is to compare with.
    clean = study.measured(horizontal_paths.EXPERIMENT, seed)[ON_THE_LEAF]
    return {**mirrored, "clean": {"left": clean["left"], "from": clean["from"]}}


def claims(study: Study, found: list[Found]) -> list[Claim]:
    return [
        reaching(
            "There are paths from valid images to images of non-existent digits: the data leaf is "
            "not limited to digits (section 4.3, Fig. 5).",
            found,
        ),
        claim(
            "Paths lead to images of non-existent digits as they lead to digits (section 4.3).",
            "Paths to mirrored digits leave {mirrored:.1%} of the distance, to the same digits "
            "as they are {clean:.1%}.",
            "the two differ by less than 5 %",
            lambda mirrored, clean: abs(mirrored - clean) < 0.05,
            mirrored=each(found, lambda one: share_left(one[ON_THE_LEAF]).mean()),
            clean=each(found, lambda one: share_left(one["clean"]).mean()),
        ),
    ]


def draw(study: Study, found: list[Found], figure: Figure) -> None:
    draw_paths(study, found[0], figure)


def points(scale: Scale) -> int:
    return scale.pairs * min(scale.path_steps, 500) * 2


EXPERIMENT = Experiment(
    "fig5",
    "horizontal paths to images that are no digits",
    measure,
    draw,
    claims,
    points,
    size=(10, 7.5),
)
