"""A LightningCLI in this process, and the callbacks that it builds."""

from __future__ import annotations

import copy
import functools
import importlib
import io
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from types import ModuleType
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset

from lightning_leaf import Trigger
from lightning_leaf.callbacks.base import LeafCallback
from lightning_leaf.callbacks.snapshot_schedule import SnapshotSchedule
from lightning_leaf.monitoring.interval_timer import IntervalTimer
from lightning_leaf.monitoring.measuring_interval import MeasuringInterval
from tests.support.callbacks.training import ignore_lightning

ignore_cli = [
    *ignore_lightning,
    # Lightning warns if pytest itself was called with arguments.
    pytest.mark.filterwarnings("ignore:LightningCLI's args parameter"),
    # jsonargparse warns about functions that Lightning calls.
    pytest.mark.filterwarnings(r"ignore:(?s).*(JsonargparseDeprecation|deprecated\sin\sv4)"),
]


def cli(package: ModuleType, args: Any, *, run: bool = False) -> Any:
    """Return the LightningCLI of the package with its demo model."""
    name = package.__name__
    kind = importlib.import_module(f"{name}.cli").LightningCLI
    model = importlib.import_module(f"{name}.demos.boring_classes").BoringModel
    return kind(model, args=args, run=run, seed_everything_default=0)


def entry(kind: type, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of a callback in a YAML file; a copy, because jsonargparse changes it."""
    return {"class_path": f"lightning_leaf.{kind.__name__}", "init_args": copy.deepcopy(arguments)}


@functools.cache
def parser_of(name: str) -> Any:
    """Return the parser of a package's LightningCLI; cached because creating it takes long."""
    return cli(importlib.import_module(name), []).parser


def built(package: ModuleType, config: Any) -> list[Any]:
    callbacks = parser_of(package.__name__).instantiate_classes(config).trainer.callbacks
    assert all(isinstance(callback, package.Callback) for callback in callbacks)
    return list(callbacks)


def configured(package: ModuleType, *entries: dict[str, Any]) -> list[Any]:
    """Return the callbacks in a configuration."""
    parser = parser_of(package.__name__)
    return built(package, parser.parse_object({"trainer": {"callbacks": list(entries)}}))


def typed(package: ModuleType, kind: type, *options: str) -> Any:
    """Return the callback that options of the command line describe."""
    options = (f"+=lightning_leaf.{kind.__name__}", *(f".{option}" for option in options))
    args = [f"--trainer.callbacks{option}" for option in options]
    (callback,) = built(package, parser_of(package.__name__).parse_args(args))
    return callback


def error_message(package: ModuleType, args: Any) -> str:
    """Return the error message of a command line that exits with status 2."""
    stderr = io.StringIO()
    with redirect_stderr(stderr), pytest.raises(SystemExit) as exited:
        cli(package, args)
    assert exited.value.code == 2
    usage, _, error = stderr.getvalue().partition("error: ")
    assert "Traceback" not in usage + error
    return error


def printed(package: ModuleType, args: Sequence[str]) -> str:
    """Return what ``--print_config`` prints."""
    stdout = io.StringIO()
    with redirect_stdout(stdout), pytest.raises(SystemExit) as exited:
        cli(package, [*args, "--print_config"])
    assert exited.value.code == 0
    return stdout.getvalue()


TIMING = MeasuringInterval, IntervalTimer


def described(value: Any) -> Any:
    """Return a description that is equal for equal objects: attributes instead of identities."""
    if isinstance(value, (LeafCallback, SnapshotSchedule, Trigger, Dataset, *TIMING)):
        return type(value), {name: described(part) for name, part in vars(value).items()}
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [described(part) for part in value]
    return value
