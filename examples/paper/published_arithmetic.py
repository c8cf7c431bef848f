"""The published arithmetic and exact projections.

The published code projects by least squares on the columns ∇log p_i, scaled to unit length. Its
solver assumes that the columns are independent. They are not: one linear combination of them is
zero up to rounding. The solver divides by that rounding error and therefore projects on one
additional direction, which rounding determines anew at every step. Even a random direction leads a
little closer to any destination, also where no direction of D does.

The same paths are walked with exact projections, with the published arithmetic, and with exact
projections plus a random direction drawn at every step. The last one is the control: it has the
additional direction by construction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from examples.paper.experiment import Claim, Experiment, Found, Table
from examples.paper.figures import BLUE, GREEN, GREY, ORANGE, band
from examples.paper.published import (
    Project,
    descend,
    exact_projection,
    published_projection,
    with_random_direction,
)
from examples.paper.scale import Scale
from examples.paper.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXACT, PUBLISHED, RANDOM = "exact", "as published", "exact + a random direction"
COLOURS = {EXACT: BLUE, PUBLISHED: ORANGE, RANDOM: GREEN}


def measure(study: Study, seed: int) -> Found:
    scale, network = study.scale, study.network(seed)
    start, end = study.pairs(seed, scale.published_pairs)
    rules: dict[str, Project] = {
        EXACT: exact_projection,
        PUBLISHED: published_projection,
        RANDOM: with_random_direction(seed),
    }
    found: Found = {}
    for name, project in rules.items():
        path = descend(
            network,
            start,
            end,
            project,
            step_size=scale.step_size,
            threshold=scale.threshold,
            steps=scale.path_steps,
            every=-(-scale.path_steps // 100),
            title=name,
        )
        found[name] = {
            "distance": path.distance,
            "horizontality": path.horizontality,
            "gain": path.gain,
        }
        found["step"] = path.step
    found["threshold"] = scale.threshold
    return found


def left(one: Found, rule: str) -> float:
    """Return the mean share of the distance that remains at the end."""
    distance = one[rule]["distance"]
    return float((distance[:, -1] / distance[:, 0]).mean())


def late_gain(one: Found, rule: str) -> float:
    """Return the decrease of the distance in the second half, relative to the start."""
    distance = one[rule]["distance"]
    half = distance.shape[1] // 2
    return float(((distance[:, half] - distance[:, -1]) / distance[:, 0]).mean())


def late_horizontality(one: Found, rule: str) -> float:
    """Return the median share of a step in the exact tangent distribution, in the second half."""
    shares = one[rule]["horizontality"]
    return float(shares[:, shares.shape[1] // 2 :].nanmedian())


def late_gain_outside(one: Found, rule: str) -> float:
    """Return the share of the gain of the second half that is due to the parts outside D."""
    gain = one[rule]["gain"]
    inside, outside = gain[:, :, gain.shape[2] // 2 :].sum((0, 2)).tolist()
    return float(outside / (inside + outside))


def claims(scale: Scale) -> list[Claim]:
    return [
        Claim(
            "Algorithm 1 finds paths that are tangent to the distribution D (section 4.3).",
            "In the second half of the path, the share of a step in D is {published:.0%} with the "
            "published arithmetic and {exact:.1%} with exact projections (medians). The parts of "
            "the published steps outside D account for {outside:.0%} of their progress towards "
            "the destination.",
            {
                "published": lambda one: late_horizontality(one, PUBLISHED),
                "exact": lambda one: late_horizontality(one, EXACT),
                "outside": lambda one: late_gain_outside(one, PUBLISHED),
            },
            "at least 99 % of a published step lies in D",
            lambda published, **_: published >= 0.99,
        ),
        Claim(
            "The progress of the published paths is tangent to the leaf (section 4.3, Fig. 4).",
            "After the last step {exact:.0%} of the distance remains with exact projections, "
            "{published:.0%} with the published arithmetic and {random:.0%} with exact projections "
            "and a random direction. The second half of the steps reduces the distance by "
            "{slow:.2%}, {creep:.2%} and {drift:.2%} of the initial distance.",
            {
                "exact": lambda one: left(one, EXACT),
                "published": lambda one: left(one, PUBLISHED),
                "random": lambda one: left(one, RANDOM),
                "slow": lambda one: late_gain(one, EXACT),
                "creep": lambda one: late_gain(one, PUBLISHED),
                "drift": lambda one: late_gain(one, RANDOM),
            },
            "exact projections come as close as the published arithmetic, within 2 %",
            lambda exact, published, **_: exact <= published + 0.02,
        ),
    ]


def tables(study: Study, found: list[Found]) -> list[Table]:
    one = found[0]
    steps = one["step"]
    places = [0, len(steps) // 10, len(steps) // 4, len(steps) // 2, len(steps) - 1]
    rows = []
    for name in COLOURS:
        share = one[name]["distance"] / one[name]["distance"][:, :1]
        reached = (one[name]["distance"][:, -1] <= one["threshold"]).double().mean()
        cells = [f"{float(share[:, place].mean()):.1%}" for place in places]
        horizontal = f"{float(one[name]['horizontality'].nanmean()):.4f}"
        rows.append((name, *cells, f"{float(reached):.0%}", horizontal))
    columns = (
        "projection",
        *(f"step {steps[place]:,}" for place in places),
        "reached",
        "horizontality",
    )
    return [Table("Share of the distance that remains (mean, first seed)", columns, tuple(rows))]


def draw(study: Study, found: list[Found], figure: Figure) -> None:
    one = found[0]
    distance, share = figure.subplots(1, 2)
    for name, colour in COLOURS.items():
        curves = one[name]["distance"] / one[name]["distance"][:, :1]
        band(distance, one["step"], curves, colour, name)
        shares = one[name]["horizontality"]
        # A path that has reached its destination takes no further steps.
        shares = torch.where(shares.isnan(), 1.0, shares)
        band(share, one["step"][1:], shares, colour, name)
    distance.axhline(0, color=GREY, lw=0.6)
    distance.set(title="Share of the distance that remains", xlabel="step", ylim=(0, 1.02))
    share.set(title="Share of a step in the exact D", xlabel="step", ylim=(0, 1.02))
    distance.legend()
    share.legend()


def points(scale: Scale) -> int:
    return 5 * scale.published_pairs * scale.path_steps


EXPERIMENT = Experiment(
    "published",
    "exact projections and the published arithmetic",
    measure,
    draw,
    claims,
    points,
    tables=tables,
)
