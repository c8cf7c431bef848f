"""What an experiment is: measured for each seed, drawn, and held against the paper's words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from examples.paper.scale import Scale
    from examples.paper.study import Study

Found = dict[str, Any]
"""What was measured with one seed: tensors, numbers, texts and containers of them."""
Verdict = Literal["agrees", "partly", "disagrees", "not stated"]


class Spread(tuple[float, ...]):
    """One number for each seed; formats as their mean, with the standard deviation of several."""

    def __format__(self, spec: str) -> str:
        mean = sum(self) / len(self)
        if len(self) == 1:
            return format(mean, spec)
        deviation = sqrt(sum((value - mean) ** 2 for value in self) / (len(self) - 1))
        return f"{mean:{spec}} ± {deviation:{spec}}"


@dataclass(frozen=True)
class Claim:
    """A statement of the paper, and what was measured.

    Attributes:
        paper: What the paper says, and where.
        measured: What was found, in a sentence with numbers.
        verdict: Whether that agrees, by the rule.
        rule: When it does.
        values: The numbers of the sentence, one for each seed.
    """

    paper: str
    measured: str
    verdict: Verdict
    rule: str
    values: dict[str, tuple[float, ...]]


def claim(
    paper: str,
    sentence: str,
    rule: str,
    agrees: Callable[..., bool] | None,
    partly: Callable[..., bool] | None = None,
    **values: Sequence[float],
) -> Claim:
    """Hold numbers against a statement.

    Args:
        paper: The statement.
        sentence: A format string of what was measured, by the names of ``values``.
        rule: When the two agree, in words.
        agrees: The rule, of the numbers of one seed: it has to hold for all of them. None where
            the paper says nothing.
        partly: A weaker rule.
        values: Numbers, one for each seed.
    """
    names = list(values)
    seeds = [dict(zip(names, row, strict=True)) for row in zip(*values.values(), strict=True)]
    verdict: Verdict = "disagrees"
    if agrees is None:
        verdict = "not stated"
    elif all(agrees(**seed) for seed in seeds):
        verdict = "agrees"
    elif partly is not None and all(partly(**seed) for seed in seeds):
        verdict = "partly"
    spreads = {name: Spread(map(float, numbers)) for name, numbers in values.items()}
    plain = {name: tuple(numbers) for name, numbers in spreads.items()}
    return Claim(paper, sentence.format(**spreads), verdict, rule, plain)


@dataclass(frozen=True)
class Table:
    """Rows of text to print below a figure."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Experiment:
    """One experiment.

    Attributes:
        name: What the command calls it.
        title: What it shows, in one line.
        measure: With one seed.
        draw: On an empty figure, what all seeds gave.
        claims: The paper's statements against what all seeds gave.
        points: Images at which gradients of all classes are taken, of one seed: what it costs.
        size: Width and height of the figure, in inches.
        tables: What all seeds gave, as text.
    """

    name: str
    title: str
    measure: Callable[[Study, int], Found]
    draw: Callable[[Study, list[Found], Figure], None]
    claims: Callable[[Study, list[Found]], list[Claim]]
    points: Callable[[Scale], int]
    size: tuple[float, float] = (10, 3.6)
    tables: Callable[[Study, list[Found]], list[Table]] = field(default=lambda study, found: [])


def each(found: list[Found], value: Callable[[Found], Any]) -> list[float]:
    """One number of every seed."""
    return [float(value(one)) for one in found]
