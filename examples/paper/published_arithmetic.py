"""Why published paths come nearer: they move in one direction more, made of rounding noise.

The published code projects by least squares on the columns ∇log p_i, scaled to unit length, with a
solver that takes them for independent. They are not: one combination of them is zero but for
rounding, the solver divides by it, and so projects on one direction more, which rounding chooses
anew at every step. Even a random direction leads a little closer to anything, and where D leads no
further it goes on leading. Exact projections with a direction drawn at random at every step are
the control that does so by intention.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from examples.paper.experiment import Claim, Experiment, Found, Table, claim, each
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
            every=max(1, scale.path_steps // 100),
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
    """Share of the distance that is left at the end, on average."""
    distance = one[rule]["distance"]
    return float((distance[:, -1] / distance[:, 0]).mean())


def late_gain(one: Found, rule: str) -> float:
    """How much closer the second half of the steps led, of the distance at the start."""
    distance = one[rule]["distance"]
    half = distance.shape[1] // 2
    return float(((distance[:, half] - distance[:, -1]) / distance[:, 0]).mean())


def late_horizontality(one: Found, rule: str) -> float:
    """Share of a step in the exact tangent distribution, in the second half of the steps."""
    shares = one[rule]["horizontality"]
    return float(shares[:, shares.shape[1] // 2 :].nanmedian())


def late_gain_outside(one: Found, rule: str) -> float:
    """Of what the second half of the steps gains, how much is due to their parts outside of D."""
    gain = one[rule]["gain"]
    inside, outside = gain[:, :, gain.shape[2] // 2 :].sum((0, 2)).tolist()
    return float(outside / (inside + outside))


def claims(study: Study, found: list[Found]) -> list[Claim]:
    return [
        claim(
            "Algorithm 1 finds paths that are tangent to the distribution D (section 4.3).",
            "In the second half of its steps, {published:.0%} of a step of the published "
            "arithmetic lies in D; of an exact projection {exact:.1%} (medians). Of what these "
            "published steps gain on their destination, {outside:.0%} is due to the rest of them.",
            "99 % of a step lie in D",
            lambda published, **_: published >= 0.99,
            published=each(found, lambda one: late_horizontality(one, PUBLISHED)),
            exact=each(found, lambda one: late_horizontality(one, EXACT)),
            outside=each(found, lambda one: late_gain_outside(one, PUBLISHED)),
        ),
        claim(
            "What brings the published paths closer is tangent to the leaf (section 4.3, Fig. 4).",
            "After the last step {exact:.0%} of the distance is left with exact projections, "
            "{published:.0%} with the published arithmetic, {random:.0%} with exact projections "
            "and a random direction. The second half of the steps leads closer by {slow:.2%}, "
            "{creep:.2%} and {drift:.2%} of the distance.",
            "exact projections come as close as the published arithmetic, within 2 %",
            lambda exact, published, **_: exact <= published + 0.02,
            exact=each(found, lambda one: left(one, EXACT)),
            published=each(found, lambda one: left(one, PUBLISHED)),
            random=each(found, lambda one: left(one, RANDOM)),
            slow=each(found, lambda one: late_gain(one, EXACT)),
            creep=each(found, lambda one: late_gain(one, PUBLISHED)),
            drift=each(found, lambda one: late_gain(one, RANDOM)),
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
    return [Table("Distance left, of that at the start (mean, first seed)", columns, tuple(rows))]


def draw(study: Study, found: list[Found], figure: Figure) -> None:
    one = found[0]
    distance, share = figure.subplots(1, 2)
    for name, colour in COLOURS.items():
        curves = one[name]["distance"] / one[name]["distance"][:, :1]
        band(distance, one["step"], curves, colour, name)
        shares = one[name]["horizontality"]
        # A path that has arrived takes no steps.
        shares = torch.where(shares.isnan(), 1.0, shares)
        band(share, one["step"][1:], shares, colour, name)
    distance.axhline(0, color=GREY, lw=0.6)
    distance.set(title="Distance left, of that at the start", xlabel="step", ylim=(0, 1.02))
    share.set(title="Share of a step in the exact D", xlabel="step", ylim=(0, 1.02))
    distance.legend()
    share.legend()


def points(scale: Scale) -> int:
    return 5 * scale.published_pairs * scale.path_steps


EXPERIMENT = Experiment(
    "published",
    "exact projections against the published arithmetic",
    measure,
    draw,
    claims,
    points,
    tables=tables,
)
