"""Figure 6: no horizontal path leads from a noisy image to a valid one.

Images become noisy by an orthogonal walk among valid pixels. The same pairs without noise are the
control: where they do not arrive either, it says nothing about noise that the noisy ones do not.
What can be said is what becomes of the noise: whether what is left is made of it and of what clean
pairs leave, at right angles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from examples.paper.experiment import Claim, Experiment, Found, claim, each
from examples.paper.figures import BLUE, GREY, ORANGE, dots, strip
from examples.paper.scale import Scale
from examples.paper.study import Study
from examples.paper.walked import EXAMPLES, norm
from lightning_leaf import LeafPath, horizontal_path, orthogonal_walk

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def measure(study: Study, seed: int) -> Found:
    scale, network = study.scale, study.network(seed)
    start, end = study.pairs(seed, scale.pairs)
    noisy = noisy_images(study, seed, start)

    def paths(source: Tensor) -> LeafPath:
        return horizontal_path(
            network,
            source,
            end,
            step_size=scale.step_size,
            threshold=scale.threshold,
            max_steps=scale.noisy_steps,
        )

    from_noisy, from_clean = paths(noisy), paths(start)
    last = _last(from_noisy)
    noise, rest = noisy - start, last - end
    return {
        "noise": norm(noise),
        "from": from_noisy.distance[:, 0],
        "left": from_noisy.distance[:, -1],
        "left_clean": from_clean.distance[:, -1],
        "from_clean": from_clean.distance[:, 0],
        "reached": reached(from_noisy),
        "clean_reached": reached(from_clean),
        "alike": torch.cosine_similarity(noise.flatten(1), rest.flatten(1)),
        # Without the part that clean paths leave too, which has nothing to do with the noise.
        "alike_less_clean": torch.cosine_similarity(
            noise.flatten(1), (last - _last(from_clean)).flatten(1)
        ),
        "frames": torch.stack([start, noisy, last, _last(from_clean), end], 1)[:EXAMPLES],
    }


def noisy_images(study: Study, seed: int, x: Tensor) -> Tensor:
    """The images after an orthogonal walk among valid pixels."""
    walks = orthogonal_walk(
        study.network(seed),
        x,
        step_size=study.scale.step_size,
        max_steps=study.scale.noise_steps,
        normalize=study.images.normalization,
        seed=seed,
    )
    return _last(walks)


def reached(paths: LeafPath) -> Tensor:  # (N,)
    return torch.tensor([float(path.status == "reached") for path in paths])


def _last(paths: LeafPath) -> Tensor:  # (N, ...)
    return torch.stack([path.points[-1] for path in paths])


def pythagoras(one: Found) -> float:
    """What is left over √(noise² + what a clean start leaves²)."""
    expected = (one["noise"].square() + one["left_clean"].square()).sqrt()
    return float((one["left"] / expected).mean())


def claims(study: Study, found: list[Found]) -> list[Claim]:
    return [
        claim(
            "It is impossible to link a noisy image with a valid one by a horizontal path "
            "(section 4.3, Fig. 6).",
            "{reached:.0%} of the paths from noisy images reach their destination; {left:.0%} of "
            "the distance is left. Of the same pairs without noise {control:.0%} do, and "
            "{clean:.0%} is left.",
            "none reaches it, and 95 % do without noise; partly, if none reaches it",
            lambda reached, control, **_: reached == 0 and control >= 0.95,
            lambda reached, **_: reached == 0,
            reached=each(found, lambda one: one["reached"].mean()),
            control=each(found, lambda one: one["clean_reached"].mean()),
            left=each(found, lambda one: (one["left"] / one["from"]).mean()),
            clean=each(found, lambda one: (one["left_clean"] / one["from_clean"]).mean()),
        ),
        claim(
            "The noise is preserved along the path: the final point is a noisy version of the "
            "destination (section 4.3, Fig. 6).",
            "Cosine between the noise put in and the difference of the end points from noisy and "
            "clean starts: {difference:.2f}; between it and all that is left: {cosine:.2f}. What "
            "is left is {ratio:.2f} of √(noise² + rest of the clean pair²).",
            "cosine of the difference above 0.8, and Pythagoras within 10 %; partly, if the cosine "
            "is above 0.5",
            lambda difference, ratio, **_: difference > 0.8 and abs(ratio - 1) < 0.1,
            lambda difference, **_: difference > 0.5,
            difference=each(found, lambda one: one["alike_less_clean"].mean()),
            cosine=each(found, lambda one: one["alike"].mean()),
            ratio=each(found, pythagoras),
        ),
    ]


def draw(study: Study, found: list[Found], figure: Figure) -> None:
    one = found[0]
    sides: Any = figure.subfigures(1, 2, width_ratios=[1, 1.2])
    strips, curves = sides
    grid = strips.subplots(EXAMPLES, 5, squeeze=False)
    titles = ("start", "noisy start", "end from noisy", "end from clean", "destination")
    for row, frames in zip(grid, one["frames"], strict=True):
        strip(row, frames, study.images.normalization)
    for panel, title in zip(grid[0], titles, strict=True):
        panel.set_title(title, fontsize=6.5)
    left, alike = curves.subplots(1, 2)
    expected = (one["noise"].square() + one["left_clean"].square()).sqrt()
    left.scatter(expected, one["left"], s=8, color=BLUE, alpha=0.6, linewidths=0)
    ends = [float(expected.min()), float(expected.max())]
    left.plot(ends, ends, color=GREY, lw=0.8, ls="--")
    left.set(xlabel="√(noise² + rest of the clean pair²)", title="Distance left from a noisy start")
    groups = {"all that is left": one["alike"], "less the clean end": one["alike_less_clean"]}
    dots(alike, groups, ORANGE)
    alike.set(title="Cosine with the noise put in", ylim=(-0.1, 1.02))


def points(scale: Scale) -> int:
    return scale.pairs * (2 * min(scale.noisy_steps, 500) + scale.noise_steps)


EXPERIMENT = Experiment(
    "fig6", "horizontal paths from noisy images", measure, draw, claims, points, size=(10, 4)
)
