"""The parts of an experiment: measurements, figure, tables and the paper's claims."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from examples.paper.scale import Scale
    from examples.paper.study import Study

Found = dict[str, Any]
"""Measurements of one seed: tensors, numbers, strings and containers of them."""
Numbers = dict[str, tuple[float, ...]]
"""Named numbers of a claim, one for each seed."""
Verdict = Literal["agrees", "partly", "disagrees", "not judged"]


class Spread(tuple[float, ...]):
    """One number per seed; formatted as the mean ± the standard deviation over seeds."""

    def __format__(self, spec: str) -> str:
        mean = sum(self) / len(self)
        if len(self) == 1:
            return format(mean, spec)
        deviation = sqrt(sum((value - mean) ** 2 for value in self) / (len(self) - 1))
        return f"{mean:{spec}} ± {deviation:{spec}}"


@dataclass(frozen=True)
class Claim:
    """A claim of the paper, the numbers measured for it and the rule for agreement.

    Attributes:
        paper: The claim and its place in the paper.
        result: Format string of the result, with the names of ``values``.
        values: The number of one seed, by name.
        rule: The condition for agreement, in words; empty if the claim is not judged.
        agrees: The rule as a function of the numbers of one seed; it must hold for every seed.
            None if the claim is not judged.
        partly: A weaker rule for partial agreement.
    """

    paper: str
    result: str
    values: Mapping[str, Callable[[Found], Any]]
    rule: str = ""
    agrees: Callable[..., bool] | None = None
    partly: Callable[..., bool] | None = None

    def numbers(self, found: list[Found]) -> Numbers:
        """Compute the numbers of all seeds."""
        return {
            name: tuple(float(value(one)) for one in found) for name, value in self.values.items()
        }

    def sentence(self, numbers: Numbers) -> str:
        """Format the result."""
        return self.result.format(**{name: Spread(row) for name, row in numbers.items()})

    def verdict(self, numbers: Numbers) -> Verdict:
        """Apply the rules to the numbers of every seed."""
        if self.agrees is None:
            return "not judged"
        rows = zip(*numbers.values(), strict=True)
        seeds = [dict(zip(numbers, row, strict=True)) for row in rows]
        if all(self.agrees(**seed) for seed in seeds):
            return "agrees"
        if self.partly is not None and all(self.partly(**seed) for seed in seeds):
            return "partly"
        return "disagrees"


@dataclass(frozen=True)
class Table:
    """Rows of text for the report."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Experiment:
    """One experiment.

    Attributes:
        name: Name on the command line.
        title: Summary in one line.
        measure: Measure with one seed.
        draw: Draw the measurements of all seeds on an empty figure.
        claims: The paper's claims at a scale.
        points: Cost of one seed: number of images at which the gradients of all classes are
            computed.
        size: Width and height of the figure, in inches.
        tables: The measurements of all seeds as text.
    """

    name: str
    title: str
    measure: Callable[[Study, int], Found]
    draw: Callable[[Study, list[Found], Figure], None]
    claims: Callable[[Scale], list[Claim]]
    points: Callable[[Scale], int]
    size: tuple[float, float] = (10, 3.6)
    tables: Callable[[Study, list[Found]], list[Table]] = field(default=lambda study, found: [])
