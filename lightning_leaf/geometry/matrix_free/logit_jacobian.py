"""Products with the logit Jacobian of a batch, without its entries."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property

import torch
import torch.autograd.forward_ad as forward_mode
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from lightning_leaf.errors import LeafError, NonFiniteError, message_of, type_name
from lightning_leaf.geometry.matrix_free.input_linear import InputLinear
from lightning_leaf.model.chunks import ROWS_OF_A_GRAPH, fitting_chunk_size
from lightning_leaf.model.classifier import Classifier, finite_rows, require_finite
from lightning_leaf.model.memory import is_out_of_memory

UNAVAILABLE = "unavailable"
"""The value of ``Classifier.jacobian_products`` if no method computes correct products."""
ADJOINT_TOLERANCE = 1e-3
"""Largest difference of ⟨u, J v⟩ and ⟨Jᵀu, v⟩, relative to ‖u‖ ‖J v‖, if both belong to one J."""
INPUTS_TO_TEST = 2


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
        method = self._classifier.jacobian_products
        if method in (None, UNAVAILABLE):
            method, reasons = self.choose_method()
            if method == UNAVAILABLE:
                raise LeafError(
                    "Products with the Jacobian expect a model that can be differentiated twice, "
                    f"or in forward mode; here: {'; '.join(reasons)}. Use LocalDataMatrix.at or "
                    "local_geometry(exact=True), which need first derivatives only."
                )
        return self._methods[str(method)]()

    @property
    def _methods(self) -> dict[str, Callable[[], Callable[[Tensor], Tensor]]]:
        return {"twice backward": self._twice_backward, "forward": self._forward}

    def choose_method(self) -> tuple[str, list[str]]:
        """Return the first method whose products satisfy ⟨u, J v⟩ = ⟨Jᵀu, v⟩.

        Wrong or missing second derivatives violate it. The classifier keeps the result unless all
        derivatives are zero, for which every method is correct.

        Returns:
            The method, or :data:`UNAVAILABLE`, and why others were rejected.

        Raises:
            NonFiniteError: If no input has finite derivatives.
        """
        # Random vectors from a generator of their own: the caller's stream must not change.
        generator = torch.Generator().manual_seed(0)
        u = torch.randn(self.scores.shape, generator=generator).to(self._graph)
        v = torch.randn(self._x.shape, generator=generator).to(self._x)
        expected = (self.transposed(u) * v.flatten(1)).sum(1)
        finite = expected.isfinite()
        if not bool(finite.any()):
            require_finite(expected.unsqueeze(1), "the derivatives of the classifier")
        method, reasons = UNAVAILABLE, []
        for name, create in self._methods.items():
            try:
                product = create()(v)
            except Exception as error:  # no formula in PyTorch, or a function or hook of the model
                if is_out_of_memory(error):
                    raise  # the caller repeats the measurement with fewer inputs
                reasons.append((message_of(error) or type_name(error)).partition("\n")[0])
                continue
            scale = torch.linalg.vector_norm(product, dim=1) * torch.linalg.vector_norm(u, dim=1)
            difference = ((u * product).sum(1) - expected).abs()
            correct = difference <= ADJOINT_TOLERANCE * scale + torch.finfo(u.dtype).tiny
            if bool(correct[finite].all()):
                method = name
                break
            reasons.append("its second derivative contradicts its first")
        if bool((expected[finite] != 0).any()):
            self._classifier.jacobian_products = method
        return method, reasons

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


def products_available(classifier: Classifier, inputs: Tensor) -> bool:  # (B, ...)
    """Return whether the model allows products with its Jacobian, beyond first derivatives.

    It is tested once for a classifier, at the first inputs with finite derivatives. If there are
    none, the answer is True, and the next call tests again.

    Args:
        classifier: An open classifier.
        inputs: Inputs from :meth:`Classifier.convert`, some of which may contain NaN.
    """
    if classifier.jacobian_products is None:
        finite = inputs[finite_rows(inputs)]
        chunk = fitting_chunk_size(len(inputs), ROWS_OF_A_GRAPH, inputs[0].numel())
        for count in (INPUTS_TO_TEST, chunk):  # more inputs if the first have no derivatives
            if len(finite) and classifier.jacobian_products is None:
                with suppress(NonFiniteError):
                    LogitJacobian(classifier, finite[:count]).choose_method()
    return classifier.jacobian_products != UNAVAILABLE


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
