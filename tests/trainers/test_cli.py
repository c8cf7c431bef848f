"""Every argument of every callback can be set in YAML and on the command line."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml
from torchvision.datasets import FakeData
from torchvision.transforms import Normalize

from lightning_leaf import (
    HorizontalPathSnapshot,
    LocalDataMatrixMonitor,
    Normalization,
    OrthogonalWalkSnapshot,
    PredictionPathSnapshot,
    TraceReturn,
)
from tests.support.callbacks.training import scalars, snapshots
from tests.support.trainers.command_line import (
    cli,
    configured,
    described,
    entry,
    ignore_cli,
    printed,
    typed,
)

pytestmark = ignore_cli


def by_class_path(path: str, **arguments: Any) -> dict[str, Any]:
    return {"class_path": path, "init_args": arguments}


RETURN = by_class_path("lightning_leaf.TraceReturn", statistic="mean", reference_step=100)
DATA = (by_class_path("torchvision.datasets.FakeData", size=12), FakeData(12))
INPUTS = [DATA, (16, 16), ([3, 1, 2], [3, 1, 2])]
PER_CHANNEL = ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
# Each value as in YAML, and as in Python.
SHARED: dict[str, list[tuple[Any, Any]]] = {
    "when": [
        (7, 7),
        *((name, name) for name in ("epoch", "checkpoint", "trace_return")),
        ([2, 5], [2, 5]),
        (RETURN, TraceReturn("mean", 100)),
        ({"class_path": "lightning_leaf.TraceReturn"}, TraceReturn()),
        ({"class_path": "lightning_leaf.callbacks.AtEpochEnd"}, "epoch"),
        (["epoch", 3, RETURN], ["epoch", 3, TraceReturn("mean", 100)]),
    ],
    "step_size": [(0.25, 0.25), (2, 2.0)],
    "max_steps": [(7, 7)],
    "normalize": [
        ([0.1, 0.5], (0.1, 0.5)),
        (list(PER_CHANNEL), PER_CHANNEL),
        (by_class_path("lightning_leaf.Normalization", mean=[0.1], std=[0.5]), (0.1, 0.5)),
        (
            by_class_path("torchvision.transforms.Normalize", mean=[0.1], std=[0.5]),
            Normalize([0.1], [0.5]),
        ),
        (
            by_class_path("torchvision.transforms.v2.Normalize", mean=[0.1], std=[0.5]),
            Normalization((0.1,), (0.5,)),
        ),
    ],
    "domain": [([0, 1], (0.0, 1.0)), ([[0, 0.5], [1, 2.5]], ([0.0, 0.5], [1.0, 2.5]))],
    "max_time": [(2.5, 2.5)],
    "forward": [
        ("net.head", "net.head"),
        ("project.measuring.logits", "project.measuring.logits"),
    ],
    "batch": [
        ("scan", "scan"),
        ("project.measuring.split", "project.measuring.split"),
        (["scan", "study.diagnosis"], ("scan", "study.diagnosis")),
    ],
    "likelihood": [("categorical", "categorical"), ("bernoulli", "bernoulli")],
    "class_names": [(["cat", "dog"], ["cat", "dog"])],
    "exact": [(True, True), (False, False)],
    "name": [("custom", "custom")],
    "save_files": [(True, True), (False, False)],
    "seed": [(5, 5)],
    "chunk_size": [(2, 2)],
    "on_error": [("raise", "raise")],
}
MEASURING = (
    "forward",
    "batch",
    "likelihood",
    "class_names",
    "exact",
    "name",
    "seed",
    "chunk_size",
    "on_error",
)
CASES: dict[type, dict[str, list[tuple[Any, Any]]]] = {
    LocalDataMatrixMonitor: {
        "probe": INPUTS,
        "every_n_steps": [(20, 20)],
        "ranks": [
            (["threshold"], ["threshold"]),
            ("stable", ["stable"]),
            (["entropy", "stable", "participation"], ("entropy", "stable", "participation")),
        ],
        **{name: SHARED[name] for name in MEASURING},
    },
    HorizontalPathSnapshot: {
        "pairs": [DATA, (3, 3), ([[0, 1], [4, 2]], [(0, 1), (4, 2)])],
        "noise_steps": [(250, 250)],
        "threshold": [(0.5, 0.5)],
        **SHARED,
    },
    OrthogonalWalkSnapshot: {"starts": INPUTS, **SHARED},
    PredictionPathSnapshot: {
        "examples": INPUTS,
        "to": [(3, 3), ("each", "each"), ("cat", "cat")],
        "tolerance": [(0.5, 0.5)],
        "judge": [("torch.sigmoid", torch.sigmoid)],
        **SHARED,
    },
}
ALL_ARGUMENTS = [
    entry(kind, {name: values[-1][0] for name, values in cases.items()} | {"name": f"custom-{i}"})
    for i, (kind, cases) in enumerate(CASES.items())
]
SETTABLE = [
    pytest.param(kind, name, given, expected, id=f"{kind.__name__}.{name}-{i}")
    for kind, cases in CASES.items()
    for name, values in cases.items()
    for i, (given, expected) in enumerate(values)
]


@pytest.mark.parametrize("kind", CASES)
def test_the_cases_contain_all_arguments(kind: type) -> None:
    assert set(CASES[kind]) == set(inspect.signature(kind).parameters)


@pytest.mark.parametrize(("kind", "name", "given", "value"), SETTABLE)
def test_all_arguments_can_be_set_in_yaml_and_on_the_command_line(
    package: ModuleType, kind: type, name: str, given: Any, value: Any
) -> None:
    expected = described(kind(**{name: value}))
    assert expected != described(kind())
    (from_yaml,) = configured(package, entry(kind, {name: given}))
    assert described(from_yaml) == expected
    text = given if isinstance(given, str) else json.dumps(given)
    assert described(typed(package, kind, f"{name}={text}")) == expected


@pytest.mark.parametrize("kind", CASES)
def test_null_means_the_default_of_optional_arguments(package: ModuleType, kind: type) -> None:
    optional = {
        name: None
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.default is None
    }
    assert optional
    (built,) = configured(package, entry(kind, optional))
    assert described(built) == described(kind())


def test_lists_and_triggers_can_be_set_item_by_item(package: ModuleType) -> None:
    pieces = ["when+=3", "when+=epoch", "normalize=lightning_leaf.Normalization"]
    callback = typed(
        package, HorizontalPathSnapshot, *pieces, "normalize.mean=[0.1]", "normalize.std=[0.5]"
    )
    expected = HorizontalPathSnapshot([3, "epoch"], normalize=(0.1, 0.5))
    assert described(callback) == described(expected)
    callback = typed(package, OrthogonalWalkSnapshot, "when=TraceReturn", "when.reference_step=100")
    expected = OrthogonalWalkSnapshot(TraceReturn(reference_step=100))
    assert described(callback) == described(expected)


def test_a_printed_configuration_builds_the_same_callbacks(
    package: ModuleType, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text(yaml.safe_dump({"trainer": {"logger": False, "callbacks": ALL_ARGUMENTS}}))
    second.write_text(printed(package, [f"--config={first}"]))
    assert printed(package, [f"--config={second}"]) == second.read_text()
    again = yaml.safe_load(second.read_text())["trainer"]["callbacks"]
    assert described(configured(package, *again)) == described(configured(package, *ALL_ARGUMENTS))


def test_a_fit_saves_its_configuration(package: ModuleType, tmp_path: Path) -> None:
    callbacks = [
        entry(LocalDataMatrixMonitor, {"probe": [1, 3], "every_n_steps": 1, "on_error": "raise"}),
        entry(HorizontalPathSnapshot, {"when": [1, RETURN], "pairs": [[0, 1]], "max_steps": 3}),
        entry(OrthogonalWalkSnapshot, {"starts": 1, "max_steps": 3, "domain": [-9, 9]}),
    ]
    trainer = {
        "accelerator": "cpu",
        "max_steps": 2,
        "enable_progress_bar": False,
        "default_root_dir": str(tmp_path),
        "callbacks": callbacks,
    }
    ran = cli(package, {"fit": {"trainer": trainer}, "subcommand": "fit"}, run=True)
    assert list(scalars(tmp_path)["leaf/trace_mean"]) == [0, 1, 2]
    assert [(shown.name, shown.step) for shown in snapshots(tmp_path)] == [
        ("horizontal_path", 1),
        ("orthogonal_walk", 2),
    ]
    (saved,) = tmp_path.rglob("config.yaml")
    again = configured(package, *yaml.safe_load(saved.read_text())["trainer"]["callbacks"])
    original = configured(package, *callbacks)
    assert described(again) == described(original)
    assert type(ran.trainer.callbacks[0]) is LocalDataMatrixMonitor
