"""Products with the logit Jacobian of a batch, without its entries."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property

import torch
import torch.autograd.forward_ad as forward_mode
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from lightning_leaf.errors import LeafError
from lightning_leaf.geometry.matrix_free.input_linear import InputLinear
from lightning_leaf.model.classifier import Classifier, require_finite
from lightning_leaf.model.memory import is_out_of_memory

ADJOINT_TOLERANCE = 1e-3
"""Largest difference of ⟨u, J v⟩ and ⟨Jᵀu, v⟩, relative to ‖u‖ ‖J v‖, if both belong to one J."""


class LogitJacobian:
    """J = ∂s/∂x of every input of a batch, as a map that multiplies vectors.

    Creation takes one forward pass, and Jᵀu one backward pass. J v is the derivative of Jᵀu with
    respect to u, one more pass through a stored graph, at about the cost of a forward pass. For
    models that cannot be differentiated twice, forward-mode differentiation computes it, at about
    the cost of two forward passes.

    Args:
        classifier: An open classifier, see :func:`~lightning_leaf.model.classifier.measuring`.
        x: Prepared inputs, ``(B, ...)``.

    Attributes:
        scores: s(x), ``(B, C)``.
    """

    def __init__(self, classifier: Classifier, x: Tensor) -> None:  # (B, ...)
        self._classifier = classifier
        self._x = x.detach().requires_grad_()
        self._graph = _scores(classifier, self._x)
        self.scores = self._graph.detach()

    def transposed(self, u: Tensor) -> Tensor:  # (B, C) -> (B, d)
        """Return Jᵀu, in the classifier's precision."""
        (gradient,) = torch.autograd.grad(
            self._graph,
            self._x,
            u.to(self._graph),
            retain_graph=True,
            materialize_grads=True,
        )
        return gradient.flatten(1)

    def __matmul__(self, v: Tensor) -> Tensor:  # (B, d) -> (B, C)
        """Return J v, in the classifier's precision.

        Raises:
            LeafError: If the model can be differentiated neither twice nor in forward mode.
        """
        return self._product(v.to(self._x).reshape(self._x.shape))

    @cached_property
    def _product(self) -> Callable[[Tensor], Tensor]:
        methods = {"twice backward": self._twice_backward, "forward": self._forward}
        if self._classifier.jacobian_products is None:
            self._classifier.jacobian_products = self._first_correct(methods)
        return methods[self._classifier.jacobian_products]()

    def _first_correct(self, methods: dict[str, Callable[[], Callable[[Tensor], Tensor]]]) -> str:
        """Return the first method whose products satisfy ⟨u, J v⟩ = ⟨Jᵀu, v⟩.

        Wrong or missing second derivatives violate it.
        """
        # Random vectors from a generator of their own: the caller's stream must not change.
        generator = torch.Generator().manual_seed(0)
        u = torch.randn(self.scores.shape, generator=generator).to(self._graph)
        v = torch.randn(self._x.shape, generator=generator).to(self._x)
        expected = (self.transposed(u) * v.flatten(1)).sum(1)
        require_finite(expected.unsqueeze(1), "the derivatives of the classifier")
        reasons = []
        for name, create in methods.items():
            try:
                product = create()(v)
            except (RuntimeError, NotImplementedError) as error:  # PyTorch has no formula
                if is_out_of_memory(error):
                    raise  # the caller repeats the measurement with fewer inputs
                reasons.append(str(error).partition("\n")[0])
                continue
            scale = torch.linalg.vector_norm(product, dim=1) * torch.linalg.vector_norm(u, dim=1)
            difference = ((u * product).sum(1) - expected).abs()
            if bool((difference <= ADJOINT_TOLERANCE * scale + torch.finfo(u.dtype).tiny).all()):
                return name
            reasons.append("its second derivative contradicts its first")
        raise LeafError(
            "Products with the Jacobian expect a model that can be differentiated twice, or in "
            f"forward mode; here: {'; '.join(reasons)}. Use LocalDataMatrix.at, which needs first "
            "derivatives only."
        )

    def _twice_backward(self) -> Callable[[Tensor], Tensor]:
        u = torch.ones_like(self._graph, requires_grad=True)
        (gradient,) = torch.autograd.grad(self._graph, self._x, u, create_graph=True)

        def product(v: Tensor) -> Tensor:
            return torch.autograd.grad(gradient, u, v, retain_graph=True)[0]

        return product

    def _forward(self) -> Callable[[Tensor], Tensor]:
        def product(v: Tensor) -> Tensor:
            with forward_mode.dual_level(), no_fused_attention(), warnings.catch_warnings():
                # PyTorch warns at the first use of forward mode.
                warnings.simplefilter("ignore", FutureWarning)
                x = forward_mode.make_dual(self._x.detach(), v)  # type: ignore[no-untyped-call]
                scores = self._classifier.scores(x)
                tangent = forward_mode.unpack_dual(scores).tangent  # type: ignore[no-untyped-call]
            return torch.zeros_like(scores) if tangent is None else tangent.detach()

        return product


def _scores(classifier: Classifier, x: Tensor) -> Tensor:
    with InputLinear(), no_fused_attention():
        # A first layer that works in place must not modify the leaf tensor.
        return classifier.scores(x.clone())


@contextmanager
def no_fused_attention() -> Iterator[None]:
    """Compute attention as products and a softmax: fused kernels have first derivatives only."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
