"""The report: what was done, the summaries, then tables and pictures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from examples.counterfactuals.comparison import SAME_SIZE, Comparison
from examples.counterfactuals.findings import COLUMNS, MEDIANS, against, cell, summary
from examples.counterfactuals.question import TARGETS
from examples.counterfactuals.training import KINDS
from examples.counterfactuals.ways import WAYS
from examples.paper.experiment import Found, Spread
from examples.paper.readme import markdown
from examples.paper.run import write_json

OPENING = """# Ways to change an image so that a classifier says another class

A prediction path is compared with usual ways to get a *counterfactual*: a changed image that the
classifier assigns to another class. Does the changed image look like that class to networks that
took no part? `python -m examples.counterfactuals` generates this page:

    python -m examples.counterfactuals {options}

The data are {data}. A small convolutional network (Wong & Kolter 2018) is trained with {seeds}
seed(s) in three ways: plainly, with Gaussian noise of standard deviation {noise} on every pixel,
and adversarially, against perturbations of Euclidean length {attack} (pixels from 0 to 1). For each
network, {images} test images are changed; the three networks of a seed have the same images. Two
classes are asked for: the network's second most probable one (runner-up) and a random other one.
± is the standard deviation over seeds.{warning}

Each way ends where the network is as sure of the class asked for as it was of its own, if it gets
there:

- **prediction path**: `prediction_path` to the prediction with the probabilities of both classes
  exchanged, at most {path_steps} steps; the second form stays within valid pixels.
- **gradient ascent**: at most {ascent_steps} steps of length {ascent_step} along the gradient of
  log p of the class; the second form clamps every point to valid pixels.
- **least change**: a minimal adversarial perturbation (L2) by the decoupled direction and norm of
  Rony et al. (2019). It begins with gradient ascent. With "class only" it ends where the predicted
  class changes.
- **straight line** to the nearest training image of the class. If no earlier point is sure enough,
  its end is that image: a real one, which the other ways do not know, but often an unusual or a
  mislabelled one, because it is close to another class.
- **Algorithm 1**: `horizontal_path` towards that image, at most {paper_steps} steps.

The columns:

- **class**, **as sure**, **prediction**: share of the images with the class asked for as
  prediction; with its probability; and with all probabilities asked for. The last two hold within
  a Fisher–Rao distance of {tolerance}. Only a prediction path aims at all probabilities.
- **size**: median of ‖δ‖₂, in normalized inputs; **of distance**: the same, divided by the median
  distance of two images, {distance:.1f}.
- **share in D**: mean of ‖Πδ‖ / ‖δ‖ for the whole change δ, with D at the image.
  **horizontality**: the same for every step, with D where it begins.
- **passes**: median number of backward passes for one image.
- **agree**, **probability**: share of the networks of the same kind from other seeds that predict
  the class asked for at the end ({judges} for each network), and their mean probability of it.
- **robust agree**: the same for the adversarially trained networks from other seeds.
- **same size**: **agree** and **robust agree** after every change is scaled to {same_size} times
  the distance of two images.

All images count, also those with which a way did not arrive.
"""
QUICK_WARNING = """

**These results are from the `--quick` setting: scikit-learn's digits of 8×8 pixels and few images.
They show that the comparison runs.**"""
PICTURES = """![changed images](figures/{kind}.png)

*The network of seed 0. Each pair of rows shows an image, the ends and, below them, the changes
(red: brighter). The numbers are the mean probabilities of the class asked for: of the judges of the
same kind, and of the adversarially trained ones. Values outside of the valid range are clipped.*
"""


def write_results(comparison: Comparison, found: dict[str, list[Found]]) -> None:
    """Write the numbers of every seed by kind of training, target and way."""
    numbers = {
        (kind, target, way): {name: average(ones, target, way, name) for name in COLUMNS}
        for kind, ones in found.items()
        for target in TARGETS
        for way in WAYS
    }
    results = {
        "scale": asdict(comparison.scale),
        "seeds": comparison.seeds,
        "torch": torch.__version__,
        "distance": comparison.distance,
        "judges": len(comparison.judges(KINDS[0], 0)),
        "accuracy": {kind: [one["accuracy"] for one in ones] for kind, ones in found.items()},
        "numbers": {
            kind: {target: {way: numbers[kind, target, way] for way in WAYS} for target in TARGETS}
            for kind in KINDS
        },
    }
    write_json(comparison.out / "results.json", results)


def average(ones: list[Found], target: str, way: str, name: str) -> list[float]:
    """Average over the images of each seed, without NaN. Seeds without numbers are left out."""
    found = []
    for one in ones:
        values = one[target][way][name]
        values = values[~values.isnan()]
        if len(values):
            value = values.median() if name in MEDIANS else values.mean()
            found.append(round(float(value), 6))
    return found


def write_readme(out: Path, to: Path) -> Path:
    """Write the report on the results in ``out``, with figures and numbers, to the folder ``to``.

    Raises:
        FileNotFoundError: If ``out`` has no results.
    """
    results = json.loads((out / "results.json").read_text())
    if to.resolve() != out.resolve():
        (to / "figures").mkdir(parents=True, exist_ok=True)
        for name in ("results.json", *(f"figures/{name}.png" for name in (*KINDS, "sizes"))):
            shutil.copyfile(out / name, to / name)
    file = to / "README.md"
    file.write_text(
        "\n".join([opening(results), summary(results), against(results), *sections(results)])
    )
    return file


def opening(results: dict[str, Any]) -> str:
    scale = results["scale"]
    quick = scale["name"] == "quick"
    return OPENING.format_map(
        scale
        | results
        | {
            "options": f"{'--quick' if quick else '--data DIR'} --seeds {results['seeds']}",
            "warning": QUICK_WARNING if quick else "",
            "same_size": SAME_SIZE,
        }
    )


def sections(results: dict[str, Any]) -> Iterator[str]:
    for kind in KINDS:
        accuracy = Spread(results["accuracy"][kind])
        yield f"## Training: {kind}\n\nTest accuracy: {accuracy:.1%}.\n"
        for target in TARGETS:
            ways = results["numbers"][kind][target]
            rows = [
                (way, *(cell(values, name) for name, values in numbers.items()))
                for way, numbers in ways.items()
            ]
            headings = ("way", *(heading for heading, _ in COLUMNS.values()))
            yield f"Target: {target}.\n\n{markdown(headings, rows)}\n"
        yield PICTURES.format(kind=kind)
