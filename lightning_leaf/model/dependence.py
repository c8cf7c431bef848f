"""Whether scores whose derivatives are zero or missing depend on the input all the same."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_leaf.errors import LeafError
from lightning_leaf.model.forward_pass import ForwardPass, weighted
from lightning_leaf.model.watch import Watch

NEAR = 1e-3
SCALES = (NEAR, 1e-2, 1e-1, 1.0)
"""Changes of the input, relative to its largest number."""

NO_WAY = "they have no grad_fn that leads to it"
REASONS = {
    "detach": ".detach()",
    "data": ".data",
    "numpy": "NumPy",
    "__array__": "NumPy",
    "tolist": ".tolist()",
    "item": ".item()",
    "argmax": "argmax",
    "argmin": "argmin",
    "one_hot": "one_hot",
    "bucketize": "bucketize",
    "multinomial": "multinomial",
    "bernoulli": "bernoulli",
    "round": "round",
    "sign": "sign",
    "floor": "floor",
    "ceil": "ceil",
    "long": ".long()",
    "int": ".int()",
    "byte": ".byte()",
}
"""Operations that end the graph of derivatives, and how they are called in a message."""


def require_zero_derivative(
    run: ForwardPass, scores: Tensor, gradient: Tensor | None, x: Tensor
) -> None:
    """Check that a derivative which is zero or missing is zero.

    It is where the scores are constant, as in a network whose units are all inactive, and at
    single points such as a black image, at which the derivative of ReLU counts as zero.

    Args:
        run: The forward pass.
        scores: The scores at x.
        gradient: Their derivative: zero, or None if autograd finds no way to the input.
        x: One or two prepared inputs.

    Raises:
        LeafError: If the scores change with the input, or do not depend on any tensor.
    """
    direction = random_direction(x)
    connected = gradient is not None
    if connected:
        near = (x + NEAR * direction).requires_grad_()
        moved = run(near.clone())
        (gradient,) = torch.autograd.grad(weighted(moved).sum(), near, allow_unused=True)
        if gradient is None or bool((gradient != 0).any()) or torch.equal(moved, scores):
            return
    with torch.no_grad():
        noise = (run(x.clone()) - scores).abs().max()  # of models that draw random numbers
        for scale in SCALES[:1] if connected else SCALES:
            if bool((run(x + scale * direction) - scores).abs().max() > 4 * noise):
                how = "their derivative is zero" if connected else NO_WAY
                raise not_differentiable(run, how, x)
    if not scores.requires_grad:
        raise LeafError(
            "The classifier's output does not depend on its input (it has no grad_fn, and does "
            "not change with the input). Pass forward= a function (model, inputs) -> scores."
        )


def random_direction(x: Tensor, seed: int = 0) -> Tensor:
    """Return plus or minus the largest number of x in every coordinate."""
    generator = torch.Generator().manual_seed(seed)
    signs = (torch.randint(0, 2, x.shape, generator=generator) * 2 - 1).to(x)
    return signs * (float(x.abs().max()) or 1.0)


def not_differentiable(run: ForwardPass, how: str, x: Tensor) -> LeafError:
    """Return the error about scores that change with the input although ``how``."""
    return LeafError(
        f"The classifier's scores change with its input, but {how}: its forward pass uses "
        f"{used_reasons(run, x)}. Remove this, or pass forward= a function (model, inputs) -> "
        "scores without it."
    )


def used_reasons(run: ForwardPass, x: Tensor) -> str:
    """Return the operations in a forward pass that end the graph of derivatives, as a list."""
    watch = Watch()
    run(x.clone().requires_grad_(), watch)
    used = dict.fromkeys(REASONS[name] for name in sorted(watch.names) if name in REASONS)
    used |= {"torch.no_grad()": None} if watch.no_grad else {}
    used |= {"torch.inference_mode()": None} if watch.inference else {}
    used |= {"quantized layers": None} if run.tensors.quantized else {}
    return ", ".join(used) or "operations outside of autograd"
