"""Negative controls: without each precaution, the same comparison fails or measuring does."""

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
from lightning_leaf.callbacks import example_pool
from lightning_leaf.geometry import data_matrix
from lightning_leaf.model import classifier, quiet
from lightning_leaf.paths import projectors as tangents
from tests.support.callbacks.training import digits, make_trainer
from tests.support.undisturbed import modules
from tests.support.undisturbed.contract import (
    Training,
    differences,
    ignore_advice,
    leaf_callbacks,
    loaders,
    outcome,
)
from tests.support.undisturbed.trainings import TRAININGS

pytestmark = ignore_advice


def nothing(*_: Any) -> Any:
    return nullcontext()


@contextmanager
def blanket_modes(module: nn.Module) -> Any:
    module.eval()
    yield
    module.train()


# Code that is compiled with donated buffers would refuse to be differentiated class by class.
COMPILED = replace(
    TRAININGS["compiled sub-module"],
    module=partial(modules.with_compiled_part, "aot_eager"),
    around=lambda: torch._functorch.config.patch(donated_buffer=False),
)

CARELESS: dict[str, tuple[str, Any, Training, set[str]]] = {
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
        Training(modules.Renormalising),
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
    "compiled code": ("eager_if_compiled", nothing, COMPILED, {"/compilations"}),
}


@pytest.mark.parametrize(
    ("precaution", "instead", "training", "noticed"), CARELESS.values(), ids=CARELESS.keys()
)
def test_each_precaution_is_needed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    precaution: str,
    instead: Any,
    training: Training,
    noticed: set[str],
) -> None:
    without = outcome(training, tmp_path / "without")
    monkeypatch.setattr(quiet, precaution, instead)
    watched = outcome(training, tmp_path / "with", leaf_callbacks())
    found = {where.partition(": ")[0] for where in differences(without, watched)}
    assert noticed <= found


def test_logging_has_to_be_silenced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning refuses `self.log` outside the hooks that may log."""
    monkeypatch.setattr(quiet, "silent_log", nothing)
    with pytest.raises(MisconfigurationException, match="inside `on_train_end`"):
        outcome(Training(), tmp_path, leaf_callbacks())


def test_generators_of_a_data_set_have_to_be_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = TRAININGS["transforms with generators of their own"]
    without = outcome(training, tmp_path / "without")
    monkeypatch.setattr(example_pool, "unchanged_generators", nothing)
    watched = outcome(training, tmp_path / "with", leaf_callbacks())
    assert "/losses[1]" in differences(without, watched)


def test_half_precision_modules_are_measured_on_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier, "HALF_PRECISION", ())
    with pytest.raises(RuntimeError, match="should be the same"):
        outcome(TRAININGS["bf16-true"], tmp_path, leaf_callbacks())


class InValidation(Callback):
    """A callback of one's own that measures where Lightning takes no gradients."""

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        self.trace = LocalDataMatrix.at(pl_module, digits()[0][:2]).trace()


def test_gradients_are_enabled_where_a_training_disables_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measuring = InValidation()
    without = outcome(Training(), tmp_path / "without")
    watched = outcome(Training(), tmp_path / "with", [measuring])
    assert differences(without, watched) == []
    assert measuring.trace.isfinite().all()
    # Negative control: both, because leaving inference mode enables gradients too.
    monkeypatch.setattr(torch, "inference_mode", nothing)
    monkeypatch.setattr(torch, "enable_grad", nothing)
    with pytest.raises(LeafError, match="no grad_fn"):
        outcome(Training(), tmp_path / "careless", [InValidation()])


def test_inference_mode_is_left_where_a_trainer_validates_alone(
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
    """Without that precaution the training is left alone, but what is measured is coarse."""

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
    assert first_value(tmp_path / "careless", under_autocast) != expected


def accumulating(scores: Tensor, x: Tensor) -> Tensor:
    """The same gradients by ``backward``, which reaches every parameter."""
    x.retain_grad()
    rows = []
    for label in range(scores.shape[1]):
        x.grad = None
        (scores[:, label] - scores[:, 0]).sum().backward(retain_graph=True)
        rows.append(x.grad.flatten(1).clone())
    return torch.stack(rows, 1)


def test_gradients_of_parameters_are_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = outcome(Training(), tmp_path / "without")
    monkeypatch.setattr(data_matrix, "contrast_gradients", accumulating)
    monkeypatch.setattr(tangents, "contrast_gradients", accumulating)
    found = differences(without, outcome(Training(), tmp_path / "with", leaf_callbacks()))
    assert any(where.startswith("/gradients/") for where in found)
    assert any(where.startswith("/hooks/") for where in found)


class Iterating(Callback):
    """What no callback should do: takes a batch from the trainer's own loader."""

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        next(iter(trainer.train_dataloader))


def test_loaders_are_not_iterated(tmp_path: Path) -> None:
    without = outcome(Training(), tmp_path / "without")
    touched = outcome(Training(), tmp_path / "with", [Iterating()])
    assert "/loader stream" in differences(without, touched)


def test_an_error_leaves_the_training_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A measurement that breaks off half-way disturbs as little as one that succeeds."""

    def broken(scores: Tensor, x: Tensor) -> Tensor:
        torch.rand(5)
        raise ArithmeticError("half-way")

    without = outcome(Training(), tmp_path / "without")
    monkeypatch.setattr(data_matrix, "contrast_gradients", broken)
    with pytest.warns(UserWarning, match="is switched off.*ArithmeticError: half-way"):
        watched = outcome(Training(), tmp_path / "with", [LocalDataMatrixMonitor()])
    assert differences(without, watched) == []
