"""The report: a table of the paper's claims, then every experiment with its figure."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import mode
from typing import Any

from examples.paper.registry import EXPERIMENTS

MARKS = {"agrees": "agrees", "partly": "in part", "disagrees": "**no**", "not stated": "–"}
OPENING = """# The paper, reproduced figure by figure

Every experiment of Grementieri & Fioresi, "Model-centric data manifold: the data through the eyes
of the model", done with lightning-leaf, each of the paper's statements held against what was
measured. `python -m examples.paper readme` wrote this page from the results of

{commands}

on {data}, on a CPU with PyTorch {torch}; ± is the standard deviation over seeds.{warning}

What is not as in the paper: the network is trained without the dropout of PyTorch's MNIST example,
projections are exact (`published` compares them with the published arithmetic), a step never
overshoots the closest point of the tangent plane, and a path that gets no closer for 100 steps ends
as *stalled*. `kl`, `theorem` and `regions` check derivatives in float64, at test images moved off
the ties of their background by noise of 0.1, and say what holds at the images themselves. Distances
are in the units of normalised inputs.
"""
QUICK_WARNING = """

**These are the small numbers of `--quick`: scikit-learn's digits of 8×8 pixels, few pairs, short
paths. They show that everything runs and what is printed; the paper's claims are about MNIST.**"""


def write_readme(out: Path, to: Path) -> Path:
    """From the results under ``out``, a README with its figures and numbers in the folder ``to``.

    Raises:
        FileNotFoundError: If there are no results, or not all of one scale.
    """
    results = read_results(out)
    scales = {json.dumps(result["scale"]) for result in results}
    if len(scales) != 1:
        raise FileNotFoundError(
            f"{out}/results expects the results of experiments at one scale; found {len(scales)} "
            'scales. Run "python -m examples.paper all" with the same options first.'
        )
    to.mkdir(parents=True, exist_ok=True)
    if to.resolve() != out.resolve():
        for result in results:
            for name in (result["figure"], f"results/{result['experiment']}.json"):
                (to / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(out / name, to / name)
    file = to / "README.md"
    parts = [opening(results), claims_table(results) + "\n", *map(section, results)]
    parts.append(numbers(results[0]["scale"]))
    file.write_text("\n".join(parts))
    return file


def read_results(out: Path) -> list[dict[str, Any]]:
    """The results that there are, in the order of the paper."""
    files = [out / "results" / f"{name}.json" for name in EXPERIMENTS]
    return [json.loads(file.read_text()) for file in files if file.exists()]


def opening(results: list[dict[str, Any]]) -> str:
    scale = results[0]["scale"]
    return OPENING.format(
        commands="\n".join(commands(results)),
        data=f"{scale['data']} and {scale['colour']}",
        torch=results[0]["torch"],
        warning=QUICK_WARNING if scale["name"] == "quick" else "",
    )


def commands(results: list[dict[str, Any]]) -> list[str]:
    """What was run: everything with the usual number of seeds, some of it with others."""
    options = "--quick" if results[0]["scale"]["name"] == "quick" else "--data DIR"
    seeds = {result["experiment"]: len(result["seeds"]) for result in results}
    usual = mode(seeds.values())
    lines = [f"    python -m examples.paper all {options} --seeds {usual}"]
    for count in sorted({*seeds.values()} - {usual}):
        names = " ".join(name for name, number in seeds.items() if number == count)
        lines.append(f"    python -m examples.paper {names} {options} --seeds {count}")
    return lines


def claims_table(results: list[dict[str, Any]]) -> str:
    rows = [
        (
            claim["paper"],
            claim["measured"],
            MARKS[claim["verdict"]],
            f"[{result['experiment']}](#{result['experiment'].lower()})",
        )
        for result in results
        for claim in result["claims"]
    ]
    counts = Counter(claim["verdict"] for result in results for claim in result["claims"])
    return (
        f"## Claims\n\nOf the paper's statements {counts['agrees']} agree with what was measured, "
        f"{counts['partly']} in part, {counts['disagrees']} do not. Where the difference comes "
        "from is told under [published](#published) (the arithmetic of the projections), "
        "[regions](#regions) (where leaves end) and [leaf](#leaf) (how far off destinations "
        "are).\n\n" + markdown(("the paper", "measured", "agrees", "see"), rows)
    )


def section(result: dict[str, Any]) -> str:
    seeds = len(result["seeds"])
    parts = [f"## {result['experiment']}", result["text"]]
    parts.append("One seed." if seeds == 1 else f"{seeds} seeds.")
    parts.append(f"![{result['title']}]({result['figure']})")
    rules = [
        f"- “{claim['paper']}” agrees if: {claim['rule']}."
        for claim in result["claims"]
        if claim["rule"]
    ]
    parts.append("\n".join(rules))
    for table in result["tables"]:
        parts += [f"{table['title']}:", markdown(table["columns"], table["rows"]).rstrip()]
    return "\n\n".join(parts) + "\n"


def numbers(scale: dict[str, Any]) -> str:
    """How much of everything was taken."""
    rows = [
        (f"`{name}`", ", ".join(map(str, value)) if isinstance(value, list) else str(value))
        for name, value in scale.items()
        if name not in ("name", "seeds")
    ]
    return (
        "## Numbers\n\nWhat they are of is said in `examples/paper/scale.py`.\n\n"
        + markdown(("name", "number"), rows)
        + "\n"
    )


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---" for _ in columns], *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '∣') for cell in line)} |" for line in lines)
