"""Run experiments: estimate the time, measure, draw the figure and write the results as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from examples.paper.experiment import Experiment
from examples.paper.figures import drawing
from examples.paper.networks import NETWORKS
from examples.paper.study import Study
from lightning_leaf import LocalDataMatrix

TRAINING_STEP = 12
"""Cost of an optimizer step in points (images at which all class gradients are computed)."""
MARKS = {"agrees": "✓", "partly": "~", "disagrees": "✗", "not judged": "·"}


def print_estimate(study: Study, experiments: Sequence[Experiment]) -> None:
    """Print the expected duration, extrapolated from a short measurement."""
    seconds = _seconds_per_point(study)
    scale = study.scale
    trained = 2 * scale.train_steps * TRAINING_STEP  # the paper's network, with ReLU and with GELU
    total = trained + sum(one.points(scale) for one in experiments)
    print(
        f"{scale.name} scale, {scale.data}, {study.seeds} seed(s): about "
        f"{_duration(total * seconds * study.seeds)}; results in {study.out} are reused"
    )
    for one in experiments:
        print(f"  {one.name:<10} {_duration(one.points(scale) * seconds):>7} a seed  {one.title}")


def run(study: Study, experiment: Experiment) -> None:
    """Measure one experiment, draw its figure, write its results and print its claims."""
    seeds = range(study.seeds)
    found = [
        study.measured(experiment, seed)
        for seed in tqdm(seeds, desc=experiment.name, unit="seed", disable=None, leave=False)
    ]
    with drawing(experiment.size, study.out / "figures" / f"{experiment.name}.png") as figure:
        experiment.draw(study, found, figure)
    claims = experiment.claims(study.scale)
    numbers = [claim.numbers(found) for claim in claims]
    result: dict[str, Any] = {
        "experiment": experiment.name,
        "scale": asdict(study.scale),
        "seeds": list(seeds),
        "torch": torch.__version__,
        "seconds": [round(one["seconds"], 1) for one in found],
        "claims": numbers,
        "tables": [asdict(one) for one in experiment.tables(study, found)],
    }
    write_json(study.out / "results" / f"{experiment.name}.json", result)
    print(f"\n{experiment.name}: {experiment.title} ({sum(result['seconds']):.0f} s)")
    for claim, values in zip(claims, numbers, strict=True):
        print(f"  {MARKS[claim.verdict(values)]} {claim.paper}\n      {claim.sentence(values)}")


def write_json(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _seconds_per_point(study: Study) -> float:
    """Time one point: an image at which the gradients of all classes are computed."""
    network = NETWORKS["cnn"](study.images.shape).eval().requires_grad_(False)
    images = study.images.test[:32]
    LocalDataMatrix.at(network, images[:2])
    began = time.perf_counter()
    LocalDataMatrix.at(network, images)
    return (time.perf_counter() - began) / len(images)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
