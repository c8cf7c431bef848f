"""Any classifier as one function: a batch of inputs in, a batch of scores out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lightning_leaf.errors import LeafError, NonFiniteError, message_of
from lightning_leaf.model.accelerators import computing_device
from lightning_leaf.model.built_copy import built_copy
from lightning_leaf.model.forward import Forward, forward_function
from lightning_leaf.model.forward_pass import ForwardPass
from lightning_leaf.model.likelihood import Likelihood, checked_likelihood, log_probabilities
from lightning_leaf.model.model_tensors import ModelTensors
from lightning_leaf.model.outputs import UnusableOutput, require_no_probabilities
from lightning_leaf.model.pixels import as_floats, pixel_scale
from lightning_leaf.model.precision import precisions
from lightning_leaf.model.quiet import quiet
from lightning_leaf.model.suggestions import suggested_forward
from lightning_leaf.model.trial import find_forward_pass
from lightning_leaf.model.unbuilt import is_unbuilt, require_built
from lightning_leaf.model.ways import first_that_runs
from lightning_leaf.model.wrappers import unwrapped


class Classifier:
    """The scores s(x) of a model in float32 or float64, whatever form the model returns them in.

    :func:`measuring` opens one. The weights of the model must not change while it is open: copies
    of half-precision weights and the results of :meth:`require_usable` are kept.

    Args:
        model: A module or function that maps a batch of inputs to scores.
        forward: How to call it, see :func:`~lightning_leaf.model.forward.forward_function`.
        likelihood: What the scores mean: ``"categorical"`` (default) for exclusive classes,
            ``"bernoulli"`` for independent labels.
        classes: Expected number of classes. In an output with several tensors, such as
            ``(features, logits)``, the tensor with this number of columns is taken.

    Attributes:
        model: The model itself.
        forward: The argument.
        likelihood: What the scores mean.
        classes: The argument.
        dtype: Type of inputs and scores: float64 if most parameters are float64, else float32.
            Half-precision models run in float32, see
            :func:`~lightning_leaf.model.precision.precisions`.
        device: Device of inputs, scores and results: that of the model, or the CPU if that has no
            float64. If the model is on several devices, one of them. None for a function.
        bytes_per_input: Size of the activations that a forward pass keeps for one input, after
            :meth:`require_usable`. None before, on the CPU, and where it is unknown.
        weights: Number of weights of the model; 0 for a function.
        is_open: False after the end of :func:`measuring`.
        jacobian_products: How to compute products with the Jacobian, after the first product.
        pixel_scale: Factor by which :meth:`convert` and :meth:`prepare` turn bytes into floats: 1
            (images from 0 to 255) or 1/255 (from 0 to 1). None before the first bytes.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        *,
        forward: Forward | None = None,
        likelihood: Likelihood | None = None,
        classes: int | None = None,
    ) -> None:
        self.model = model
        self.forward = forward
        self.likelihood = checked_likelihood(likelihood)
        self.classes = classes
        self.is_open = True
        self.jacobian_products: str | None = None
        self.pixel_scale: float | None = None
        self.bytes_per_input: int | None = None
        self._tensors = ModelTensors(model)
        self.weights = sum(each.numel() for each in self._tensors.parameters)
        self.device = computing_device(self._tensors.devices)
        self.dtype = self._tensors.dtype
        self._precisions = precisions(
            self._tensors.parameters, self._tensors.buffers, self._tensors.scripted
        )
        self._run = ForwardPass(
            model,
            forward_function(model, forward),
            self._tensors,
            classes,
            self._precisions[0],
            next(iter(self._tensors.devices), None),
            recurrent=self._tensors.recurrent,
        )
        self._run_is_known = False
        # Number of classes by (shape of an input, whether the mixing of inputs was tested).
        self._usable: dict[tuple[torch.Size, bool], int] = {}

    def close(self) -> None:
        """End the measurement and release the copies of half-precision weights."""
        self.is_open = False
        self._tensors.release()

    def _resume(self, closed: Classifier) -> None:
        """Run forward passes as a classifier of the same model did before it was closed."""
        found = closed._run
        self._run = replace(
            self._run,
            precision=found.precision,
            through_no_grad=found.through_no_grad,
            recurrent=found.recurrent,
        )
        if found.device is None or found.device in self._tensors.devices:  # not moved since then
            self._run = replace(self._run, device=found.device)
            self._run_is_known = closed._run_is_known
        self.pixel_scale = closed.pixel_scale

    def prepare(self, x: Tensor, name: str = "x") -> Tensor:
        """Return a finite copy of x on the device and in the precision of the model.

        Raises:
            LeafError: See :meth:`convert`.
            NonFiniteError: If x contains NaN or infinity.
        """
        prepared = self.convert(x, name)
        require_finite(prepared, name)
        return prepared

    def convert(self, x: Tensor, name: str = "x") -> Tensor:
        """Return a copy of x, which may contain NaN, on the device and in the model's precision.

        Bytes (uint8) become the floats for which the model returns the same scores, see
        :func:`~lightning_leaf.model.pixels.pixel_scale`.

        Raises:
            LeafError: If x is not a batch of floating-point inputs or bytes, or if the model does
                not take its bytes.
        """
        checked_inputs(x, name)
        # A model without parameters computes in the type of its input.
        keep_double = self.device is None and x.dtype == torch.float64
        dtype = torch.float64 if keep_double else self.dtype
        if x.dtype == torch.uint8:
            x = x.detach().to(self.device)
            if self.pixel_scale is None:
                self.pixel_scale = pixel_scale(self._ways, x, dtype, name)
            return as_floats(x, self.pixel_scale, dtype)
        # The copy of a tensor made in inference mode is an ordinary tensor.
        return x.detach().to(device=self.device, dtype=dtype, copy=True)

    def __call__(self, x: Tensor) -> Tensor:  # (B, ...) -> (B, C)
        """Return :meth:`scores`."""
        return self.scores(x)

    def scores(self, x: Tensor) -> Tensor:  # (B, ...) -> (B, C)
        """Return scores whose softmax is p(y|x): the logits or log-probabilities of the model.

        A single logit s per input (binary classification) becomes the two scores (−s/2, s/2). With
        the likelihood ``"bernoulli"`` the scores are logits of independent labels, and a single
        one stays one.

        Raises:
            LeafError: If the output is not one row of scores for each input.
        """
        with self._with_advice(x):
            self._run, output = first_that_runs(self._ways, lambda run: run(x))
        return torch.cat([-0.5 * output, 0.5 * output], 1) if self._is_one_logit(output) else output

    def log_probs(self, scores: Tensor) -> Tensor:  # (B, C) -> (B, C)
        """Return log p of each class or label, float64, from :meth:`scores`."""
        return log_probabilities(scores, self.likelihood)

    def require_usable(self, x: Tensor) -> int:
        """Check on the first two inputs that the scores define p(y|x) of every single input.

        The derivative of the second input's scores with respect to the first input is zero unless
        the model mixes inputs. One forward and one backward pass test it. (A recurrent network
        that takes the batch for time lets later inputs depend on earlier ones.)

        The result is kept for inputs of the same shape. Two cases do not count as a test of
        mixing, which is then repeated at the next call: a single input, and derivatives that are
        zero or not finite.

        Args:
            x: Prepared inputs, ``(B, ...)``.

        Returns:
            The number of classes or labels.

        Raises:
            LeafError: If the model returns probabilities, has a single class, cannot be
                differentiated or mixes the inputs of a batch.
        """
        shape, pair = x.shape[1:], len(x) > 1
        known = self._usable.get((shape, pair))
        if known is not None:
            return known
        with self._with_advice(x):
            trial = find_forward_pass(self._ways, x[:2])
        self._run, output, inputs = trial.run, trial.scores, trial.inputs
        self._run_is_known = True
        self.bytes_per_input = trial.bytes_per_input
        require_no_probabilities(output)
        if any(each.has_numbers for each in inputs[:-1]):
            raise LeafError(
                "The classifier mixes the inputs of a batch: one input's scores depend on "
                "another's values, so G of a single input is not defined. Usual causes are "
                "batch-norm without running statistics, a recurrent network without "
                "batch_first=True, and a function that calls a module left in training mode. Pass "
                "the module itself (it is measured in evaluation mode) or give chunk_size=1."
            )
        classes = 2 if self._is_one_logit(output) else output.shape[1]
        self._usable[shape, False] = classes
        if pair and inputs and inputs[-1].is_not_zero and all(each.is_finite for each in inputs):
            self._usable[shape, True] = classes
        return classes

    def suggested_forward(self, x: Tensor, classes: int | None = None) -> str:
        """Return a sentence that names a ``forward=`` with which the model returns scores.

        Args:
            x: Prepared inputs. Two of them are tried.
            classes: Expected number of classes, if known.

        Returns:
            Such as "For example, forward='head' returns 3 scores for each input."; empty if none
            was found.
        """
        return suggested_forward(self._run, x[:2], classes)

    @contextmanager
    def _with_advice(self, x: Tensor) -> Iterator[None]:
        """Name a ``forward=`` that works in errors about the output of the model."""
        try:
            yield
        except UnusableOutput as error:
            advice = self.suggested_forward(x, self.classes)
            raise LeafError(f"{message_of(error)} {advice}".strip()) from error
        except NotImplementedError as error:
            if 'missing the required "forward"' not in message_of(error):
                raise
            advice = self.suggested_forward(x, self.classes)
            raise LeafError(
                f"{type(self.model).__name__} has no forward method. Name the method or sub-module "
                f"that returns scores with forward=. {advice}".strip()
            ) from error

    @property
    def _ways(self) -> list[ForwardPass]:
        if self._run_is_known:
            return [self._run]
        devices: list[torch.device | None] = [*self._tensors.devices] or [None]
        return [
            replace(self._run, precision=precision, device=device)
            for precision in self._precisions
            for device in devices
        ]

    def _is_one_logit(self, output: Tensor) -> bool:
        return output.shape[1] == 1 and self.likelihood == "categorical"


@contextmanager
def measuring(
    model: Callable[..., Any],
    *,
    forward: Forward | None = None,
    likelihood: Likelihood | None = None,
    classes: int | None = None,
    inputs: Tensor | None = None,  # (B, ...)
) -> Iterator[Classifier]:
    """Open ``model`` for measuring: a :class:`Classifier` inside ``quiet``.

    An open :class:`Classifier` is returned as it is. Every function that takes a model therefore
    takes an open classifier too, and does not open it again.

    Args:
        model: A module or function, or a :class:`Classifier`. Of a wrapped module (Fabric, DDP,
            ``torch.compile``) the module inside is opened. A classifier that has been closed is
            opened again from its model, in the same way.
        forward: See :class:`Classifier`, as the other arguments.
        likelihood: None for ``"categorical"``.
        classes: None if unknown.
        inputs: The inputs that will be measured, if a model with lazy modules may be opened: a
            copy is then built from them, see :func:`~lightning_leaf.model.built_copy.built_copy`.

    Raises:
        ModelIsUnbuilt: If the model has lazy modules and no inputs are given.
        LeafError: If ``model`` is not callable, or if it is a :class:`Classifier` and ``forward``,
            ``likelihood`` or ``classes`` are given.
    """
    closed: Classifier | None = None
    if isinstance(model, Classifier):
        if not (forward is None and likelihood is None and classes is None):
            raise LeafError(
                "forward, likelihood and classes belong to the call that opens the model; got an "
                "open classifier together with them. Pass them to measuring(model, ...)."
            )
        if model.is_open:
            yield model
            return
        forward, likelihood, classes = model.forward, model.likelihood, model.classes
        closed, model = model, model.model
    model = unwrapped(model)
    if inputs is not None and is_unbuilt(model):
        checked_inputs(inputs, "x")
        model = built_copy(model, forward_function(model, forward), inputs)
    require_built(model)
    with quiet(model):
        classifier = Classifier(model, forward=forward, likelihood=likelihood, classes=classes)
        if closed is not None:
            classifier._resume(closed)
        try:
            yield classifier
        finally:
            classifier.close()


def checked_inputs(x: Tensor, name: str) -> None:
    """Raise LeafError unless x is a batch of floating-point inputs or of bytes."""
    if not isinstance(x, Tensor) or x.ndim < 2 or x.numel() == 0:
        what = f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise LeafError(
            f"{name} expects a batch of inputs, a tensor of shape (B, ...) with B ≥ 1; got "
            f"{what}. For a single input add the batch axis with {name}.unsqueeze(0)."
        )
    if not (x.is_floating_point() or x.dtype == torch.uint8):
        raise LeafError(
            f"{name} expects floating-point inputs, because G is made of derivatives with "
            f"respect to them; got {x.dtype}. Scale images to float first (ToTensor or "
            "ConvertImageDtype); for token ids measure the model on embeddings."
        )


def finite_rows(tensor: Tensor) -> Tensor:  # (B, ...) -> (B,)
    """Return a boolean mask of the rows without NaN and infinity."""
    return tensor.isfinite().flatten(1).all(1)


def require_finite(tensor: Tensor, name: str) -> None:
    """Raise NonFiniteError with the number of rows that contain NaN or infinity."""
    bad = ~finite_rows(tensor)
    if bool(bad.any()):
        raise NonFiniteError(
            f"Expected finite values in {name}; {int(bad.sum())} of {tensor.shape[0]} rows hold "
            "NaN or infinity. Check the data, or whether the training has diverged."
        )
