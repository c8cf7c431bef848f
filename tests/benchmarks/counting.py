"""Operations and bytes of the package's calls, counted without running them.

The calls run on torch's device "meta", which has shapes but no values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lightning_leaf.geometry.data_matrix import LocalDataMatrix
from lightning_leaf.geometry.tangent_space import TangentSpace
from lightning_leaf.model.classifier import Classifier
from tests.benchmarks.models import Subject


@dataclass(frozen=True)
class Work:
    """Minimum work of a call."""

    flops: float
    """Floating-point operations in the inputs' precision; a multiplication and an addition are 2.
    Products and convolutions only: element-wise operations are bound by memory bandwidth."""
    bytes: float
    """Bytes that must be read or written once, independent of the cache."""
    double_flops: float = 0.0
    """Floating-point operations in float64, for the algebra of G in class space."""

    def __add__(self, other: Work) -> Work:
        return Work(
            self.flops + other.flops,
            self.bytes + other.bytes,
            self.double_flops + other.double_flops,
        )

    def times(self, count: int) -> Work:
        return Work(self.flops * count, self.bytes * count, self.double_flops * count)


@dataclass(frozen=True)
class Count:
    """The work of a batch."""

    forward: Work
    backward: Work
    """Backward pass of one class with respect to the input only."""
    exact: Work
    """One forward pass, C − 1 backward passes, and trace and spectrum of G."""
    step: Work
    """One step of a horizontal path by all classes: as ``exact``, with projections on D_x."""
    activation_bytes: float
    """Bytes saved by the forward pass for the backward passes, without parameters."""


def count(subject: Subject, batch: int) -> Count:
    """Count the work of measuring ``batch`` inputs of a subject."""
    # Measurements need no gradients of weights, so nothing is saved for them.
    model = subject.model("meta").requires_grad_(False)
    x = subject.inputs("meta", batch).requires_grad_()
    parameters = sum(p.nbytes for p in model.parameters())

    with counted_products(), saved_bytes(model) as saved, FlopCounterMode(display=False) as forward:
        classifier = Classifier(model)
        scores = classifier.scores(x)
    with counted_products(), FlopCounterMode(display=False) as backward:
        torch.autograd.grad(scores[:, 0].sum(), x, retain_graph=True)
    activations = sum(saved.values())

    rows = torch.empty(batch, subject.classes - 1, x[0].numel(), device="meta")
    log_probs = classifier.log_probs(scores)

    def matrix() -> None:
        LocalDataMatrix(log_probs, rows, x.shape[1:]).gram()

    def projections() -> None:
        tangent = TangentSpace(rows)
        tangent.project(x.flatten(1))  # the displacement
        tangent.projected_square(x.flatten(1).double())  # of the step

    one_forward = Work(
        forward.get_total_flops(), parameters + x.nbytes + activations + scores.nbytes
    )
    # Gradients between layers may stay in cache; inputs, scores, weights, activations are read.
    one_backward = Work(
        backward.get_total_flops(), parameters + activations + scores.nbytes + x.nbytes
    )
    network = one_forward + one_backward.times(subject.classes - 1)
    return Count(
        forward=one_forward,
        backward=one_backward,
        exact=network + Work(0, rows.nbytes, flops(matrix)),
        step=network + Work(0, rows.nbytes * 5, flops(projections)),
        activation_bytes=activations,
    )


def flops(call: Callable[[], Any]) -> int:
    """Return the floating-point operations of the products and convolutions in a call."""
    with counted_products(), FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())


@contextmanager
def counted_products() -> Iterator[None]:
    """Run attention as plain products; the counter does not support the fused CPU kernel."""
    with sdpa_kernel(SDPBackend.MATH):
        yield


@contextmanager
def saved_bytes(model: nn.Module) -> Iterator[dict[StorageWeakRef, int]]:
    """Record the bytes that a forward pass saves, by storage, without parameters."""
    own = {StorageWeakRef(tensor.untyped_storage()) for tensor in model.state_dict().values()}
    found: dict[StorageWeakRef, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = StorageWeakRef(tensor.untyped_storage())
        if storage not in own:
            found[storage] = max(found.get(storage, 0), tensor.nbytes)
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        yield found
