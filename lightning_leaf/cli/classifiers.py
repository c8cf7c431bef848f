"""Build classifiers and load the weights of checkpoints into them."""

from __future__ import annotations

import inspect
from typing import Any

import lightning as L
from torch import nn

from lightning_leaf.cli.checkpoints import Checkpoint, some_names
from lightning_leaf.cli.failures import described, user_code
from lightning_leaf.errors import LeafError, type_name


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
    names = some_names(list(arguments)) or "none"
    call = (
        f"called with the hyper-parameters of {checkpoint.path} ({names})"
        if is_lightning
        else "called without arguments"
    )
    with user_code(
        f"Expected {name} to return the classifier when {call}; it",
        "Call self.save_hyperparameters() in the LightningModule, or give a function without "
        "arguments that returns the classifier.",
    ):
        classifier = make(**arguments)
    if not isinstance(classifier, nn.Module):
        raise LeafError(
            f"Expected {name} to return a torch.nn.Module; it returned {type_name(classifier)}."
        )
    with user_code(
        f"Expected {name} to load the weights of {checkpoint.path}; it",
        "Give the class that was trained, or a function that calls it with the same arguments.",
    ):
        if isinstance(classifier, L.LightningModule):
            classifier.configure_model()
            classifier.on_load_checkpoint(checkpoint.content)
        _load_weights(classifier, checkpoint, name)
        return classifier.eval()


def _accepted(make: Any, hyper_parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the hyper-parameters that the constructor accepts, because subclasses save others."""
    try:
        parameters = inspect.signature(make).parameters
    except (TypeError, ValueError):  # a signature that cannot be read
        return hyper_parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return hyper_parameters
    return {name: value for name, value in hyper_parameters.items() if name in parameters}


def _load_weights(classifier: nn.Module, checkpoint: Checkpoint, name: str) -> None:
    try:
        classifier.load_state_dict(checkpoint.weights)
    except RuntimeError as error:
        expected = classifier.state_dict()
        difference = _differences(expected, checkpoint.weights) or described(error)
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
    return "; ".join(
        f"{kind}: {some_names(sorted(keys))}" for kind, keys in differences.items() if keys
    )
