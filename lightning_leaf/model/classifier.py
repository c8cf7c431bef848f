"""Any classifier as one function: a batch of inputs in, a batch of scores out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lightning_leaf.errors import LeafError, NonFiniteError
from lightning_leaf.model.quiet import quiet

HALF_PRECISION = (torch.float16, torch.bfloat16)
INPUTS_IN_ONE_PASS = 16
NUMBERS_IN_ONE_PASS = 2**17
"""Up to so many inputs, and numbers of their gradients, one pass for all classes is the faster way
on a CPU; beyond, intermediate results leave the cache: ``python -m tests.benchmarks chunks``."""


class Classifier:
    """The scores s(x) of a classifier, whatever it returns, in float32 or float64.

    Use it inside :func:`measuring`, which makes one for a model.

    Attributes:
        dtype: float64 where the model has float64 parameters, else float32: half-precision
            models are run on float32 copies of their parameters and buffers.
        device: Where the model lives; None for a callable without parameters.
        jacobian_products: How products with the Jacobian are taken, once it has been tried.
    """

    def __init__(self, model: Callable[..., Any]) -> None:
        self._model = model
        self.jacobian_products: str | None = None
        tensors = list(_named_tensors(model))
        floating = [tensor for _, tensor in tensors if tensor.is_floating_point()]
        self.device = tensors[0][1].device if tensors else None
        doubles = any(tensor.dtype == torch.float64 for tensor in floating)
        self.dtype = torch.float64 if doubles else torch.float32
        self._full_precision: dict[str, Tensor] | None = None
        if any(tensor.dtype in HALF_PRECISION for tensor in floating):
            self._full_precision = {
                name: tensor.detach().to(self.dtype) if tensor.is_floating_point() else tensor
                for name, tensor in tensors
            }

    def prepare(self, x: Tensor, name: str = "x") -> Tensor:
        """A batch as the model can take it: finite, floating point, its device and precision.

        Raises:
            LeafError: If x is no batch of floating-point inputs.
            NonFiniteError: If x holds NaN or infinity.
        """
        checked_inputs(x, name)
        if self._full_precision is None and x.dtype == torch.float64 and self.device is None:
            self.dtype = torch.float64  # a callable without parameters computes in its input's type
        # The clone also turns a tensor made in inference mode into an ordinary one.
        x = x.detach().clone().to(device=self.device, dtype=self.dtype)
        require_finite(x, name)
        return x

    def __call__(self, x: Tensor) -> Tensor:  # (B, ...) -> (B, C)
        """Return :meth:`scores`."""
        return self.scores(x)

    def scores(self, x: Tensor) -> Tensor:  # (B, ...) -> (B, C)
        """Scores whose softmax is p(y|x): logits or log-probabilities as the model returns them.

        A single logit s per input (binary classification) becomes the two scores (−s/2, s/2).

        Raises:
            LeafError: If the output is not one row of scores for each input.
        """
        output = self._output(x)
        return torch.cat([-0.5 * output, 0.5 * output], dim=1) if output.shape[1] == 1 else output

    def require_usable(self, x: Tensor) -> int:
        """Refuse models whose scores do not define p(y|x) of every single input.

        Two inputs and one backward pass are enough: the derivative of the first input's scores
        with respect to the second input is exactly zero unless the model mixes them.

        Returns:
            The number of classes.

        Raises:
            LeafError: If the model returns probabilities, has a single class, cannot be
                differentiated or mixes the inputs of a batch.
        """
        probe = x[:2].clone().requires_grad_()
        # A first layer that works in place must not be handed the leaf tensor itself.
        output = self._output(probe.clone())
        if not output.requires_grad:
            raise LeafError(
                "The classifier's output does not depend on its input through differentiable "
                "operations (it has no grad_fn). Remove torch.no_grad(), .detach() and NumPy "
                "from its forward."
            )
        _refuse_probabilities(output)
        # Log-probabilities hardly move together: weights of their own keep them from cancelling.
        weights = torch.arange(1, output.shape[1] + 1, dtype=output.dtype, device=output.device)
        (gradient,) = torch.autograd.grad(output[0] @ weights, probe, materialize_grads=True)
        if bool((gradient[1:].nan_to_num() != 0).any()):
            raise LeafError(
                "The classifier mixes the inputs of a batch: one input's scores depend on "
                "another's values, so G of a single input is not defined. Usual causes are "
                "batch-norm without running statistics, and a function that calls a module left "
                "in training mode. Pass the module itself (it is measured in evaluation mode) or "
                "give chunk_size=1."
            )
        return max(2, output.shape[1])  # one logit is two classes

    def _output(self, x: Tensor) -> Tensor:  # (B, ...) -> (B, C)
        if self._full_precision is None:
            output = self._model(x)
        else:
            assert isinstance(self._model, nn.Module)
            output = torch.func.functional_call(self._model, self._full_precision, (x,))
        scores = find_scores(output)
        if scores.ndim == 1 and scores.shape[0] == x.shape[0]:
            scores = scores.unsqueeze(1)
        if scores.ndim != 2 or scores.shape[0] != x.shape[0] or scores.shape[1] == 0:
            raise LeafError(
                "The classifier is expected to return one row of scores for each input, shape "
                f"({x.shape[0]}, C); got shape {tuple(scores.shape)}. For outputs per pixel or "
                "token, wrap the model and select or average one position."
            )
        if not scores.is_floating_point():
            raise LeafError(
                f"The classifier is expected to return floating-point scores; got {scores.dtype}. "
                "Return the logits themselves instead of predicted labels."
            )
        return scores


@contextmanager
def measuring(model: Callable[..., Any]) -> Iterator[Classifier]:
    """Open ``model`` for measuring: a :class:`Classifier` inside ``quiet``.

    An open :class:`Classifier` is returned as it is. Every function that takes a model therefore
    takes an open classifier too, and does not open it again.

    Args:
        model: A module or function, or a :class:`Classifier` that is already open.

    Raises:
        LeafError: If ``model`` is not callable.
    """
    if isinstance(model, Classifier):
        yield model
        return
    if not callable(model):
        raise LeafError(
            "model expects a torch.nn.Module or a function from inputs to logits; got "
            f"{type(model).__name__}."
        )
    with quiet(model):
        yield Classifier(model)


def log_softmax(scores: Tensor) -> Tensor:  # (B, C) -> (B, C)
    """log p in float64: in float32 the probabilities of a confident model round to one and zero."""
    return scores.detach().double().log_softmax(-1)


def contrast_gradients(scores: Tensor, x: Tensor) -> Tensor:  # (B, C), (B, ...) -> (B, C, d)
    """∇s_i − ∇s_0 of every input, by C − 1 backward passes; the first row is zero.

    G and D_x do not change when one row is added to all rows of the logit Jacobian J, because
    (diag p − p pᵀ) 1 = 0: these rows serve for it.

    Summing a class over the batch before differentiating is right because inputs do not mix; see
    :meth:`Classifier.require_usable`.
    """
    contrasts = (scores - scores[:, :1])[:, 1:]  # (B, C − 1)
    rows = None
    small = len(x) <= INPUTS_IN_ONE_PASS and contrasts[0].numel() * x.numel() <= NUMBERS_IN_ONE_PASS
    if small and x.device.type == "cpu":
        rows = in_one_pass(contrasts, x)
    if rows is None:
        rows = one_by_one(contrasts, x)
    return torch.nn.functional.pad(rows, (0, 0, 1, 0))


def in_one_pass(scores: Tensor, x: Tensor) -> Tensor | None:  # (B, n), (B, ...) -> (B, n, d)
    """All passes as one, or None where something in the model cannot be vectorised."""
    count = scores.shape[1]
    one_hot = torch.eye(count, dtype=scores.dtype).unsqueeze(1).expand(-1, len(x), -1)

    def gradient(cotangent: Tensor) -> Tensor:
        (found,) = torch.autograd.grad(
            scores, x, cotangent, retain_graph=True, materialize_grads=True
        )
        return found

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="There is a performance drop")
        try:
            gradients: Tensor = torch.vmap(gradient)(one_hot)  # (n, B, ...)
        except Exception:  # of PyTorch, or of hooks that expect a gradient of the usual kind
            return None
    return gradients.flatten(2).transpose(0, 1)


def one_by_one(scores: Tensor, x: Tensor) -> Tensor:  # (B, n), (B, ...) -> (B, n, d)
    """One pass after the other."""
    count = scores.shape[1]
    rows = x.new_zeros(x.shape[0], count, x[0].numel())
    for label in range(count):
        (gradient,) = torch.autograd.grad(
            scores[:, label].sum(), x, retain_graph=label < count - 1, materialize_grads=True
        )
        rows[:, label] = gradient.reshape(x.shape[0], -1)
    return rows


def checked_inputs(x: Tensor, name: str) -> None:
    """Raise LeafError unless x is a batch of floating-point inputs."""
    if not isinstance(x, Tensor) or x.ndim < 2 or x.numel() == 0:
        what = f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise LeafError(
            f"{name} expects a batch of inputs, a tensor of shape (B, ...) with B ≥ 1; got "
            f"{what}. For a single input add the batch axis with {name}.unsqueeze(0)."
        )
    if not x.is_floating_point():
        raise LeafError(
            f"{name} expects floating-point inputs, because G is made of derivatives with "
            f"respect to them; got {x.dtype}. Scale images to float first (ToTensor or "
            "ConvertImageDtype); for token ids measure the model on embeddings."
        )


def require_finite(tensor: Tensor, name: str) -> None:
    """Raise NonFiniteError, counting the rows that hold NaN or infinity."""
    bad = ~tensor.isfinite().flatten(1).all(1)
    if bool(bad.any()):
        raise NonFiniteError(
            f"Expected finite values in {name}; {int(bad.sum())} of {tensor.shape[0]} rows hold "
            "NaN or infinity. Check the data, or whether the training has diverged."
        )


def _named_tensors(model: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(model, nn.Module):
        yield from model.named_parameters()
        yield from model.named_buffers()


def find_scores(output: Any) -> Tensor:
    """The tensor of scores in whatever a classifier returns.

    Raises:
        LeafError: If none can be told.
    """
    if isinstance(output, Tensor):
        return output
    logits = getattr(output, "logits", None)
    if isinstance(logits, Tensor):
        return logits
    if isinstance(output, Mapping):
        if isinstance(output.get("logits"), Tensor):
            return output["logits"]  # type: ignore[no-any-return]
        tensors = [value for value in output.values() if isinstance(value, Tensor)]
        if len(tensors) == 1:
            return tensors[0]
    elif isinstance(output, (tuple, list)) and output and isinstance(output[0], Tensor):
        return output[0]
    described = type(output).__name__
    if isinstance(output, Mapping):
        described += f" with keys {sorted(map(str, output))}"
    raise LeafError(
        "The classifier is expected to return a tensor of logits, an object with .logits, a dict "
        f'with the key "logits" (or a single tensor), or a tuple that begins with them; got '
        f"{described}. Wrap it in a function that returns the logits."
    )


def _refuse_probabilities(scores: Tensor) -> None:
    classes = scores.shape[1]
    origin = _origin(scores.grad_fn)
    if classes == 1 and "Softmax" in origin:
        raise LeafError(
            "The classifier has a single class: a softmax over one score is always 1. Expected at "
            "least two classes, or one logit of a binary classifier without a softmax."
        )
    values = scores.detach()
    within = bool(((values >= 0) & (values <= 1)).all())
    sums_to_one = classes > 1 and bool(((values.sum(1) - 1).abs() < 1e-3).all())
    # Numbers in [0, 1] that do not sum to one may well be logits: only their origin tells.
    if within and (sums_to_one or origin.startswith("Sigmoid")):
        raise LeafError(
            "The classifier returns probabilities (values in [0, 1]"
            + (", rows that sum to one" if sums_to_one else ", from a sigmoid")
            + "); expected logits or log-probabilities. Leave out the last softmax or sigmoid, or "
            "return its logarithm (log_softmax, logsigmoid)."
        )


def _origin(node: Any) -> str:
    """Name of the operation that made a tensor, seen through changes of shape and type."""
    changes = ("View", "Squeeze", "Unsqueeze", "Select", "Slice", "Copy", "Clone")
    while node.name().startswith(changes) and node.next_functions[0][0] is not None:
        node = node.next_functions[0][0]
    return str(node.name())
