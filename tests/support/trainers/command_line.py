"""A LightningCLI in this process, and what it builds."""

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
from tests.support.callbacks.training import ignore_lightning

ignore_cli = [
    *ignore_lightning,
    # Said whenever pytest itself is called with arguments.
    pytest.mark.filterwarnings("ignore:LightningCLI's args parameter"),
    # To Lightning, about functions of jsonargparse that it calls.
    pytest.mark.filterwarnings(r"ignore:(?s).*(JsonargparseDeprecation|deprecated\sin\sv4)"),
]


def cli(package: ModuleType, args: Any, *, run: bool = False) -> Any:
    """The package's LightningCLI with its own demo model."""
    name = package.__name__
    kind = importlib.import_module(f"{name}.cli").LightningCLI
    model = importlib.import_module(f"{name}.demos.boring_classes").BoringModel
    return kind(model, args=args, run=run, seed_everything_default=0)


def entry(kind: type, arguments: dict[str, Any]) -> dict[str, Any]:
    """As a YAML file names a callback; a copy, because jsonargparse writes into what it reads."""
    return {"class_path": f"lightning_leaf.{kind.__name__}", "init_args": copy.deepcopy(arguments)}


@functools.cache
def parser_of(name: str) -> Any:
    """A package's LightningCLI before it was told anything; making one takes long."""
    return cli(importlib.import_module(name), []).parser


def built(package: ModuleType, config: Any) -> list[Any]:
    callbacks = parser_of(package.__name__).instantiate_classes(config).trainer.callbacks
    assert all(isinstance(callback, package.Callback) for callback in callbacks)
    return list(callbacks)


def configured(package: ModuleType, *entries: dict[str, Any]) -> list[Any]:
    """The callbacks that a configuration names."""
    parser = parser_of(package.__name__)
    return built(package, parser.parse_object({"trainer": {"callbacks": list(entries)}}))


def typed(package: ModuleType, kind: type, *options: str) -> Any:
    """The callback that options of the command line name."""
    options = (f"+=lightning_leaf.{kind.__name__}", *(f".{option}" for option in options))
    args = [f"--trainer.callbacks{option}" for option in options]
    (callback,) = built(package, parser_of(package.__name__).parse_args(args))
    return callback


def complaint(package: ModuleType, args: Any) -> str:
    """What the command line says before it exits with status 2."""
    said = io.StringIO()
    with redirect_stderr(said), pytest.raises(SystemExit) as left:
        cli(package, args)
    assert left.value.code == 2
    usage, _, error = said.getvalue().partition("error: ")
    assert "Traceback" not in usage + error
    return error


def printed(package: ModuleType, args: Sequence[str]) -> str:
    """What ``--print_config`` prints."""
    said = io.StringIO()
    with redirect_stdout(said), pytest.raises(SystemExit) as left:
        cli(package, [*args, "--print_config"])
    assert left.value.code == 0
    return said.getvalue()


def described(value: Any) -> Any:
    """Equal for what was built alike: attributes instead of identities."""
    if isinstance(value, (LeafCallback, Trigger, Dataset)):
        return type(value), {name: described(part) for name, part in vars(value).items()}
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [described(part) for part in value]
    return value
