"""Figure 6: horizontal paths from noisy images to valid images.

An orthogonal walk within valid pixel values adds noise to the start. Paths from the noisy and from
the clean start lead to the same destination; the clean start is the control. If paths from clean
starts do not arrive either, the failure of the noisy ones is not due to the noise. The experiment
therefore also measures what happens to the noise. If the path preserves it, the remaining
displacement consists of the noise and of the displacement that remains from the clean start. These
two parts are then orthogonal, and their squared lengths add up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from examples.paper.experiment import Claim, Experiment, Found
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

    paths = horizontal_path(
        network,
        torch.cat([noisy, start]),
        torch.cat([end, end]),
        step_size=scale.step_size,
        threshold=scale.threshold,
        max_steps=scale.noisy_steps,
    )
    from_noisy, from_clean = paths[: len(noisy)], paths[len(noisy) :]
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
        # The difference removes the part that also remains from the clean start.
        "alike_less_clean": torch.cosine_similarity(
            noise.flatten(1), (last - _last(from_clean)).flatten(1)
        ),
        "frames": torch.stack([start, noisy, last, _last(from_clean), end], 1)[:EXAMPLES],
    }


def noisy_images(study: Study, seed: int, x: Tensor) -> Tensor:
    """Add noise to images by an orthogonal walk within valid pixel values."""
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
    """Return the remaining distance over √(noise² + (remaining distance of the clean pair)²)."""
    expected = (one["noise"].square() + one["left_clean"].square()).sqrt()
    return float((one["left"] / expected).mean())


def claims(scale: Scale) -> list[Claim]:
    return [
        Claim(
            "It is impossible to link a noisy image with a valid one by a horizontal path "
            "(section 4.3, Fig. 6).",
            "{reached:.0%} of the paths from noisy images reach their destination, and {left:.0%} "
            "of the distance remains. Without noise, {control:.0%} of the paths between the same "
            "images reach it, and {clean:.0%} of the distance remains.",
            {
                "reached": lambda one: one["reached"].mean(),
                "control": lambda one: one["clean_reached"].mean(),
                "left": lambda one: (one["left"] / one["from"]).mean(),
                "clean": lambda one: (one["left_clean"] / one["from_clean"]).mean(),
            },
            "no path from a noisy image reaches its destination, and at least 95 % do without "
            "noise; in part if none from a noisy image does",
            lambda reached, control, **_: reached == 0 and control >= 0.95,
            lambda reached, **_: reached == 0,
        ),
        Claim(
            "The noise is preserved along the path: the final point is a noisy version of the "
            "destination (section 4.3, Fig. 6).",
            "The difference of the end points from noisy and clean starts has cosine "
            "{difference:.2f} with the added noise. The remaining displacement has cosine "
            "{cosine:.2f} with it. The remaining distance is {ratio:.2f} times "
            "√(noise² + r²), where r is the remaining distance of the clean pair.",
            {
                "difference": lambda one: one["alike_less_clean"].mean(),
                "cosine": lambda one: one["alike"].mean(),
                "ratio": pythagoras,
            },
            "the cosine of the difference is above 0.8 and the ratio is within 10 % of one; in "
            "part if the cosine is above 0.5",
            lambda difference, ratio, **_: difference > 0.8 and abs(ratio - 1) < 0.1,
            lambda difference, **_: difference > 0.5,
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
    left.set(
        xlabel="√(noise² + remainder of the clean pair²)", title="Remaining distance, noisy start"
    )
    groups = {"all that is left": one["alike"], "less the clean end": one["alike_less_clean"]}
    dots(alike, groups, ORANGE)
    alike.set(title="Cosine with the added noise", ylim=(-0.1, 1.02))


def points(scale: Scale) -> int:
    return scale.pairs * (2 * min(scale.noisy_steps, 500) + scale.noise_steps)


EXPERIMENT = Experiment(
    "fig6", "horizontal paths from noisy images", measure, draw, claims, points, size=(10, 4)
)
