"""Errors of a LightningCLI about invalid values name the argument."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lightning_leaf import HorizontalPathSnapshot, LocalDataMatrixMonitor, OrthogonalWalkSnapshot
from lightning_leaf.callbacks import AtSteps
from tests.support.trainers.command_line import (
    configured,
    described,
    entry,
    error_message,
    ignore_cli,
)

pytestmark = ignore_cli

NAMES = "['epoch', 'checkpoint', 'trace_return', 'fit_end']"
AT_STEPS = {"class_path": "lightning_leaf.callbacks.AtSteps", "init_args": {"steps": [1, 2]}}
# Values of a wrong type: errors of jsonargparse.
MISTYPED: dict[str, tuple[type, dict[str, Any], list[str]]] = {
    "trigger name": (HorizontalPathSnapshot, {"when": "sometimes"}, ['"when"', NAMES, "sometimes"]),
    "one of several triggers": (OrthogonalWalkSnapshot, {"when": [3, "epochs"]}, ['"when"', NAMES]),
    "statistic": (
        HorizontalPathSnapshot,
        {"when": {"class_path": "lightning_leaf.TraceReturn", "init_args": {"statistic": "max"}}},
        ['"when"', '"statistic"', "['mean', 'median']"],
    ),
    "rank": (LocalDataMatrixMonitor, {"ranks": ["nuclear"]}, ['"ranks"', "'participation'"]),
    "one rank": (LocalDataMatrixMonitor, {"ranks": "nuclear"}, ['"ranks"', "Sequence"]),
    "on_error": (LocalDataMatrixMonitor, {"on_error": "ignore"}, ['"on_error"', "'raise'"]),
    "text for a number": (LocalDataMatrixMonitor, {"every_n_steps": "often"}, ["every_n_steps"]),
    "fraction of steps": (LocalDataMatrixMonitor, {"every_n_steps": 2.5}, ['"every_n_steps"']),
    "text for a length": (HorizontalPathSnapshot, {"step_size": "big"}, ['"step_size"', "float"]),
    "text for a boolean": (
        HorizontalPathSnapshot,
        {"save_files": "maybe"},
        ['"save_files"', "bool"],
    ),
    "incomplete domain": (OrthogonalWalkSnapshot, {"domain": 3}, ['"domain"', "tuple"]),
    "domain of three numbers": (OrthogonalWalkSnapshot, {"domain": [0, 1, 2]}, ["2 elements"]),
    "positions for pairs": (HorizontalPathSnapshot, {"pairs": [1, 2]}, ['"pairs"', "tuple"]),
    "normalize": (HorizontalPathSnapshot, {"normalize": "imagenet"}, ['"normalize"', "imagenet"]),
    "unknown argument": (
        LocalDataMatrixMonitor,
        {"every_steps": 4},
        ["'every_steps' is not accepted"],
    ),
    # Its arguments have no names; in YAML, pass a list of steps instead.
    "AtSteps": (HorizontalPathSnapshot, {"when": AT_STEPS}, ['"when"', "'steps' is not accepted"]),
}
# Values out of range: errors of the callbacks.
OUT_OF_RANGE: dict[str, tuple[type, dict[str, Any], str]] = {
    "every_n_steps": (LocalDataMatrixMonitor, {"every_n_steps": 0}, "every_n_steps expects.*got 0"),
    "probe": (LocalDataMatrixMonitor, {"probe": -4}, "probe expects.*got -4"),
    "name": (LocalDataMatrixMonitor, {"name": "my probe"}, "name expects.*got 'my probe'"),
    "chunk_size": (LocalDataMatrixMonitor, {"chunk_size": 0}, "chunk_size expects"),
    "pairs": (HorizontalPathSnapshot, {"pairs": 0}, "pairs expects"),
    "noise_steps": (HorizontalPathSnapshot, {"noise_steps": -1}, "noise_steps expects.*got -1"),
    "threshold": (HorizontalPathSnapshot, {"threshold": -1}, "threshold expects a positive"),
    "step_size": (OrthogonalWalkSnapshot, {"step_size": 0}, "step_size expects a positive"),
    "max_steps": (OrthogonalWalkSnapshot, {"max_steps": 0}, "max_steps expects"),
    "starts": (OrthogonalWalkSnapshot, {"starts": 0}, "starts expects"),
    "when": (
        OrthogonalWalkSnapshot,
        {"when": -3},
        "when expects a whole number of at least 0; got -3",
    ),
    "empty when": (
        OrthogonalWalkSnapshot,
        {"when": []},
        "when expects at least one step, name or trigger",
    ),
    "means": (OrthogonalWalkSnapshot, {"normalize": [[0, 0], [1]]}, "as many means as"),
    "std": (OrthogonalWalkSnapshot, {"normalize": [0, 0]}, "every standard deviation positive"),
}


@pytest.mark.parametrize(("kind", "given", "texts"), MISTYPED.values(), ids=MISTYPED)
def test_errors_about_wrong_types_name_the_argument(
    package: ModuleType, kind: type, given: dict[str, Any], texts: list[str]
) -> None:
    message = error_message(package, {"trainer": {"callbacks": [entry(kind, given)]}})
    for text in (f"lightning_leaf.{kind.__name__}", *texts):
        assert text in message


@pytest.mark.parametrize(("kind", "given", "message"), OUT_OF_RANGE.values(), ids=OUT_OF_RANGE)
def test_errors_about_values_out_of_range_name_the_argument(
    package: ModuleType, kind: type, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        configured(package, entry(kind, given))


def test_a_list_of_numbers_means_steps(package: ModuleType) -> None:
    """A list of numbers replaces AtSteps in YAML."""
    (listed,) = configured(package, entry(HorizontalPathSnapshot, {"when": [1, 2]}))
    assert [trigger.steps for trigger in listed.triggers] == [{1}, {2}]
    assert described(listed) == described(HorizontalPathSnapshot([AtSteps(1), AtSteps(2)]))


def test_the_command_line_prints_the_error_message_last(tmp_path: Path) -> None:
    script = "from lightning.pytorch.cli import LightningCLI\n"
    script += "from lightning.pytorch.demos.boring_classes import BoringModel\n"
    script += "LightningCLI(BoringModel)"
    callback = json.dumps([entry(LocalDataMatrixMonitor, {"every_n_steps": 0})])
    done = subprocess.run(
        [sys.executable, "-c", script, "fit", f"--trainer.callbacks={callback}"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 1
    last = "".join(done.stderr.splitlines(keepends=True)[-20:])
    assert "every_n_steps expects a whole number of at least 1; got 0." in last
    # The error is raised before training, and before anything is written.
    assert not list(tmp_path.iterdir())
