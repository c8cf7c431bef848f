"""Classifiers out of checkpoints, without running code that a checkpoint brings along."""

from __future__ import annotations

import inspect
import pickle
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from lightning_leaf.errors import LeafError

KEYS_SHOWN = 3


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a file holds of a classifier.

    Attributes:
        path: The file.
        weights: Parameters and buffers by name.
        hyper_parameters: Arguments that its LightningModule was made with, where it saved them.
        step: Optimizer steps that it had taken, where the file says so.
        content: All that the file holds.
    """

    path: Path
    weights: dict[str, Any]
    hyper_parameters: dict[str, Any]
    step: int | None
    content: dict[str, Any]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint of Lightning, or a file that holds a state dict and nothing else.

    Read with ``torch.load(weights_only=True)``: no code of the file is run.

    Raises:
        LeafError: If there is no such file, it needs code to be read, or holds no weights.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise LeafError(f"Expected a checkpoint at {path}; there is no such file.") from error
    except pickle.UnpicklingError as error:
        kind = re.search(r"GLOBAL (\S+) was not an allowed global", str(error))
        needs = f"it needs {kind[1]}" if kind else str(error).partition("\n")[0]
        raise LeafError(
            f"Expected a checkpoint that torch.load(weights_only=True) reads, which runs no code "
            f"of the file; {path} is not one ({needs}). Save it once more with hyper-parameters "
            "that are numbers, strings, lists and dicts, or save the state dict alone: "
            "torch.save(model.state_dict(), PATH)."
        ) from error
    except (OSError, RuntimeError, EOFError) as error:
        raise LeafError(
            f"Expected a checkpoint at {path}; it cannot be read "
            f"({str(error).partition(chr(10))[0]}). The file is damaged or something else."
        ) from error
    weights = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not any(isinstance(v, Tensor) for v in weights.values()):
        raise LeafError(
            f"Expected {path} to be a Lightning checkpoint (with a 'state_dict') or a state dict; "
            f"it holds {_described(content)}."
        )
    step = content.get("global_step")
    return Checkpoint(
        path,
        weights,
        dict(content.get("hyper_parameters") or {}),
        step if isinstance(step, int) else None,
        content,
    )


def classifier_of(checkpoint: Checkpoint, make: Any, name: str) -> nn.Module:
    """The classifier with the weights of a checkpoint, in evaluation mode.

    Args:
        checkpoint: The weights.
        make: A LightningModule class, which is made with the hyper-parameters of the checkpoint;
            any other class or function is called without arguments.
        name: What ``make`` is called, for the message of an error.

    Raises:
        LeafError: If it cannot be made, makes no module, or the weights do not fit.
    """
    is_lightning = isinstance(make, type) and issubclass(make, L.LightningModule)
    arguments = _accepted(make, checkpoint.hyper_parameters) if is_lightning else {}
    try:
        classifier = make(**arguments)
    except Exception as error:
        how = (
            f"with the hyper-parameters of {checkpoint.path} ({', '.join(arguments) or 'none'})"
            if is_lightning
            else "without arguments"
        )
        raise LeafError(
            f"Expected {name} to be a class or function that makes the classifier {how}; it "
            f"raised {type(error).__name__}: {error}. Call self.save_hyperparameters() in a "
            "LightningModule, or name a function without arguments that makes the module."
        ) from error
    if not isinstance(classifier, nn.Module):
        raise LeafError(
            f"Expected {name} to make a torch.nn.Module; it made {type(classifier).__name__}."
        )
    if isinstance(classifier, L.LightningModule):
        classifier.configure_model()
        classifier.on_load_checkpoint(checkpoint.content)
    _load(classifier, checkpoint, name)
    return classifier.eval()


def _accepted(make: Any, hyper_parameters: dict[str, Any]) -> dict[str, Any]:
    """Those that the constructor takes: a sub-class may have saved more."""
    parameters = inspect.signature(make).parameters
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return hyper_parameters
    return {name: value for name, value in hyper_parameters.items() if name in parameters}


def _load(classifier: nn.Module, checkpoint: Checkpoint, name: str) -> None:
    try:
        classifier.load_state_dict(checkpoint.weights)
    except RuntimeError as error:
        why = _misfit(classifier.state_dict(), checkpoint.weights) or str(error)
        raise LeafError(
            f"Expected the weights of {checkpoint.path} to fit {name}; {why}. Name the class that "
            "was trained, or a function that makes it with the same arguments."
        ) from error


def _misfit(expected: dict[str, Any], came: dict[str, Any]) -> str:
    """In which names and shapes weights differ from what a module expects."""
    shapes = {
        key: [tuple(getattr(weights[key], "shape", ())) for weights in (expected, came)]
        for key in expected.keys() & came.keys()
    }
    differences = {
        "the file lacks": expected.keys() - came.keys(),
        "the file has besides": came.keys() - expected.keys(),
        "of another shape are": {
            f"{key} ({one} expected, {other} came)"
            for key, (one, other) in shapes.items()
            if one != other
        },
    }
    return "; ".join(f"{what} {_some(sorted(keys))}" for what, keys in differences.items() if keys)


def _some(keys: list[str]) -> str:
    more = len(keys) - KEYS_SHOWN
    return ", ".join(keys[:KEYS_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _described(content: Any) -> str:
    if isinstance(content, dict):
        return f"a dict with the keys {_some(sorted(map(str, content))) or '(none)'}"
    return type(content).__name__
