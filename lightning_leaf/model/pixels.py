"""Images as bytes: the floats that give a model the same scores."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_leaf.errors import LeafError, message_of, of_signal_handler
from lightning_leaf.model.forward_pass import ForwardPass
from lightning_leaf.model.memory import is_out_of_memory

SCALES = (1.0, 1 / 255)
TOLERANCE = 1e-5
"""Largest difference of scores, relative to the largest score, of two inputs that agree."""


def pixel_scale(ways: Sequence[ForwardPass], x: Tensor, dtype: torch.dtype, name: str) -> float:
    """Return the factor by which bytes become floats with the same scores, 1 or 1/255.

    It is 1 for a forward pass such as ``self.net(x.float() / 255)``. It is 1/255 for one that
    scales bytes only (``if x.dtype == torch.uint8: x = x / 255``) and leaves floats as they are.

    Args:
        ways: Forward passes to try, in this order.
        x: Inputs of type uint8, on the device of the classifier.
        dtype: Type of the floats.
        name: Name of the inputs, for the message.

    Raises:
        LeafError: If the model does not take bytes, or if neither factor gives the same scores.
    """
    cause = "it gives other scores for x.float() and for x.float() / 255"
    for run in ways:
        try:
            with torch.no_grad():
                expected = run(x[:2].clone())
                tolerance = TOLERANCE * float(expected.abs().max())
                for scale in SCALES:
                    scores = run(as_floats(x[:2], scale, dtype))
                    if torch.allclose(scores.double(), expected.double(), rtol=0, atol=tolerance):
                        return scale
        except Exception as error:  # noqa: PERF203
            if is_out_of_memory(error) or of_signal_handler(error) is not None:
                raise
            cause = message_of(error).strip().partition("\n")[0]
    raise LeafError(
        f"{name} expects floating-point inputs, or bytes that the model itself turns into floats; "
        f"got torch.uint8 ({cause}). Scale them as the training does, {name}.float() / 255, or "
        "pass forward= a function (model, inputs) -> scores of float inputs from 0 to 255."
    )


def as_floats(x: Tensor, scale: float, dtype: torch.dtype) -> Tensor:
    """Return bytes as floats. Dividing by 255 rounds as ``ToTensor`` does."""
    return x.to(dtype) if scale == 1 else x.to(dtype) / 255
