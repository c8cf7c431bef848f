"""The state, the logs and the checkpoints after a training."""

from __future__ import annotations

import csv
import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from torch import Tensor

from lightning_leaf import (
    HorizontalPathSnapshot,
    LocalDataMatrixMonitor,
    OrthogonalWalkSnapshot,
    PredictionPathSnapshot,
)

Outcome = dict[str, Any]

LEAF_VALUES = "leaf/", "leaf_averaged/"

LEAF_CALLBACKS = (
    LocalDataMatrixMonitor,
    HorizontalPathSnapshot,
    OrthogonalWalkSnapshot,
    PredictionPathSnapshot,
)
# The state of ModelCheckpoint contains file paths, which differ between runs.
IGNORED_STATES = (*(kind.__name__ for kind in LEAF_CALLBACKS), "ModelCheckpoint")


def of_module(module: L.LightningModule) -> Outcome:
    return {
        "parameters": dict(module.named_parameters()),
        "buffers": dict(module.named_buffers()),
        "gradients": {name: p.grad for name, p in module.named_parameters()},
        "modes": {name: part.training for name, part in module.named_modules()},
        "attributes": {
            name: {
                key: value
                for key, value in vars(part).items()
                if isinstance(value, Tensor | int | float | str | None)
                and not key.startswith("_torchdynamo")
            }
            for name, part in module.named_modules()
        },
    }


def of_streams() -> Outcome:
    return {
        "torch stream": torch.get_rng_state(),
        "cuda streams": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy stream": np.random.get_state(),  # noqa: NPY002
        "python stream": random.getstate(),
    }


def forget_compilations() -> None:
    if "torch._dynamo" in sys.modules:  # importing it takes seconds
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()


def compilations() -> int:
    if "torch._dynamo" not in sys.modules:
        return 0
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


COLUMNS = ("step", "epoch")
"""Columns that the rows of the callbacks have too."""


def logged(root: Path) -> Outcome:
    """Return scalars as written, by file and tag, and the rows of CSV files."""
    events: dict[str, list[tuple[int, float]]] = {}
    for file in sorted(root.rglob("events.out.tfevents.*")):
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "scalars":
                    entry = event.step, value.tensor.float_val[0]
                    events.setdefault(f"{file.parent.relative_to(root)} {value.tag}", []).append(
                        entry
                    )
    rows = []
    for file in sorted(root.rglob("metrics.csv")):
        with file.open() as lines:
            rows += [without_leaf_values(row) for row in csv.DictReader(lines)]
    return {
        "events": {
            name: entries
            for name, entries in events.items()
            if not name.partition(" ")[2].startswith(LEAF_VALUES)
        },
        "csv": [row for row in rows if any(row[key] for key in row if key not in COLUMNS)],
    }


def checkpoints(root: Path) -> Outcome:
    """Return the contents of checkpoint files, by their path below the folder of the run."""
    contents = {}
    for file in sorted(root.rglob("*.ckpt")):
        content = torch.load(file, weights_only=False)
        content["callbacks"] = {
            name: state
            for name, state in content.get("callbacks", {}).items()
            if not name.startswith(IGNORED_STATES)
        }
        contents[str(file.relative_to(root))] = content
    return contents


def without_leaf_values(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if not name.startswith(LEAF_VALUES)}
