"""With the three callbacks a training ends bitwise where it ends without them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import nn
from torch.utils.data import DataLoader

from lightning_leaf import quiet
from lightning_leaf.callbacks import (
    HorizontalPathSnapshot,
    LocalDataMatrixMonitor,
    OrthogonalWalkSnapshot,
)
from tests.callbacks.training import SmallCNN, fit, ignore_lightning, scalars, train_data

pytestmark = ignore_lightning


class Watchful(SmallCNN):
    """Has everything that a careless measurement disturbs.

    A frozen batch-norm, dropout, a forward that logs, draws random numbers in every mode, and
    counts its calls in a buffer that scales what it returns.
    """

    def __init__(self) -> None:
        super().__init__(lr=0.05)
        self.net.insert(2, nn.BatchNorm2d(8))
        self.net[2].requires_grad_(False)
        self.register_buffer("calls", torch.zeros(()))

    def on_train_epoch_start(self) -> None:
        self.net[2].eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        noise = 1e-3 * (torch.rand(()) + random.random() + np.random.rand())  # noqa: NPY002
        if self.trainer.training:
            self.log("calls", self.calls)
        return self.net(x) * (1 + noise + 1e-3 * self.calls)


class Losses(Callback):
    """All losses, at full precision."""

    def __init__(self) -> None:
        self.values: list[torch.Tensor] = []

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any) -> None:
        self.values.append(outputs["loss"].detach().clone())


class Iterating(Callback):
    """What no callback should do: takes a batch from the trainer's own loader."""

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        next(iter(trainer.train_dataloader))


def leaf_callbacks() -> list[Callback]:
    return [
        LocalDataMatrixMonitor(probe=8, every_n_steps=3, on_error="raise"),
        HorizontalPathSnapshot(
            when=[0, 5, "epoch", "checkpoint", "fit_end"],
            pairs=2,
            noise_steps=3,
            max_steps=8,
            on_error="raise",
        ),
        OrthogonalWalkSnapshot(when=[2, "fit_end"], starts=2, max_steps=8, on_error="raise"),
    ]


def outcome(root: Path, callbacks: Sequence[Callback], **options: Any) -> dict[str, Any]:
    """Everything that a training leaves behind."""
    generator = torch.Generator().manual_seed(1)
    train = DataLoader(train_data(), batch_size=64, shuffle=True, generator=generator)
    losses = Losses()
    settings: dict[str, Any] = {
        "max_steps": -1,
        "max_epochs": 2,
        "enable_checkpointing": True,
        "val_check_interval": 4,
    }
    saver = ModelCheckpoint(every_n_train_steps=3, save_top_k=-1)
    L.seed_everything(0, verbose=False)
    module = Watchful()
    trainer = fit(root, *callbacks, losses, saver, module=module, train=train, **settings | options)
    return {
        "state": dict(module.state_dict()),
        "gradients": {name: p.grad for name, p in module.named_parameters()},
        "requires_grad": {name: p.requires_grad for name, p in module.named_parameters()},
        "modes": {name: part.training for name, part in module.named_modules()},
        "optimizer": trainer.optimizers[0].state_dict(),
        "losses": losses.values,
        "logged": {name: values for name, values in scalars(root).items() if "leaf" not in name},
        "torch stream": torch.get_rng_state(),
        "numpy stream": np.random.get_state(),  # noqa: NPY002
        "python stream": random.getstate(),
        "loader stream": generator.get_state(),
    }


def differences(a: Any, b: Any, name: str = "") -> list[str]:
    """Where two outcomes are not the same to the last bit."""
    if isinstance(a, torch.Tensor | np.ndarray):
        same = torch.equal(torch.as_tensor(a), torch.as_tensor(b))
        return [] if same else [name]
    if isinstance(a, Mapping):
        if a.keys() != b.keys():
            return [f"{name}: {sorted(a)} and {sorted(b)}"]
        return [d for key in a for d in differences(a[key], b[key], f"{name}/{key}")]
    if isinstance(a, list | tuple):
        if len(a) != len(b):
            return [f"{name}: lengths {len(a)} and {len(b)}"]
        return [d for i in range(len(a)) for d in differences(a[i], b[i], f"{name}[{i}]")]
    return [] if a == b else [f"{name}: {a} and {b}"]


TRAININGS: dict[str, dict[str, Any]] = {
    "float32": {},
    "bf16-mixed": {"precision": "bf16-mixed"},
    "bf16-true": {"precision": "bf16-true"},
    "accumulated": {"accumulate_grad_batches": 2},
    "clipped": {"gradient_clip_val": 0.1},
}


@pytest.mark.parametrize("options", TRAININGS.values(), ids=TRAININGS.keys())
def test_training_is_bitwise_identical_with_the_callbacks(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    without = outcome(tmp_path / "without", [], **options)
    watched = outcome(tmp_path / "with", leaf_callbacks(), **options)
    assert differences(without, watched) == []
    # They did something: this is no comparison of two plain trainings.
    assert "leaf/trace_mean" in scalars(tmp_path / "with")


@contextmanager
def blanket_modes(module: nn.Module) -> Any:
    module.eval()
    yield
    module.train()


CARELESS: dict[str, tuple[str, Any, str]] = {
    "streams are not restored": ("random_streams", nullcontext, "stream"),
    "modes are not set one by one": ("evaluation_mode", blanket_modes, "running_mean"),
    "buffers are not restored": ("unchanged_buffers", lambda _: nullcontext(), "calls"),
}


@pytest.mark.parametrize(
    ("precaution", "instead", "noticed"), CARELESS.values(), ids=CARELESS.keys()
)
def test_each_precaution_is_needed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    precaution: str,
    instead: Any,
    noticed: str,
) -> None:
    """Negative control: without it, the same comparison fails."""
    without = outcome(tmp_path / "without", [])
    monkeypatch.setattr(quiet, precaution, instead)
    watched = outcome(tmp_path / "with", leaf_callbacks())
    assert any(noticed in difference for difference in differences(without, watched))


def test_logging_has_to_be_silenced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: Lightning refuses `self.log` outside the hooks that may log."""
    monkeypatch.setattr(quiet, "silent_log", lambda _: nullcontext())
    with pytest.raises(MisconfigurationException, match="inside `on_train_end`"):
        outcome(tmp_path, leaf_callbacks())


def test_touching_the_loader_would_be_noticed(tmp_path: Path) -> None:
    """Negative control: the comparison sees a loader's own generator."""
    without = outcome(tmp_path / "without", [])
    touched = outcome(tmp_path / "with", [Iterating()])
    assert "/loader stream" in differences(without, touched)


def test_an_error_leaves_the_training_as_it_was(tmp_path: Path) -> None:
    """A measurement that breaks off half-way disturbs as little as one that succeeds."""

    class Broken(LocalDataMatrixMonitor):
        def _measure(self, module: L.LightningModule) -> dict[str, float]:
            with quiet.quiet(module):
                torch.rand(5)
                module(self._probe.inputs)
                raise RuntimeError("half-way")

    without = outcome(tmp_path / "without", [])
    with pytest.warns(UserWarning, match="switched itself off.*RuntimeError: half-way"):
        watched = outcome(tmp_path / "with", [Broken()])
    assert differences(without, watched) == []
