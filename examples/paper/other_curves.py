"""Horizontal curves other than Algorithm 1, and lifts of curves of predictions.

`leaf` shows that a stalled path does not prove that its destination is off the leaf. Here, other
horizontal curves continue where Algorithm 1 stalls:

- *random directions*: a step in a random direction of D, then a step of Algorithm 1; both are kept
  if they lead closer. *Finer steps* walks the same curve in steps of a quarter of the length, to
  show how much of the progress is due to the length of the steps.
- *annealing*: random steps in D, accepted by the rule of Metropolis on the distance to the
  destination, at a temperature that falls.
- *loops*: +a, +b, −a, −b for random directions a and b of D, kept if they end closer. On one leaf
  of dimension nine a small loop closes, up to the leaf's own directions. A gap outside D leads to
  other leaves.

Every step lies in D at its first point. Its share in D at its last point shows how far D turns on
the way. All curves compute D at the same number of points. Controls are Algorithm 1 with steps of
the same length, and random directions that are not projected.

The *lift* of the straight line is the horizontal curve with the line's predictions
(`prediction_path`).

What follows for one leaf: no curve of these kinds joins two images, so that the claim remains
unproven. All kinds come closer than Algorithm 1, also with finer steps, and still do so when they
end. A stalled path therefore does not show that two images lie on different leaves. D turns from
point to point, and small loops end in as many directions as there are loops: horizontal curves are
not confined to a surface of the dimension of D. They leave less of the distance to test images than
to images with shuffled pixels, as Algorithm 1 does in `leaf`, and reach neither. A horizontal curve
can be asked for a prediction: all lifts arrive, far from the image of the destination.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from examples.paper.curve_search import (
    STEP,
    Kind,
    Walker,
    algorithm_1,
    annealing,
    gaps_of_loops,
    loops,
    random_directions,
)
from examples.paper.distance_to_leaf import with_shuffled_pixels
from examples.paper.experiment import Claim, Experiment, Found, Table
from examples.paper.figures import BLUE, GREEN, GREY, ORANGE, RED, above, dots, strip
from examples.paper.lifted_lines import PLACES, lifted, lifts_table
from examples.paper.scale import Scale
from examples.paper.study import Study
from examples.paper.walked import EXAMPLES, norm

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GAPS = 2
"""Images at which loops are walked to count the directions of their gaps."""
FIRST, LONGER = "Algorithm 1", "Algorithm 1, continued"
RANDOM, FINER = "random directions", "random directions, finer steps"
ANNEALING, LOOPS, FREE = "annealing", "loops", "not projected (control)"
FROM_START, TO_SHUFFLED = "random directions, from the start", "the same, to shuffled pixels"
SEARCHES = (RANDOM, ANNEALING, LOOPS)
KINDS: dict[str, Kind] = {
    LONGER: algorithm_1,
    RANDOM: random_directions(1),
    FINER: random_directions(4),
    ANNEALING: annealing,
    LOOPS: loops,
}


def evaluations(scale: Scale) -> int:
    """Return at how many points a curve computes D: one more than a multiple of eight."""
    return 1 + max(24, scale.path_steps // 80 // 8 * 8)


def measure(study: Study, seed: int) -> Found:
    scale, network = study.scale, study.network(seed)
    start, end = study.pairs(seed, scale.pairs)
    shuffled = with_shuffled_pixels(end, torch.Generator().manual_seed(seed))

    def curves(kind: Kind, first: Tensor, to: Tensor, projected: bool = True) -> Found:
        walker = Walker(network, first, to, seed, projected=projected)
        here = walker.at(first.flatten(1).double())
        last, distances = kind(walker, here, STEP * norm(to - start), evaluations(scale))
        return {
            "from": norm(to - start),
            "distances": torch.stack(distances, 1),
            "least": torch.stack(walker.horizontality, 1).nan_to_num(1).amin(1),
            "turned": torch.stack(walker.turned, 1).nanmean(1),
            "evaluations": walker.evaluations,
            "last": last.x.reshape(first.shape).float(),
        }

    def spectrum_of_gaps(x: Tensor) -> Tensor:  # (loops,)
        count = evaluations(scale) - 1
        return torch.linalg.svdvals(gaps_of_loops(network, x, scale.step_size, count, seed))

    first = curves(algorithm_1, start, end)
    stalled = first["last"]
    kinds = {name: curves(kind, stalled, end) for name, kind in KINDS.items()}
    kinds[FREE] = curves(KINDS[RANDOM], stalled, end, projected=False)
    kinds[FROM_START] = curves(KINDS[RANDOM], start, end)
    kinds[TO_SHUFFLED] = curves(KINDS[RANDOM], start, shuffled)
    kinds = {FIRST: first} | kinds
    return {
        "kinds": kinds,
        "gaps": torch.stack([spectrum_of_gaps(x) for x in start[:GAPS].split(1)]),
        "lift": lifted(network, start, end),
        "frames": torch.stack([start, end], 1)[:EXAMPLES],
    }


def left(curves: Found) -> Tensor:  # (N,)
    """Return the least distance of every curve as a share of the distance at the start."""
    distance: Tensor = curves["distances"].amin(1) / curves["from"]
    return distance


def mean_left(one: Found, *names: str) -> float:
    """Return the mean remaining share of the best of the given kinds."""
    return min(float(left(one["kinds"][name]).mean()) for name in names)


def least(one: Found) -> float:
    """Return the least share of a step in D at its first point."""
    return min(
        float(curves["least"].min()) for name, curves in one["kinds"].items() if name != FREE
    )


def early(one: Found) -> float:
    """Return the mean remaining share after as many random directions as with finer steps."""
    full, finer = one["kinds"][RANDOM], one["kinds"][FINER]
    rounds = finer["distances"].shape[1] - 1
    return float((full["distances"][:, rounds] / full["from"]).mean())


def directions(one: Found) -> float:
    """Return how many singular values of the gaps exceed a hundredth of the largest one."""
    values = one["gaps"]
    return float((values > values[:, :1] / 100).sum(1).double().mean())


def claims(scale: Scale) -> list[Claim]:
    points = evaluations(scale)
    return [
        Claim(
            "All valid data lie on one leaf (sections 3 and 4): horizontal curves of another kind "
            "reach the images that Algorithm 1 misses.",
            "Algorithm 1 stalls at {stalled:.1%} of the distance. Curves that continue from there "
            f"and compute D at {points} points leave "
            "{random:.1%} (random directions), {annealing:.1%} (annealing) and {loops:.1%} "
            "(loops). The least horizontality of a step is {least:.4f}. Without the projection, "
            "{free:.1%} would remain.",
            {
                "stalled": lambda one: mean_left(one, FIRST),
                "random": lambda one: mean_left(one, RANDOM),
                "annealing": lambda one: mean_left(one, ANNEALING),
                "loops": lambda one: mean_left(one, LOOPS),
                "least": least,
                "free": lambda one: mean_left(one, FREE),
            },
            "less than 5 % of the distance remains for one of the kinds",
            lambda random, annealing, loops, **_: min(random, annealing, loops) < 0.05,
        ),
        Claim(
            "Where a path stalls, no horizontal curve leads closer to the destination, which is on "
            "another leaf (section 1).",
            "With the same number of points and the same length of steps, Algorithm 1 leaves "
            "{longer:.1%} of the distance, random directions {random:.1%}. After as many random "
            "directions, {early:.1%} is left with full steps and {finer:.1%} with steps of a "
            "quarter of the length.",
            {
                "longer": lambda one: mean_left(one, LONGER),
                "random": lambda one: mean_left(one, RANDOM),
                "early": early,
                "finer": lambda one: mean_left(one, FINER),
            },
            "random directions come closer than Algorithm 1 by at most 0.5 % of the distance",
            lambda longer, random, finer, **_: longer - min(random, finer) <= 0.005,
        ),
        Claim(
            "A leaf has the dimension of D, nine (section 3).",
            f"The last points of {points - 1} small loops from one image, in four steps a side, "
            "differ from it in {directions:.0f} directions.",
            {"directions": directions},
            "they differ in at most nine directions (singular values above 1 % of the largest)",
            lambda directions: directions <= 9,
        ),
        Claim(
            "Horizontal curves lead to valid images, not to noise (sections 1 and 4.3).",
            "From the start, random directions leave {data:.1%} of the distance to test images and "
            "{shuffled:.1%} of the distance to the same images with shuffled pixels. Algorithm 1 "
            "leaves {stalled:.1%} to test images.",
            {
                "data": lambda one: mean_left(one, FROM_START),
                "shuffled": lambda one: mean_left(one, TO_SHUFFLED),
                "stalled": lambda one: mean_left(one, FIRST),
            },
            "less than 5 % remains to test images, and more than half to shuffled ones; in part if "
            "at most half as much remains to test images",
            lambda data, shuffled, **_: data < 0.05 and shuffled > 0.5,
            lambda data, shuffled, **_: data <= shuffled / 2,
        ),
        Claim(
            "Moving along a leaf one obtains every prediction of the data (sections 3 and 4.2).",
            "{reached:.0%} of the lifts of the straight line reach the prediction of the "
            "destination, and {label:.0%} end with its label. Their horizontality is "
            "{horizontality:.4f}.",
            {
                "reached": lambda one: one["lift"]["reached"].mean(),
                "label": lambda one: one["lift"]["same_label"].mean(),
                "horizontality": lambda one: one["lift"]["horizontality"].mean(),
            },
            "at least 95 % reach it; in part if at least half do",
            lambda reached, **_: reached >= 0.95,
            lambda reached, **_: reached >= 0.5,
        ),
        Claim(
            "A horizontal path with the predictions of the interpolation is similar to the "
            "interpolation (section 4.3, appendix C).",
            "The lift ends at {left:.0%} of the distance from the destination, whose prediction "
            "it has. It has moved {along:.0%} of the distance along the straight line and "
            "{beside:.0%} beside it.",
            {
                "left": lambda one: one["lift"]["left"].mean(),
                "along": lambda one: one["lift"]["along"].mean(),
                "beside": lambda one: one["lift"]["beside"].mean(),
            },
            "less than 5 % of the distance remains",
            lambda left, **_: left < 0.05,
        ),
    ]


def tables(study: Study, found: list[Found]) -> list[Table]:
    rows = []
    for name in found[0]["kinds"]:
        curves = [one["kinds"][name] for one in found]
        shares = torch.cat([left(one) for one in curves])
        least = min(float(one["least"].min()) for one in curves)
        turned = float(torch.cat([one["turned"] for one in curves]).mean())
        free = name == FREE
        rows.append(
            (
                name,
                f"{curves[0]['evaluations']}",
                f"{float(shares.mean()):.1%}",
                f"{float(shares.min()):.1%}",
                "–" if free else f"{least:.4f}",
                "–" if free else f"{turned:.3f}",
            )
        )
    columns = (
        "curve",
        "points at which D is computed",
        "remaining share",
        "least of a pair",
        "least share of a step in D at its first point",
        "mean share at its last point",
    )
    return [
        Table("Curves that search for the destination", columns, tuple(rows)),
        lifts_table([one["lift"] for one in found]),
    ]


COLOURS = {LONGER: GREY, RANDOM: BLUE, FINER: "#7fb0dd", ANNEALING: ORANGE, LOOPS: GREEN}


def draw(study: Study, found: list[Found], figure: Figure) -> None:
    one = found[0]
    strips, curves = above(figure, 1.5)
    titles = ("start", FIRST, *SEARCHES, "lift of the line", "destination")
    grid = strips.subplots(EXAMPLES, len(titles), squeeze=False)
    ends = [one["kinds"][name]["last"] for name in (FIRST, *SEARCHES)]
    for row, frames, *last in zip(grid, one["frames"], *ends, one["lift"]["last"], strict=False):
        images = [frames[0], *last, frames[1]]
        strip(row, torch.stack(images), study.images.normalization)
    for panel, title in zip(grid[0], titles, strict=True):
        panel.set_title(title, fontsize=7)
    progress, shares = curves.subplots(1, 2, width_ratios=[1, 1.5])
    for name, colour in COLOURS.items():
        found_by = one["kinds"][name]
        mean = (found_by["distances"] / found_by["from"].unsqueeze(1)).mean(0)
        places = torch.linspace(1, found_by["evaluations"], len(mean))
        progress.plot(places, mean, color=colour, label=name)
    progress.set(title="Remaining share (mean)", xlabel="points at which D is computed")
    progress.legend()
    groups = {name: left(curve) for name, curve in one["kinds"].items()}
    dots(shares, groups | {"lift of the line": one["lift"]["left"]}, RED)
    shares.set(title="Remaining share", ylim=(0, None))


def points(scale: Scale) -> int:
    curves = len(KINDS) + 3  # and from the start
    return scale.pairs * (curves * evaluations(scale) + 4 * PLACES)


EXPERIMENT = Experiment(
    "curves", "other horizontal curves, and lifts of predictions", measure, draw, claims, points,
    size=(11, 8), tables=tables,
)  # fmt: skip
