"""Is the destination on the leaf, and how far off is it?

What is left of the distance when a path has stalled, split into what lies in D, which is left
undone, and what is orthogonal to it: for destinations of several kinds, along training, for other
networks. Two controls have destinations that are on the leaf for certain: where a path has led
before, and the way back. That these are not reached either tells that a stalled path does not
prove its destination to be off the leaf: Algorithm 1 walks downhill, and may come to rest
elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from examples.paper.experiment import Claim, Experiment, Found, Table, claim, each
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
NOISY, SHUFFLED, SMOOTH = "with orthogonal noise", "pixels shuffled", "smooth noise"


def measure(study: Study, seed: int) -> Found:
    scale, normalization = study.scale, study.images.normalization
    start, end = study.pairs(seed, scale.leaf_pairs)
    goals = destinations(study, seed, end)
    network = study.network(seed)
    kinds = {name: far(study, network, start, goal) for name, goal in goals.items()}
    # Where a path has led is on the leaf for certain: whether Algorithm 1 finds the way there.
    reachable = kinds[CLEAN]["last"]
    kinds[ON_IT] = far(study, network, start, reachable)
    kinds[BACK] = far(study, network, reachable, start)
    return {
        "kinds": kinds,
        "clamped": {
            name: far(study, network, start, goal, normalization) for name, goal in goals.items()
        },
        "steps": {
            f"{step:,}": far(study, study.network(seed, step), start, end)
            for step in scale.leaf_checkpoints
        },
        "networks": {
            kind: far(study, study.network(seed, scale.paper_step, kind), start, end)
            for kind in NETWORKS
        },
        "size": start[0].numel(),
    }


def destinations(study: Study, seed: int, clean: Tensor) -> dict[str, Tensor]:
    """Images to walk to: as they are, with noise that the model does not see, and others."""
    normalization = study.images.normalization
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(clean[0].numel(), generator=generator)
    return {
        CLEAN: clean,
        NOISY: noisy_images(study, seed, clean),
        "mirrored": clean.flip(-1),
        "inverted": normalization.from_pixels(1 - normalization.to_pixels(clean)),
        SHUFFLED: clean.flatten(1)[:, order].reshape(clean.shape),
        SMOOTH: smooth_noise(clean, normalization, generator),
    }


def smooth_noise(like: Tensor, normalization: Normalization, generator: torch.Generator) -> Tensor:
    """Blurred white noise with the grey values of the images: shapes without a meaning."""
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
    """How far off stalled paths end, and which parts of it are in the leaf and orthogonal to it."""
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


def share(told: Found) -> Tensor:  # (N,)
    """Of the distance at the start, how much is left."""
    left: Tensor = told["left"] / told["from"]
    return left


def told_apart(told: Found, other: Found) -> float:
    """How often the other destination is further off than a clean one (area under the ROC)."""
    return float((share(other)[:, None] > share(told)[None]).double().mean())


def claims(study: Study, found: list[Found]) -> list[Claim]:
    by_chance = (1 - 9 / found[0]["size"]) ** 0.5
    return [
        claim(
            "All valid data lie on one leaf, the data leaf (sections 3 and 4).",
            "{reached:.0%} of paths between test images arrive; the rest end {left:.0%} of the "
            "distance off, {off:.1%} of which (squared) is orthogonal to the leaf. Of nine random "
            f"directions that did not turn, {by_chance:.0%} would be left.",
            "less than a twentieth of the distance is left",
            lambda reached, left, off: left < 0.05,
            reached=each(found, lambda one: one["kinds"][CLEAN]["reached"].mean()),
            left=each(found, lambda one: share(one["kinds"][CLEAN]).mean()),
            off=each(
                found,
                lambda one: (
                    (one["kinds"][CLEAN]["off"] / one["kinds"][CLEAN]["left"]).square().mean()
                ),
            ),
        ),
        claim(
            "Where a horizontal path exists, two images are on the same leaf; otherwise they are "
            "on different ones (section 1).",
            "Of points that are on the leaf for certain, because a path has led there, Algorithm 1 "
            "reaches {there:.0%} from where that path began, and from there {back:.0%} of the "
            "beginnings; {left:.1%} and {rest:.1%} of the distance are left.",
            "95 % of both: then a path that stalls tells that the destination is off the leaf; "
            "partly, if half of them",
            lambda there, back, **_: min(there, back) >= 0.95,
            lambda there, back, **_: min(there, back) >= 0.5,
            there=each(found, lambda one: one["kinds"][ON_IT]["reached"].mean()),
            back=each(found, lambda one: one["kinds"][BACK]["reached"].mean()),
            left=each(found, lambda one: share(one["kinds"][ON_IT]).mean()),
            rest=each(found, lambda one: share(one["kinds"][BACK]).mean()),
        ),
        claim(
            "Leaves are characterized by the noise content; the distance from the data leaf could "
            "recognize out-of-distribution examples (sections 1 and 4).",
            "Of the distance is left, to test images {clean:.0%}, to noisy ones {noisy:.0%}, "
            "mirrored {mirrored:.0%}, shuffled {shuffled:.0%}, smooth noise {smooth:.0%}. A noisy "
            "destination is further off than a clean one in {apart:.0%} of comparisons, smooth "
            "noise in {ood:.0%}.",
            "90 % of the comparisons with both; partly, if 75 %",
            lambda apart, ood, **_: min(apart, ood) >= 0.9,
            lambda apart, ood, **_: min(apart, ood) >= 0.75,
            clean=each(found, lambda one: share(one["kinds"][CLEAN]).mean()),
            noisy=each(found, lambda one: share(one["kinds"][NOISY]).mean()),
            mirrored=each(found, lambda one: share(one["kinds"]["mirrored"]).mean()),
            shuffled=each(found, lambda one: share(one["kinds"][SHUFFLED]).mean()),
            smooth=each(found, lambda one: share(one["kinds"][SMOOTH]).mean()),
            apart=each(
                found,
                lambda one: told_apart(one["kinds"][CLEAN], one["kinds"][NOISY]),
            ),
            ood=each(found, lambda one: told_apart(one["kinds"][CLEAN], one["kinds"][SMOOTH])),
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
            told = [one[key][name] for one in found]
            left = torch.cat([share(one) for one in told])
            seeds = torch.stack([share(one).mean() for one in told])
            between = f"{float(seeds.std()):.3f}" if len(seeds) > 1 else "–"
            middle = {
                part: float(torch.cat([one[part] for one in told]).median())
                for part in ("left", "tangent", "off", "reached")
            }
            reached = float(torch.cat([one["reached"] for one in told]).mean())
            cells = (f"{middle[part]:.2f}" for part in ("left", "off", "tangent"))
            rows.append((name, f"{reached:.0%}", f"{float(left.mean()):.1%}", between, *cells))
        columns = (
            title.lower(),
            "reached",
            "share left",
            "± over seeds",
            "left",
            "orthogonal to D",
            "in D",
        )
        made.append(Table(f"{title}: what is left of the distance", columns, tuple(rows)))
    return made


def draw(study: Study, found: list[Found], figure: Figure) -> None:
    one = found[0]
    by_chance = (1 - 9 / one["size"]) ** 0.5
    panels = figure.subplots(1, 3, width_ratios=[1.6, 1, 1])
    for panel, key in zip(panels, ("kinds", "steps", "networks"), strict=True):
        groups = {name: share(told) for name, told in one[key].items()}
        dots(panel, groups, BLUE if key == "kinds" else ORANGE)
        panel.axhline(by_chance, color=GREY, lw=0.8, ls="--")
        panel.set(title=f"{TITLES[key]}: share of the distance left", ylim=(0, 1.05))


def points(scale: Scale) -> int:
    kinds = 14 + len(scale.leaf_checkpoints) + len(NETWORKS)
    return scale.leaf_pairs * min(scale.path_steps, 500) * kinds


EXPERIMENT = Experiment(
    "leaf", "how far off the leaf destinations are", measure, draw, claims, points,
    size=(12, 4), tables=tables,
)  # fmt: skip
