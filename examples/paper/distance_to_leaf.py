"""The distance of destinations from the leaf.

Paths lead from test images to destinations of several kinds, at several steps of training, and for
several networks. When a path has stalled, the remaining displacement is split into its part in D
and its part orthogonal to D. Two controls have destinations that are on the leaf by construction:
the last point of a path, and the way back from it to the start. If these are not reached either, a
stalled path does not prove that its destination is off the leaf: Algorithm 1 descends the distance
and may stop at another local minimum. `curves` continues stalled paths by other horizontal curves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from examples.paper.experiment import Claim, Experiment, Found, Table
from examples.paper.figures import BLUE, GREY, ORANGE, dots
from examples.paper.networks import NETWORKS
from examples.paper.noisy_start import noisy_images
from examples.paper.scale import Scale
from examples.paper.study import Study
from examples.paper.walked import norm, parts_of_rest
from lightning_leaf import Normalization, horizontal_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLEAN, ON_IT, BACK = "test images", "on the leaf (control)", "back along the leaf (control)"
PAPER_NETWORK = "cnn"
NOISY, SHUFFLED, SMOOTH = "with orthogonal noise", "pixels shuffled", "smooth noise"


def measure(study: Study, seed: int) -> Found:
    scale, normalization = study.scale, study.images.normalization
    start, end = study.pairs(seed, scale.leaf_pairs)
    goals = destinations(study, seed, end)
    network = study.network(seed)
    kinds = to_all(study, network, start, goals)
    # The last point of a path is on the leaf of its start by construction.
    reachable = kinds[CLEAN]["last"]
    kinds[ON_IT] = far(study, network, start, reachable)
    kinds[BACK] = far(study, network, reachable, start)

    def clean_paths(step: int, kind: str) -> Found:
        if (step, kind) == (scale.paper_step, PAPER_NETWORK):
            return kinds[CLEAN]
        return far(study, study.network(seed, step, kind), start, end)

    return {
        "kinds": kinds,
        "clamped": to_all(study, network, start, goals, normalization),
        "steps": {f"{step:,}": clean_paths(step, PAPER_NETWORK) for step in scale.leaf_checkpoints},
        "networks": {kind: clean_paths(scale.paper_step, kind) for kind in NETWORKS},
        "size": start[0].numel(),
    }


def to_all(
    study: Study,
    network: nn.Module,
    start: Tensor,
    goals: dict[str, Tensor],
    normalization: Normalization | None = None,
) -> dict[str, Found]:
    """Walk from the same images to destinations of every kind, in one batch."""
    starts = start.repeat(len(goals), *[1] * (start.ndim - 1))
    found = far(study, network, starts, torch.cat([*goals.values()]), normalization)
    parts = {name: values.split(len(start)) for name, values in found.items()}
    return {goal: {name: part[i] for name, part in parts.items()} for i, goal in enumerate(goals)}


def destinations(study: Study, seed: int, clean: Tensor) -> dict[str, Tensor]:
    """Return destinations of every kind: test images, their noisy versions and others."""
    normalization = study.images.normalization
    generator = torch.Generator().manual_seed(seed)
    shuffled = with_shuffled_pixels(clean, generator)
    return {
        CLEAN: clean,
        NOISY: noisy_images(study, seed, clean),
        "mirrored": clean.flip(-1),
        "inverted": normalization.from_pixels(1 - normalization.to_pixels(clean)),
        SHUFFLED: shuffled,
        SMOOTH: smooth_noise(clean, normalization, generator),
    }


def with_shuffled_pixels(like: Tensor, generator: torch.Generator) -> Tensor:
    """Return the images with their pixels in another order, the same for all."""
    order = torch.randperm(like[0].numel(), generator=generator)
    return like.flatten(1)[:, order].reshape(like.shape)


def smooth_noise(like: Tensor, normalization: Normalization, generator: torch.Generator) -> Tensor:
    """Return blurred white noise with the grey values of the images."""
    noise = torch.randn(like.shape, generator=generator)
    width = max(3, like.shape[-1] // 4 // 2 * 2 + 1)
    blurred = torch.nn.functional.avg_pool2d(noise, width, 1, width // 2, count_include_pad=False)
    ranks = blurred.flatten(1).argsort(1).argsort(1)
    values = normalization.to_pixels(like).flatten(1).sort(1).values.gather(1, ranks)
    return normalization.from_pixels(values.reshape(like.shape))


def far(
    study: Study,
    network: nn.Module,
    start: Tensor,
    end: Tensor,
    normalization: Normalization | None = None,
) -> Found:
    """Walk paths; measure the remaining distance and its parts in D and orthogonal to D."""
    scale = study.scale
    paths = horizontal_path(
        network,
        start,
        end,
        step_size=scale.step_size,
        threshold=scale.threshold,
        max_steps=scale.path_steps,
        normalize=normalization,
    )
    last = torch.stack([path.points[-1] for path in paths])
    tangent, off = parts_of_rest(network, last, end)
    return {
        "last": last,
        "from": norm(end - start),
        "left": norm(end - last),
        "tangent": tangent,
        "off": off,
        "reached": torch.tensor([float(path.status == "reached") for path in paths]),
    }


def share(paths: Found) -> Tensor:  # (N,)
    """Return the remaining distance as a share of the distance at the start."""
    left: Tensor = paths["left"] / paths["from"]
    return left


def separation(clean: Found, other: Found) -> float:
    """Return how often the other destination is farther than a clean one (area under the ROC)."""
    return float((share(other)[:, None] > share(clean)[None]).double().mean())


def chance(one: Found) -> float:
    """Return the share that remains after a projection on nine fixed random directions."""
    return float((1 - 9 / one["size"]) ** 0.5)


def claims(scale: Scale) -> list[Claim]:
    return [
        Claim(
            "All valid data lie on one leaf, the data leaf (sections 3 and 4).",
            "{reached:.0%} of the paths between test images reach their destination. On average "
            "{left:.0%} of the distance remains, and {off:.1%} of its square is orthogonal to D. "
            "With nine fixed random directions instead of D, {chance:.0%} would remain.",
            {
                "reached": lambda one: one["kinds"][CLEAN]["reached"].mean(),
                "left": lambda one: share(one["kinds"][CLEAN]).mean(),
                "off": lambda one: (
                    (one["kinds"][CLEAN]["off"] / one["kinds"][CLEAN]["left"]).square().mean()
                ),
                "chance": chance,
            },
            "less than 5 % of the distance remains",
            lambda left, **_: left < 0.05,
        ),
        Claim(
            "Where a horizontal path exists, two images are on the same leaf; otherwise they are "
            "on different ones (section 1).",
            "The last point of a path is on the leaf of its start by construction. Algorithm 1 "
            "reaches {there:.0%} of these points from the start, and {back:.0%} of the starts from "
            "these points. {left:.1%} and {rest:.1%} of the distance remain.",
            {
                "there": lambda one: one["kinds"][ON_IT]["reached"].mean(),
                "back": lambda one: one["kinds"][BACK]["reached"].mean(),
                "left": lambda one: share(one["kinds"][ON_IT]).mean(),
                "rest": lambda one: share(one["kinds"][BACK]).mean(),
            },
            "at least 95 % of both are reached, so that a stalled path shows that its destination "
            "is off the leaf; in part if at least half are",
            lambda there, back, **_: min(there, back) >= 0.95,
            lambda there, back, **_: min(there, back) >= 0.5,
        ),
        Claim(
            "Leaves are characterized by the noise content; the distance from the data leaf could "
            "recognize out-of-distribution examples (sections 1 and 4).",
            "The remaining share of the distance is {clean:.0%} for test images, {noisy:.0%} for "
            "noisy ones, {mirrored:.0%} for mirrored ones, {shuffled:.0%} for shuffled ones and "
            "{smooth:.0%} for smooth noise. A noisy destination is farther than a clean one in "
            "{apart:.0%} of the comparisons, smooth noise in {ood:.0%}.",
            {
                "clean": lambda one: share(one["kinds"][CLEAN]).mean(),
                "noisy": lambda one: share(one["kinds"][NOISY]).mean(),
                "mirrored": lambda one: share(one["kinds"]["mirrored"]).mean(),
                "shuffled": lambda one: share(one["kinds"][SHUFFLED]).mean(),
                "smooth": lambda one: share(one["kinds"][SMOOTH]).mean(),
                "apart": lambda one: separation(one["kinds"][CLEAN], one["kinds"][NOISY]),
                "ood": lambda one: separation(one["kinds"][CLEAN], one["kinds"][SMOOTH]),
            },
            "the separation is at least 90 % for both; in part if at least 75 %",
            lambda apart, ood, **_: min(apart, ood) >= 0.9,
            lambda apart, ood, **_: min(apart, ood) >= 0.75,
        ),
    ]


TITLES = {
    "kinds": "Destination",
    "clamped": "Destination, points clamped to valid pixels",
    "steps": "Step of training",
    "networks": "Network",
}


def tables(study: Study, found: list[Found]) -> list[Table]:
    made = []
    for key, title in TITLES.items():
        rows = []
        for name in found[0][key]:
            paths = [one[key][name] for one in found]
            left = torch.cat([share(one) for one in paths])
            seeds = torch.stack([share(one).mean() for one in paths])
            between = f"{float(seeds.std()):.3f}" if len(seeds) > 1 else "–"
            middle = {
                part: float(torch.cat([one[part] for one in paths]).median())
                for part in ("left", "tangent", "off", "reached")
            }
            reached = float(torch.cat([one["reached"] for one in paths]).mean())
            cells = (f"{middle[part]:.2f}" for part in ("left", "off", "tangent"))
            rows.append((name, f"{reached:.0%}", f"{float(left.mean()):.1%}", between, *cells))
        columns = (
            title.lower(),
            "reached",
            "remaining share",
            "± over seeds",
            "remaining distance",
            "orthogonal to D",
            "in D",
        )
        made.append(Table(f"{title}: the remaining distance", columns, tuple(rows)))
    return made


def draw(study: Study, found: list[Found], figure: Figure) -> None:
    one = found[0]
    by_chance = chance(one)
    panels = figure.subplots(1, 3, width_ratios=[1.6, 1, 1])
    for panel, key in zip(panels, ("kinds", "steps", "networks"), strict=True):
        groups = {name: share(paths) for name, paths in one[key].items()}
        dots(panel, groups, BLUE if key == "kinds" else ORANGE)
        panel.axhline(by_chance, color=GREY, lw=0.8, ls="--")
        panel.set(title=f"{TITLES[key]}: remaining share", ylim=(0, 1.05))


def points(scale: Scale) -> int:
    kinds = 14 + len(scale.leaf_checkpoints) + len(NETWORKS) - 2  # two of them are walked above
    return scale.leaf_pairs * min(scale.path_steps, 500) * kinds


EXPERIMENT = Experiment(
    "leaf", "the distance of destinations from the leaf", measure, draw, claims, points,
    size=(12, 4), tables=tables,
)  # fmt: skip
