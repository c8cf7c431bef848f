"""A training with the four callbacks is bitwise identical to the training without them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.plugins.precision import MixedPrecision

from tests.support.callbacks.training import make_trainer, snapshots
from tests.support.undisturbed.contract import (
    Training,
    differences,
    ignore_advice,
    leaf_callbacks,
    loaders,
    outcome,
)
from tests.support.undisturbed.modules import Plain
from tests.support.undisturbed.trainings import MODULES, PRECISIONS, TRAININGS

pytestmark = ignore_advice


def require_identical_trainings(root: Path, training: Training) -> None:
    without = outcome(training, root / "without")
    callbacks = leaf_callbacks()
    watched = outcome(training, root / "with", callbacks)
    assert differences(without, watched) == []
    # The callbacks did measure: this does not compare two trainings without them.
    monitor, horizontal, walk, prediction = callbacks
    if training.options.get("fast_dev_run"):  # one step, without loggers
        assert monitor.history["step"] == [0, 1]
        return
    steps = monitor.history["step"]
    assert len(steps) >= 3
    assert horizontal.last_snapshot is not None
    assert walk.last_snapshot is not None
    assert prediction.last_snapshot is not None
    if list((root / "with").rglob("events.out.tfevents.*")):
        assert len(snapshots(root / "with", horizontal.name)) >= 3
        # A module that the first step builds has no walk before it.
        assert len(snapshots(root / "with", walk.name)) == (2 if steps[0] == 0 else 1)


@pytest.mark.parametrize("training", TRAININGS.values(), ids=TRAININGS.keys())
def test_training_is_bitwise_identical_with_the_callbacks(
    tmp_path: Path, training: Training
) -> None:
    require_identical_trainings(tmp_path, training)


def test_training_that_stops_early_on_the_trace_equals_a_training_of_that_length(
    tmp_path: Path,
) -> None:
    stopper = EarlyStopping(
        "leaf/trace_median", mode="max", stopping_threshold=1e-9, check_on_train_epoch_end=True
    )
    callbacks = leaf_callbacks()
    watched = outcome(Training(), tmp_path / "with", [*callbacks, stopper], max_epochs=9)
    assert stopper.stopped_epoch == 0
    without = outcome(Training(), tmp_path / "without", max_epochs=1)
    # Only one of the two trainings has an EarlyStopping callback, whose state is saved.
    for checkpoint in watched["checkpoints"].values():
        checkpoint["callbacks"] = {
            name: state
            for name, state in checkpoint["callbacks"].items()
            if not name.startswith("EarlyStopping")
        }
    assert differences(without, watched) == []
    assert callbacks[0].history["step"] == [0, 2, 4]


HALVES = {
    "bf16-mixed": ({"precision": "bf16-mixed"}, torch.bfloat16),
    "16-mixed": ({"plugins": lambda _: [MixedPrecision("16-mixed", "cpu")]}, torch.float16),
    "bf16-true": ({"precision": "bf16-true"}, torch.bfloat16),
}


@pytest.mark.parametrize("name", HALVES)
def test_half_precision_trainings_compute_in_half_precision(tmp_path: Path, name: str) -> None:
    """The trainings compute in the data type after which they are named."""
    options, expected = HALVES[name]
    assert PRECISIONS[name].options.keys() == options.keys()
    module = Plain()
    options = {key: value(tmp_path) if callable(value) else value for key, value in options.items()}
    trainer = make_trainer(tmp_path, [], max_epochs=1, **options)
    trainer.fit(module, loaders(torch.Generator())[0])
    assert module.score_types == {expected}
    assert ("scale" in trainer.precision_plugin.state_dict()) == (name == "16-mixed")


ON_GPU = {
    **{
        name: PRECISIONS[name]
        for name in ("float32", "float32 products in bfloat16", "bf16-mixed", "bf16-true")
    },
    "16-mixed": Training(options={"precision": "16-mixed"}),
    "spectral norm": MODULES["spectral norm"],
    "channels last": MODULES["channels last"],
    "LSTM": MODULES["LSTM"],
}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("training", ON_GPU.values(), ids=ON_GPU.keys())
def test_training_on_a_gpu_is_bitwise_identical_with_the_callbacks(
    tmp_path: Path, training: Training
) -> None:
    on_gpu = {"accelerator": "gpu", "devices": 1, "deterministic": True}
    try:
        require_identical_trainings(tmp_path, replace(training, options=training.options | on_gpu))
    finally:
        torch.use_deterministic_algorithms(False)
