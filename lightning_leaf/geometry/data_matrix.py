"""The local data matrix G(x, w) of every input of a batch, from the gradients of all classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lightning_leaf.errors import LeafError
from lightning_leaf.geometry.arguments import class_vectors, eigenvalue_count, input_vectors
from lightning_leaf.geometry.class_space import ClassSpace
from lightning_leaf.geometry.contrast_gradients import SpanningGradients
from lightning_leaf.geometry.estimates import LeadingSpectrum, TraceEstimate
from lightning_leaf.geometry.tangent_space import TangentSpace
from lightning_leaf.model.chunks import checked_chunk_size, chosen_chunk_size
from lightning_leaf.model.classifier import Classifier, measuring, require_finite
from lightning_leaf.model.forward import Forward
from lightning_leaf.model.interruption import raise_if_interrupted
from lightning_leaf.model.likelihood import Likelihood


class LocalDataMatrix:
    r"""G(x, w) = E_{y∼p}[∇ₓ log p_y ∇ₓ log p_yᵀ] = Jᵀ(diag p − p pᵀ)J for a batch of inputs.

    Equation 6 of Grementieri & Fioresi, "Model-centric data manifold". G is d×d, where d is the
    size of an input, but its rank is at most C − 1, the number of classes minus one. It is stored
    as the contrasts ∇s_i − ∇s_0 ((C − 1)×d) and the log-probabilities of each input. Gradients are
    float32 (float64 for float64 models); probabilities, Gram matrices and spectra are float64. For
    the types of results see :class:`~lightning_leaf.geometry.protocol.DataMatrix`.

    With ``likelihood="bernoulli"`` the C scores are logits of independent labels, each with the
    probability p_k = σ(s_k): G = Σ_k p_k (1 − p_k) ∇s_k ∇s_kᵀ is the sum of the matrices of the
    labels, A = diag(√(p (1 − p))) J, D_x = span{∇s_k}, and the rank is at most C and d.

    Where the classifier is not differentiable, PyTorch returns the derivative on one side: at a
    ReLU of zero, and at ties in max-pooling, which every constant background causes. To second
    order, G then describes steps to that side only (``python -m examples.paper kl``).

    Create one with :meth:`at`.

    Attributes:
        log_probs: log p(y|x), or log p_k(x) of every label, shape ``(B, C)``, float64.
        likelihood: What the scores mean.
        tangent: The tangent distribution D_x = im G of every input.
        class_space: K = AAᵀ and what follows from it.

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
        rows: Tensor,  # (B, n, d)
        input_shape: torch.Size,
        likelihood: Likelihood = "categorical",
    ) -> None:
        self.log_probs = log_probs
        self.likelihood = likelihood
        self.tangent = TangentSpace(rows)
        self.class_space = ClassSpace(
            log_probs, self.tangent.gram, likelihood, self.tangent.rounding
        )
        self._input_shape = input_shape

    @classmethod
    def at(
        cls,
        model: Callable[..., Any],
        x: Tensor,  # (B, ...)
        *,
        chunk_size: int | None = None,
        forward: Forward | None = None,
        likelihood: Likelihood | None = None,
    ) -> LocalDataMatrix:
        """Compute the matrices at the inputs x: one forward pass and C − 1 backward passes.

        C passes for independent labels. The model is measured in evaluation mode. Its state is
        restored afterwards.

        Args:
            model: Any classifier: a module or function that maps a batch to logits,
                log-probabilities, one binary logit, an object with ``.logits``, a dict or tuple.
            x: Inputs of any shape, ``(B, ...)``, as the model takes them: floating-point numbers,
                or bytes (uint8), for which G is that of the floats that the model makes of them.
            chunk_size: Largest number of inputs per forward pass; bounds memory. Results of other
                sizes differ by rounding only. Default: 32 on the CPU, what memory allows on a GPU,
                fewer if their gradients would need more than 1 GiB.
            forward: How to call the model: the name of a method or sub-module, or a function
                ``(model, inputs) -> scores``. Default: the model itself.
            likelihood: What the scores mean: ``"categorical"`` (default), exclusive classes with
                p = softmax(s); ``"bernoulli"``, independent labels with p_k = σ(s_k).

        Raises:
            LeafError: If the model returns probabilities, has one class, mixes the inputs of a
                batch or cannot be differentiated; if x is not a batch of such inputs.
            NonFiniteError: If x or the model's output contains NaN or infinity.
        """
        size = checked_chunk_size(chunk_size)
        with measuring(model, forward=forward, likelihood=likelihood, inputs=x) as classifier:
            return local_data_matrix(classifier, classifier.prepare(x), size)

    def __len__(self) -> int:
        return self.log_probs.shape[0]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape ``(B, d, d)`` of :meth:`dense`."""
        size = self._input_shape.numel()
        return len(self), size, size

    def gram(self) -> Tensor:  # (B, C, C)
        """Return K = AAᵀ, float64. Its non-zero eigenvalues are those of G."""
        return self.class_space.gram

    def trace(self) -> Tensor:  # (B,)
        """Return tr G, float64, in units of 1 / input².

        Σ_i p_i ‖∇ log p_i‖² for exclusive classes, Σ_k p_k (1 − p_k) ‖∇s_k‖² for labels.
        """
        return self.class_space.trace()

    def trace_estimate(self) -> TraceEstimate:
        """Return the trace with a standard error of zero."""
        trace = self.trace()
        return TraceEstimate(trace, torch.zeros_like(trace), self.log_probs.shape[1])

    def eigenvalues(self, count: int | None = None) -> Tensor:  # (B, count)
        """Return the largest eigenvalues of G, descending, float64.

        At most C − 1 are not zero for exclusive classes, at most d for independent labels.

        Args:
            count: Number of eigenvalues, from 1 to C. Default: C.

        Raises:
            LeafError: If ``count`` is out of its range.
        """
        classes = self.log_probs.shape[1]
        count = eigenvalue_count(count, classes, classes)
        return self.class_space.eigenvalues()[:, :count]

    def spectrum(self, count: int | None = None) -> LeadingSpectrum:
        """Return all C eigenvalues, exact up to rounding, for every ``count``.

        Raises:
            LeafError: If ``count`` is out of its range, from 1 to C.
        """
        classes = self.log_probs.shape[1]
        eigenvalue_count(count, classes, classes)
        return self.class_space.spectrum()

    def tangent_dimension(self) -> Tensor:  # (B,)
        """Return dim D_x: the numerical rank of the contrast gradients ∇s_i − mean_j ∇s_j, int64.

        For independent labels it is the rank of the gradients ∇s_k. Unlike the spectrum of G it
        does not depend on the confidence of the model.
        """
        return self.class_space.tangent_dimension()

    def finite_derivatives(self) -> Tensor:  # (B,)
        """Return a Boolean mask of the inputs with finite gradients."""
        return self.class_space.finite()

    def factor(self) -> Tensor:  # (B, C, d)
        """Return A, with AᵀA = G and AAᵀ = K.

        diag(√p) · ∇ log p for exclusive classes, diag(√(p (1 − p))) · J for independent labels.
        """
        return self._factor().to(self.tangent.rows.dtype)

    def pushforward(self, v: Tensor) -> Tensor:  # (B, ...) -> (B, C)
        """Return A v, float64. ‖A v‖ is the length of v in the metric G.

        For exclusive classes A v is the image of v under x ↦ 2√p.
        """
        products = self.class_space.with_zeros(self.tangent.coefficients(self._flatten(v)))
        return (self.class_space.weights @ products).squeeze(-1)

    def pullback(self, c: Tensor) -> Tensor:  # (B, C) -> (B, ...)
        """Return Aᵀc, float64, in the shape of the inputs.

        Raises:
            LeafError: If c is not one vector of class space for each input.
        """
        vectors = class_vectors(c, self.log_probs).unsqueeze(-1)
        coefficients = self.class_space.weights.transposed(vectors)
        coefficients = coefficients[:, -self.tangent.rows.shape[1] :]  # one of a row of zeros
        return self.tangent.combine(coefficients).reshape(len(self), *self._input_shape)

    def __matmul__(self, v: Tensor) -> Tensor:  # (B, ...) -> (B, ...)
        """Return G v for one vector per input, in the shape and type of v."""
        return self.pullback(self.pushforward(v)).reshape(v.shape).to(v)

    def project(self, v: Tensor) -> Tensor:  # (B, ...) -> (B, ...)
        """Return the orthogonal projection of v on the tangent distribution D_x (equation 9)."""
        return self.tangent.project(self._flatten(v)).reshape(v.shape).to(v)

    def reject(self, v: Tensor) -> Tensor:  # (B, ...) -> (B, ...)
        """Return v minus its projection: the part in ker G, to which predictions are insensitive.

        Insensitive to second order: KL(p(x) ‖ p(x + δ)) = ½ δᵀGδ + O(‖δ‖³) (equation 8).
        """
        return v - self.project(v)

    def dense(self) -> Tensor:  # (B, d, d)
        """Return G itself, float64, for tests and small inputs: d² numbers for each input.

        Raises:
            LeafError: If one matrix would take more than 1 GiB.
        """
        size = self._input_shape.numel()
        if size * size * 8 > 2**30:
            raise LeafError(
                f"dense() expects inputs of at most 11585 numbers; these have {size}, so each G "
                f"would take {size * size * 8 / 2**30:.1f} GiB. Use g @ v, eigenvalues() and "
                "project(v), which never form it."
            )
        factor = self._factor()
        return factor.mT @ factor

    def _factor(self) -> Tensor:  # (B, C, d)
        return self.class_space.weights @ self.class_space.with_zeros(self.tangent.rows)

    def _flatten(self, v: Tensor) -> Tensor:  # (B, d)
        return input_vectors(v, (len(self), *self._input_shape)).to(self.log_probs.device)


def local_data_matrix(
    classifier: Classifier,
    inputs: Tensor,  # (B, ...)
    chunk_size: int | None,
) -> LocalDataMatrix:
    """Compute the matrices of an open classifier at inputs from :meth:`Classifier.prepare`."""
    classes = classifier.require_usable(inputs[:chunk_size])
    size = chosen_chunk_size(chunk_size, classifier, classes, inputs[0].numel())
    gradients = SpanningGradients(classifier)
    log_probs, rows = [], []
    for chunk in torch.split(inputs, size):
        raise_if_interrupted()
        scores, gradient = scores_and_gradients(classifier, gradients, chunk)
        require_finite(scores, "the classifier's output")
        log_probs.append(classifier.log_probs(scores))
        rows.append(gradient)
    return LocalDataMatrix(
        _joined(log_probs), _joined(rows), inputs.shape[1:], classifier.likelihood
    )


def scores_and_gradients(
    classifier: Classifier, gradients: SpanningGradients, x: Tensor
) -> tuple[Tensor, Tensor]:  # (B, C), (B, n, d)
    """Return the scores and the gradients that span D_x, from one forward pass."""
    x = x.detach().requires_grad_()
    # A first layer that works in place must not modify the leaf tensor.
    scores = classifier.scores(x.clone())
    return scores.detach(), gradients(scores, x)


def _joined(parts: list[Tensor]) -> Tensor:
    """Return the rows of all parts, without a copy if there is one part, as usual."""
    return parts[0] if len(parts) == 1 else torch.cat(parts)
