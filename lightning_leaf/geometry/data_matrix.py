"""The local data matrix G(x, w) of every input of a batch, without ever forming it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lightning_leaf.errors import LeafError
from lightning_leaf.geometry.score_weights import ScoreWeights
from lightning_leaf.geometry.tangent_space import TangentSpace
from lightning_leaf.model.chunks import checked_chunk_size, fitting_chunk_size
from lightning_leaf.model.classifier import Classifier, log_softmax, measuring, require_finite
from lightning_leaf.model.contrast_gradients import contrast_gradients
from lightning_leaf.model.interruption import stop_if_wanted


class LocalDataMatrix:
    r"""G(x, w) = E_{y∼p}[∇ₓ log p_y ∇ₓ log p_yᵀ] = Jᵀ(diag p − p pᵀ)J for a batch of inputs.

    Equation 6 of Grementieri & Fioresi, "Model-centric data manifold". G is d×d, where d is the
    size of an input, but its rank is at most C − 1, the number of classes less one: it is kept
    as the contrasts ∇s_i − ∇s_0 (C×d) and the log-probabilities of each input. Gradients are
    float32 (float64 for float64 models); probabilities, Gram matrices and spectra are float64.

    Where the classifier is not differentiable, G is that of one side, which PyTorch chooses: at a
    ReLU of zero, and at ties in max-pooling, which a background of one grey makes everywhere. To
    second order it then tells of steps to that side only (``python -m examples.paper kl``).

    Make one with :meth:`at`.

    Attributes:
        log_probs: log p(y|x), shape ``(B, C)``, float64.
        tangent: The tangent distribution D_x = im G of every input.

    Example:
        >>> import torch
        >>> from lightning_leaf import LocalDataMatrix, effective_rank
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
        >>> g = LocalDataMatrix.at(model, torch.rand(5, 1, 8, 8))
        >>> g.trace().shape, g.eigenvalues().shape, g.tangent_dimension().tolist()
        (torch.Size([5]), torch.Size([5, 10]), [9, 9, 9, 9, 9])
        >>> v = torch.rand(5, 1, 8, 8)
        >>> torch.allclose(g @ g.reject(v), torch.zeros_like(v), atol=1e-6)
        True
    """

    def __init__(
        self,
        log_probs: Tensor,  # (B, C)
        jacobian: Tensor,  # (B, C, d)
        input_shape: torch.Size,
    ) -> None:
        self.log_probs = log_probs
        self.tangent = TangentSpace(jacobian)
        self._input_shape = input_shape
        self._weights = ScoreWeights(log_probs)

    @classmethod
    def at(
        cls,
        model: Callable[..., Any],
        x: Tensor,  # (B, ...)
        *,
        chunk_size: int | None = None,
    ) -> LocalDataMatrix:
        """The local data matrices of ``model`` at the inputs x: one forward, C − 1 backward passes.

        The model is measured in evaluation mode and left exactly as it was.

        Args:
            model: Any classifier: a module or function that maps a batch to logits,
                log-probabilities, one binary logit, an object with ``.logits``, a dict or tuple.
            x: Floating-point inputs of any shape, ``(B, ...)``, as the model takes them.
            chunk_size: Inputs per forward pass at most; bounds memory, does not change the result.
                Default 32. Fewer are taken where their gradients would need more than 1 GiB.

        Raises:
            LeafError: If the model returns probabilities, has one class, mixes the inputs of a
                batch or cannot be differentiated; if x is no batch of floating-point inputs.
            NonFiniteError: If x or the model's output holds NaN or infinity.
        """
        size = checked_chunk_size(chunk_size)
        with measuring(model) as classifier:
            return local_data_matrix(classifier, classifier.prepare(x), size)

    def __len__(self) -> int:
        return self.log_probs.shape[0]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape ``(B, d, d)`` of what :meth:`dense` would form."""
        size = self._input_shape.numel()
        return len(self), size, size

    def gram(self) -> Tensor:  # (B, C, C)
        """K = AAᵀ, float64: the non-zero part of G's spectrum is K's."""
        half = self._weights @ self.tangent.gram
        return self._weights @ half.mT

    def trace(self) -> Tensor:  # (B,)
        """Tr G = Σ_i p_i ‖∇ log p_i‖², float64, in units of 1 / input²."""
        return self.gram().diagonal(dim1=-2, dim2=-1).sum(-1)

    def eigenvalues(self) -> Tensor:  # (B, C)
        """The C largest eigenvalues of G, descending, float64; at most C − 1 are not zero."""
        ascending: Tensor = torch.linalg.eigvalsh(self.gram())
        return ascending.flip(-1).clamp_min(0)

    def tangent_dimension(self) -> Tensor:  # (B,)
        """Dim D_x: numerical rank of the contrast gradients ∇s_i − mean_j ∇s_j, int64.

        Unlike the spectrum of G it does not depend on how confident the model is.
        """
        return self.tangent.dimension()

    def finite_derivatives(self) -> Tensor:  # (B,)
        """Whether the gradients of each input are finite; its probabilities are."""
        return self.tangent.gram.isfinite().flatten(1).all(1)

    def factor(self) -> Tensor:  # (B, C, d)
        """A = diag(√p) · ∇ log p, with AᵀA = G and AAᵀ = K."""
        return (self._weights @ self.tangent.jacobian).to(self.tangent.jacobian.dtype)

    def pushforward(self, v: Tensor) -> Tensor:  # (B, ...) -> (B, C)
        """A v, float64: the image of v under x ↦ 2√p, whose length is that of v in the metric G."""
        return (self._weights @ self.tangent.coefficients(self._flatten(v))).squeeze(-1)

    def pullback(self, c: Tensor) -> Tensor:  # (B, C) -> (B, ...)
        """Aᵀc, float64, in the shape of the inputs.

        Raises:
            LeafError: If c is not one row of class space for each input.
        """
        coefficients = self._weights.transposed(checked_rows(c, self.log_probs).unsqueeze(-1))
        return self.tangent.combine(coefficients).reshape(len(self), *self._input_shape)

    def __matmul__(self, v: Tensor) -> Tensor:  # (B, ...) -> (B, ...)
        """G v for one vector per input, in the shape and type of v: two products of length d."""
        return self.pullback(self.pushforward(v)).reshape(v.shape).to(v)

    def project(self, v: Tensor) -> Tensor:  # (B, ...) -> (B, ...)
        """Orthogonal projection of v on the tangent distribution D_x (equation 9)."""
        return self.tangent.project(self._flatten(v)).reshape(v.shape).to(v)

    def reject(self, v: Tensor) -> Tensor:  # (B, ...) -> (B, ...)
        """V less its projection: the part in ker G, which the model does not see."""
        return v - self.project(v)

    def dense(self) -> Tensor:  # (B, d, d)
        """G itself, float64, for tests and tiny inputs: d² numbers for each input.

        Raises:
            LeafError: If d is so large that one matrix alone would take more than 1 GiB.
        """
        size = self._input_shape.numel()
        if size * size * 8 > 2**30:
            raise LeafError(
                f"dense() expects inputs of at most 11585 numbers; these have {size}, so each G "
                f"would take {size * size * 8 / 2**30:.1f} GiB. Use g @ v, eigenvalues() and "
                "project(v), which never form it."
            )
        factor = self._weights @ self.tangent.jacobian
        return factor.mT @ factor

    def _flatten(self, v: Tensor) -> Tensor:  # (B, d)
        return checked_vectors(v, (len(self), *self._input_shape)).to(self.log_probs.device)


def local_data_matrix(
    classifier: Classifier,
    inputs: Tensor,  # (B, ...)
    chunk_size: int,
) -> LocalDataMatrix:
    """Return the matrices of an open classifier at inputs from :meth:`Classifier.prepare`."""
    classes = classifier.require_usable(inputs[:chunk_size])
    size = fitting_chunk_size(chunk_size, classes, inputs[0].numel())
    log_probs, jacobians = [], []
    for chunk in torch.split(inputs, size):
        stop_if_wanted()
        chunk = chunk.detach().requires_grad_()
        # A first layer that works in place must not modify the leaf tensor.
        scores = classifier.scores(chunk.clone())
        require_finite(scores.detach(), "the classifier's output")
        log_probs.append(log_softmax(scores))
        jacobians.append(contrast_gradients(scores, chunk))
    return LocalDataMatrix(torch.cat(log_probs), torch.cat(jacobians), inputs.shape[1:])


def checked_vectors(v: Tensor, expected: tuple[int, ...]) -> Tensor:  # (B, ...) -> (B, d)
    """One flattened vector for each input.

    Raises:
        LeafError: If v has neither the shape of the inputs nor its flattened form.
    """
    flat = (expected[0], math.prod(expected[1:]))
    if tuple(v.shape) not in (expected, flat):
        raise LeafError(
            f"Expected one vector for each input, shape {expected} or its flattened form; got "
            f"{tuple(v.shape)}."
        )
    return v.detach().reshape(flat)


def checked_rows(c: Tensor, log_probs: Tensor) -> Tensor:  # (B, C) -> (B, C)
    """One float64 row of class space for each input.

    Raises:
        LeafError: If c has another shape than the log-probabilities.
    """
    if c.shape != log_probs.shape:
        raise LeafError(
            f"Expected one row of class space for each input, shape {tuple(log_probs.shape)}; got "
            f"{tuple(c.shape)}."
        )
    return c.detach().to(log_probs)
