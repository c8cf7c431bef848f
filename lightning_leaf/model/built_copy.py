"""Build lazy modules for a measurement as their next call would, without touching the model."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import UninitializedBuffer

from lightning_leaf.model.chunks import CHUNK_SIZE
from lightning_leaf.model.quiet import random_streams

LOGGER = logging.getLogger("lightning_leaf")


def built_copy(model: Any, function: Callable[[Any, Tensor], Any], inputs: Tensor) -> Any:
    """Return a copy of a lazy model, with the weights that its next call would give it.

    Its first forward pass draws the weights from the global random number generators. The copy
    runs this pass now, in the mode of the model, and the generators are restored: a call of the
    model itself then draws the same weights.

    Args:
        model: A model with lazy modules, which stays as it is.
        function: Calls the model, see :func:`~lightning_leaf.model.forward.forward_function`.
        inputs: A batch of inputs, of which the pass takes the first 32.
    """
    # PyTorch copies lazy parameters, but not lazy buffers.
    memo = {
        id(buffer): type(buffer)(device=buffer.device, dtype=buffer.dtype)  # type: ignore[call-arg]
        for buffer in model.buffers()
        if isinstance(buffer, UninitializedBuffer)
    }
    LOGGER.info(
        "The lazy modules of %s are not built yet. Measured are the weights that its next call "
        "would draw. Call the model once, model(x), to build it.",
        type(model).__name__,
    )
    built = copy.deepcopy(model, memo)
    with random_streams(), torch.inference_mode(False), torch.no_grad():
        function(built, inputs[:CHUNK_SIZE].detach().clone())
    return built
