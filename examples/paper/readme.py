"""The report: a table of the paper's claims, then a section for every experiment."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from inspect import getdoc
from pathlib import Path
from statistics import mode
from typing import Any

from examples.paper.experiment import Claim, Numbers
from examples.paper.registry import EXPERIMENTS
from examples.paper.scale import Scale

MARKS = {"agrees": "agrees", "partly": "in part", "disagrees": "**no**", "not judged": "–"}
OPENING = """# Reproduction of the paper, figure by figure

Every experiment of Grementieri & Fioresi, "Model-centric data manifold: the data through the eyes
of the model", is repeated here with lightning-leaf, and each claim of the paper is compared with
measurements. `python -m examples.paper readme` generates this page from the results of

{commands}

The data are {data}; all runs used a CPU and PyTorch {torch}.
± is the standard deviation over seeds.{warning}

The experiments differ from the paper in these points:

- The network is trained without the dropout of PyTorch's MNIST example.
- Projections are exact. `published` compares them with the published arithmetic.
- A step is never longer than the projected displacement, so it cannot overshoot the closest point
  of the tangent plane.
- A path that makes no progress for 100 steps ends with the status *stalled*.
- `kl`, `theorem` and `regions` check derivatives in float64. They use test images with added noise
  of standard deviation 0.1, because a background of constant grey produces ties in max-pooling.
  They also report the result at the unperturbed images.

D is the tangent distribution, G the local data matrix and C the number of classes. Distances are in
units of normalized inputs.
"""
QUICK_WARNING = """

**These results are from the `--quick` setting: scikit-learn's digits of 8×8 pixels, few pairs and
short paths. They show that every experiment runs. The paper's claims are about MNIST.**"""


def write_readme(out: Path, to: Path) -> Path:
    """Write the report on the results in ``out``, with figures and numbers, to the folder ``to``.

    Raises:
        FileNotFoundError: If ``out`` has no results, or results of more than one scale.
    """
    results = read_results(out)
    scales = {json.dumps(result["scale"]) for result in results}
    if len(scales) != 1:
        raise FileNotFoundError(
            f"{out}/results must contain results of one scale; found {len(scales)} scales. "
            'Run "python -m examples.paper all" with the same options first.'
        )
    to.mkdir(parents=True, exist_ok=True)
    if to.resolve() != out.resolve():
        for result in results:
            for name in (figure_of(result), f"results/{result['experiment']}.json"):
                (to / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(out / name, to / name)
    file = to / "README.md"
    parts = [opening(results), claims_table(results) + "\n", *map(section, results)]
    parts.append(settings(results[0]["scale"]))
    file.write_text("\n".join(parts))
    return file


def read_results(out: Path) -> list[dict[str, Any]]:
    """Read the available results, in the order of the paper."""
    files = [out / "results" / f"{name}.json" for name in EXPERIMENTS]
    return [json.loads(file.read_text()) for file in files if file.exists()]


def judged(result: dict[str, Any]) -> Iterator[tuple[Claim, Numbers]]:
    """Pair the claims of an experiment with the stored numbers."""
    claims = EXPERIMENTS[result["experiment"]].claims(Scale(**result["scale"]))
    return zip(claims, result["claims"], strict=True)


def figure_of(result: dict[str, Any]) -> str:
    return f"figures/{result['experiment']}.png"


def opening(results: list[dict[str, Any]]) -> str:
    scale = results[0]["scale"]
    return OPENING.format(
        commands="\n".join(commands(results)),
        data=f"{scale['data']} and {scale['colour']}",
        torch=results[0]["torch"],
        warning=QUICK_WARNING if scale["name"] == "quick" else "",
    )


def commands(results: list[dict[str, Any]]) -> list[str]:
    """Return the commands of the runs: all experiments, then those with more or fewer seeds."""
    options = "--quick" if results[0]["scale"]["name"] == "quick" else "--data DIR"
    seeds = {result["experiment"]: len(result["seeds"]) for result in results}
    usual = mode(seeds.values())
    lines = [f"    python -m examples.paper all {options} --seeds {usual}"]
    for count in sorted({*seeds.values()} - {usual}):
        names = " ".join(name for name, number in seeds.items() if number == count)
        lines.append(f"    python -m examples.paper {names} {options} --seeds {count}")
    return lines


def claims_table(results: list[dict[str, Any]]) -> str:
    verdicts = [
        (claim, claim.verdict(numbers), result["experiment"])
        for result in results
        for claim, numbers in judged(result)
    ]
    rows = [
        (claim.paper, MARKS[verdict], f"[{name}](#{name.lower()})")
        for claim, verdict, name in verdicts
    ]
    counts = Counter(verdict for _, verdict, _ in verdicts)
    return (
        f"## Claims\n\nOf the paper's claims, {counts['agrees']} agree with the measurements, "
        f"{counts['partly']} agree in part and {counts['disagrees']} do not agree. Four sections "
        "explain the differences: [published](#published) (the arithmetic of the projections), "
        "[regions](#regions) (where leaves end), [leaf](#leaf) (the distance of destinations "
        "from the leaf) and [curves](#curves) (horizontal curves other than Algorithm 1).\n\n"
        + markdown(("the paper", "agrees", "section"), rows)
    )


def section(result: dict[str, Any]) -> str:
    experiment = EXPERIMENTS[result["experiment"]]
    seeds = len(result["seeds"])
    description = getdoc(sys.modules[experiment.measure.__module__]) or ""
    parts = [f"## {experiment.name}", description]
    parts.append("One seed." if seeds == 1 else f"{seeds} seeds.")
    parts.append(f"![{experiment.title}]({figure_of(result)})")
    for claim, numbers in judged(result):
        lines = [f"- **Claim.** {claim.paper}", f"  **Result.** {claim.sentence(numbers)}"]
        if claim.rule:
            lines.append(f"  **Agreement:** {MARKS[claim.verdict(numbers)]}. Rule: {claim.rule}.")
        parts.append("\\\n".join(lines))
    for table in result["tables"]:
        parts += [f"{table['title']}:", markdown(table["columns"], table["rows"])]
    return "\n\n".join(parts) + "\n"


def settings(scale: dict[str, Any]) -> str:
    """Return the table of the scale's settings."""
    rows = [
        (f"`{name}`", ", ".join(map(str, value)) if isinstance(value, list) else str(value))
        for name, value in scale.items()
        if name not in ("name", "seeds")
    ]
    return (
        "## Settings\n\n`examples/paper/scale.py` describes each setting.\n\n"
        + markdown(("setting", "value"), rows)
        + "\n"
    )


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---" for _ in columns], *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '∣') for cell in line)} |" for line in lines)
