"""Identify a classifier by its weights and hyper-parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lightning.pytorch import LightningModule
from torch import nn

from lightning_leaf.errors import result_of
from lightning_leaf.predict.digests import Digest


def fingerprint(classifier: Callable[..., Any]) -> str:
    """Return the SHA-256 of the class name, weights and hyper-parameters of a classifier.

    Weights are all parameters and buffers, also buffers that are not saved. Hyper-parameters are
    the ``hparams`` of all LightningModules in it. The digest is the same in every process, on every
    device and for every checkpoint file with the same content. Functions are identified by name
    only, and so are objects that are no tensors, numbers or text.

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
    digest = Digest()
    if not isinstance(classifier, nn.Module):
        digest.add(getattr(classifier, "__qualname__", type(classifier).__qualname__))
        return digest.text()
    digest.add(type(classifier).__qualname__)
    for name, value in [*classifier.state_dict().items(), *classifier.named_buffers()]:
        digest.add(name)
        digest.add(value)
    for name, module in classifier.named_modules():
        if isinstance(module, LightningModule):
            digest.add(name)
            digest.add(result_of(lambda of: dict(of.hparams), module))
    return digest.text()
