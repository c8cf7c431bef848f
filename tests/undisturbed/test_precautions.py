"""Negative controls: without each precaution, the comparison or the measurement fails."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn

from lightning_leaf import (
    LeafError,
    LocalDataMatrix,
    LocalDataMatrixMonitor,
)
from lightning_leaf.data import reading
from lightning_leaf.data.reading import Reader
from lightning_leaf.data.requests import Answer, Request
from lightning_leaf.geometry.contrast_gradients import SpanningGradients
from lightning_leaf.model import held_state, precision, quiet
from tests.support.callbacks.training import digits, make_trainer
from tests.support.undisturbed import modules
from tests.support.undisturbed.contract import (
    Outcome,
    Training,
    differences,
    ignore_advice,
    leaf_callbacks,
    loaders,
    outcome,
)
from tests.support.undisturbed.trainings import TRAININGS

pytestmark = ignore_advice


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The outcome of the default training without the callbacks."""
    return outcome(Training(), tmp_path_factory.mktemp("plain"))


def nothing(*_: Any) -> Any:
    return nullcontext()


@contextmanager
def blanket_modes(module: nn.Module) -> Any:
    module.eval()
    yield
    module.train()


@contextmanager
def float32_from_now_on() -> Any:
    torch.set_float32_matmul_precision("highest")
    yield


# Code compiled with donated buffers cannot be differentiated several times.
COMPILED = replace(
    TRAININGS["compiled sub-module"],
    module=partial(modules.with_compiled_part, "aot_eager"),
    around=lambda: torch._functorch.config.patch(donated_buffer=False),
)

WITHOUT_PRECAUTION: dict[str, tuple[str, Any, Training, set[str]]] = {
    "streams": (
        "random_streams",
        nothing,
        Training(),
        {"/torch stream", "/numpy stream[2]", "/python stream[1][624]", "/losses[0]"},
    ),
    "modes": (
        "evaluation_mode",
        blanket_modes,
        Training(),
        {"/modes/net.2", "/buffers/net.2.running_mean"},
    ),
    "buffers": (
        "unchanged_buffers",
        nothing,
        Training(),
        {"/buffers/calls", "/parameters/net.0.weight"},
    ),
    "weights": (
        "unchanged_parameters",
        nothing,
        Training(modules.Renormalizing),
        {"/parameters/net.3.weight", "/parameters/net.7.weight"},
    ),
    "numbers": (
        "unchanged_attributes",
        nothing,
        TRAININGS["numbers, features, lazy buffers"],
        {"/attributes//calls", "/attributes//features", "/buffers/scale", "/losses[0]"},
    ),
    "replaced buffers": (
        "unchanged_attributes",
        nothing,
        Training(),
        {"/buffers/replaced"},
    ),
    "computed weights": (
        "unchanged_attributes",
        nothing,
        TRAININGS["spectral norm"],
        {"/attributes/net.0/weight"},
    ),
    "precision of float32": (
        "full_float32",
        float32_from_now_on,
        TRAININGS["float32 products in bfloat16"],
        {"/changed settings[0]"},
    ),
    "compiled code": ("eager_if_compiled", nothing, COMPILED, {"/compilations"}),
}


@pytest.mark.parametrize(
    ("precaution", "replacement", "training", "expected"),
    WITHOUT_PRECAUTION.values(),
    ids=WITHOUT_PRECAUTION.keys(),
)
def test_each_precaution_is_needed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    plain: Outcome,
    precaution: str,
    replacement: Any,
    training: Training,
    expected: set[str],
) -> None:
    without = plain if training == Training() else outcome(training, tmp_path / "without")
    monkeypatch.setattr(quiet, precaution, replacement)
    # A prediction path ends with an evaluation without gradients, as a validation does, and would
    # leave the same computed weights.
    watched = outcome(training, tmp_path / "with", leaf_callbacks()[:3])
    found = {where.partition(": ")[0] for where in differences(without, watched)}
    assert expected <= found


def test_objects_that_modules_hold_must_be_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = TRAININGS["state in hooks, helpers, hidden modules"]
    without = outcome(training, tmp_path / "without")
    monkeypatch.setattr(held_state, "MOST_SEARCHED", 0)
    watched = outcome(training, tmp_path / "with", leaf_callbacks())
    assert {"/losses[0]", "/attributes//center"} <= set(differences(without, watched))


def test_data_sets_must_not_be_read_by_the_process_of_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = TRAININGS["data that reading changes"]
    without = outcome(training, tmp_path / "without")
    monkeypatch.setattr(Reader, "read", lambda self, request: Answer.of([*request(self.source)]))
    watched = outcome(training, tmp_path / "with", leaf_callbacks())
    assert "/losses[1]" in differences(without, watched)


def test_logging_of_the_module_must_be_silenced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning raises an error on `self.log` outside of the hooks that may log."""
    monkeypatch.setattr(quiet, "silent_log", nothing)
    with pytest.raises(MisconfigurationException, match="inside `on_train_end`"):
        outcome(Training(), tmp_path, leaf_callbacks())


def test_examples_must_not_be_read_from_the_data_set_of_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_here(self: reading.Reader, request: Request) -> Answer:
        return Answer.of(list(request(self.source)))

    training = TRAININGS["transforms with generators"]
    without = outcome(training, tmp_path / "without")
    monkeypatch.setattr(reading.Reader, "read", read_here)
    watched = outcome(training, tmp_path / "with", leaf_callbacks())
    assert "/losses[1]" in differences(without, watched)


def test_half_precision_modules_must_be_measured_on_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "HALF_PRECISION", ())
    with pytest.raises(RuntimeError, match="should be the same"):
        outcome(TRAININGS["bf16-true"], tmp_path, leaf_callbacks())


class InValidation(Callback):
    """A callback that measures in a hook in which Lightning disables gradients."""

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        self.trace = LocalDataMatrix.at(pl_module, digits()[0][:2]).trace()


def test_measuring_enables_gradients_in_validation_hooks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain: Outcome
) -> None:
    measuring = InValidation()
    watched = outcome(Training(), tmp_path / "with", [measuring])
    assert differences(plain, watched) == []
    assert measuring.trace.isfinite().all()
    # Negative control without both, because leaving inference mode enables gradients too.
    monkeypatch.setattr(torch, "inference_mode", nothing)
    monkeypatch.setattr(torch, "enable_grad", nothing)
    with pytest.raises(LeafError, match="no grad_fn"):
        outcome(Training(), tmp_path / "without precaution", [InValidation()])


def test_measuring_leaves_inference_mode_in_a_validation_without_a_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, module = make_trainer(tmp_path, [InValidation()]), modules.Plain()
    trainer.validate(module, loaders(torch.Generator())[1], verbose=False)
    # Negative control
    real = torch.inference_mode
    monkeypatch.setattr(
        torch, "inference_mode", lambda mode=True: real() if mode else nullcontext()
    )
    with pytest.raises(LeafError, match="no grad_fn"):
        trainer.validate(module, loaders(torch.Generator())[1], verbose=False)


def test_values_have_full_precision_under_autocast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without this precaution the training stays identical, but the values are inexact."""

    def first_value(root: Path, training: Training) -> float:
        monitor = LocalDataMatrixMonitor(probe=4, on_error="raise")
        outcome(training, root, [monitor], max_epochs=1)
        return monitor.history["trace_mean"][0]

    under_autocast = Training(
        modules.Plain, around=lambda: torch.autocast("cpu", dtype=torch.bfloat16)
    )
    expected = first_value(tmp_path / "full", Training(modules.Plain))
    assert first_value(tmp_path / "half", under_autocast) == expected
    # Negative control
    monkeypatch.setattr(quiet, "no_autocast", nothing)
    assert first_value(tmp_path / "without precaution", under_autocast) != expected


def accumulating(_: SpanningGradients, scores: Tensor, x: Tensor) -> Tensor:
    """Compute the same gradients with ``backward``, which also changes those of parameters."""
    x.retain_grad()
    rows = []
    for label in range(1, scores.shape[1]):
        x.grad = None
        (scores[:, label] - scores[:, 0]).sum().backward(retain_graph=True)
        rows.append(x.grad.flatten(1).clone())
    return torch.stack(rows, 1)


def test_gradients_of_parameters_do_not_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain: Outcome
) -> None:
    monkeypatch.setattr(quiet, "gradients_set_aside", nothing)
    monkeypatch.setattr(SpanningGradients, "__call__", accumulating)
    found = differences(plain, outcome(Training(), tmp_path / "with", leaf_callbacks()))
    assert any(where.startswith("/gradients/") for where in found)
    assert any(where.startswith("/hooks/") for where in found)


class Iterating(Callback):
    """A callback that takes a batch from the trainer's loader, which no callback should do."""

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        next(iter(trainer.train_dataloader))


def test_loaders_are_not_iterated(tmp_path: Path, plain: Outcome) -> None:
    watched = outcome(Training(), tmp_path / "with", [Iterating()])
    assert "/loader stream" in differences(plain, watched)


def test_training_is_identical_after_an_error_in_a_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain: Outcome
) -> None:
    """The error is raised in the middle of a measurement."""

    def broken(_: SpanningGradients, scores: Tensor, x: Tensor) -> Tensor:
        torch.rand(5)
        raise ArithmeticError("in a measurement")

    monkeypatch.setattr(SpanningGradients, "__call__", broken)
    with pytest.warns(UserWarning, match="switched itself off.*ArithmeticError: in a measurement"):
        watched = outcome(Training(), tmp_path / "with", [LocalDataMatrixMonitor()])
    assert differences(plain, watched) == []
