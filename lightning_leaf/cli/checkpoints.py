"""Load classifiers from checkpoints without running code from the checkpoint."""

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
    """The content of a checkpoint.

    Attributes:
        path: The file.
        weights: Parameters and buffers by name.
        hyper_parameters: Arguments of the LightningModule; empty if none are saved.
        step: The step at which the checkpoint was saved; None if unknown.
        content: Everything in the file.
    """

    path: Path
    weights: dict[str, Any]
    hyper_parameters: dict[str, Any]
    step: int | None
    content: dict[str, Any]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a Lightning checkpoint, or a file that contains only a state dict.

    It is read with ``torch.load(weights_only=True)``, which runs no code from the file.

    Raises:
        LeafError: If the file does not exist, cannot be read without running code, or contains no
            weights.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise LeafError(f"Expected a checkpoint at {path}; there is no such file.") from error
    except pickle.UnpicklingError as error:
        kind = re.search(r"GLOBAL (\S+) was not an allowed global", str(error))
        cause = f"it contains {kind[1]}" if kind else str(error).partition("\n")[0]
        raise LeafError(
            "Expected a checkpoint that torch.load(weights_only=True) can read, which runs no "
            f"code from the file; it cannot read {path} ({cause}). Save the checkpoint again with "
            "hyper-parameters that are numbers, strings, lists and dicts, or save only the state "
            "dict: torch.save(model.state_dict(), PATH)."
        ) from error
    except (OSError, RuntimeError, EOFError) as error:
        raise LeafError(
            f"Expected a checkpoint at {path}; it cannot be read "
            f"({str(error).partition(chr(10))[0]}). The file is damaged or not a checkpoint."
        ) from error
    weights = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not any(isinstance(v, Tensor) for v in weights.values()):
        raise LeafError(
            f"Expected {path} to be a Lightning checkpoint (with a 'state_dict') or a state dict; "
            f"it contains {_description(content)}."
        )
    step = content.get("global_step")
    return Checkpoint(
        path,
        weights,
        dict(content.get("hyper_parameters") or {}),
        step if isinstance(step, int) else None,
        content,
    )


def load_classifier(checkpoint: Checkpoint, make: Any, name: str) -> nn.Module:
    """Return the classifier with the weights of a checkpoint, in evaluation mode.

    Args:
        checkpoint: The checkpoint.
        make: A LightningModule class, which is called with the hyper-parameters of the checkpoint.
            Any other class or function is called without arguments.
        name: The name of ``make``, for error messages.

    Raises:
        LeafError: If ``make`` fails or returns no module, or if the weights do not fit.
    """
    is_lightning = isinstance(make, type) and issubclass(make, L.LightningModule)
    arguments = _accepted(make, checkpoint.hyper_parameters) if is_lightning else {}
    try:
        classifier = make(**arguments)
    except Exception as error:
        call = (
            f"called with the hyper-parameters of {checkpoint.path} "
            f"({', '.join(arguments) or 'none'})"
            if is_lightning
            else "called without arguments"
        )
        raise LeafError(
            f"Expected {name} to return the classifier when {call}; it raised "
            f"{type(error).__name__}: {error}. Call self.save_hyperparameters() in the "
            "LightningModule, or give a function without arguments that returns the classifier."
        ) from error
    if not isinstance(classifier, nn.Module):
        raise LeafError(
            f"Expected {name} to return a torch.nn.Module; it returned {type(classifier).__name__}."
        )
    if isinstance(classifier, L.LightningModule):
        classifier.configure_model()
        classifier.on_load_checkpoint(checkpoint.content)
    _load_weights(classifier, checkpoint, name)
    return classifier.eval()


def _accepted(make: Any, hyper_parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the hyper-parameters that the constructor accepts, because subclasses save others."""
    parameters = inspect.signature(make).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return hyper_parameters
    return {name: value for name, value in hyper_parameters.items() if name in parameters}


def _load_weights(classifier: nn.Module, checkpoint: Checkpoint, name: str) -> None:
    try:
        classifier.load_state_dict(checkpoint.weights)
    except RuntimeError as error:
        difference = _differences(classifier.state_dict(), checkpoint.weights) or str(error)
        raise LeafError(
            f"Expected the weights of {checkpoint.path} to fit {name}; {difference}. Give the "
            "class that was trained, or a function that calls it with the same arguments."
        ) from error


def _differences(expected: dict[str, Any], received: dict[str, Any]) -> str:
    """Describe how the names and shapes of weights differ from those of a module."""
    shapes = {
        key: [tuple(getattr(weights[key], "shape", ())) for weights in (expected, received)]
        for key in expected.keys() & received.keys()
    }
    differences = {
        "missing keys in the checkpoint": expected.keys() - received.keys(),
        "unexpected keys in the checkpoint": received.keys() - expected.keys(),
        "different shapes": {
            f"{key} (expected {expected_shape}, got {shape})"
            for key, (expected_shape, shape) in shapes.items()
            if expected_shape != shape
        },
    }
    return "; ".join(f"{kind}: {_some(sorted(keys))}" for kind, keys in differences.items() if keys)


def _some(keys: list[str]) -> str:
    more = len(keys) - KEYS_SHOWN
    return ", ".join(keys[:KEYS_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _description(content: Any) -> str:
    if isinstance(content, dict):
        return f"a dict with the keys {_some(sorted(map(str, content))) or '(none)'}"
    return f"an object of type {type(content).__name__}"
