"""Identify a classifier by its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def fingerprint(classifier: Callable[..., Any]) -> str:
    """Return the SHA-256 of the class name and of every parameter and buffer.

    It is the same in every process, on every device and for every checkpoint file with the same
    weights. Functions are identified by name only.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> one, other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
        >>> fingerprint(one) == fingerprint(other)
        False
        >>> _ = other.load_state_dict(one.state_dict())
        >>> fingerprint(one) == fingerprint(other)
        True
    """
    digest = hashlib.sha256()
    if not isinstance(classifier, nn.Module):
        digest.update(getattr(classifier, "__qualname__", type(classifier).__qualname__).encode())
        return digest.hexdigest()
    digest.update(type(classifier).__qualname__.encode())
    for name, value in classifier.state_dict().items():
        digest.update(name.encode())
        if isinstance(value, Tensor):
            digest.update(f"{value.dtype} {tuple(value.shape)}".encode())
            digest.update(_bytes(value))
        else:  # the result of get_extra_state
            digest.update(repr(value).encode())
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> Any:  # (...) -> (bytes,)
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
