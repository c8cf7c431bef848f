"""A repeatable training, and its complete outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import Tensor
from torch.nn.parameter import is_lazy
from torch.utils.data import DataLoader

from lightning_leaf import (
    HorizontalPathSnapshot,
    LocalDataMatrixMonitor,
    OrthogonalWalkSnapshot,
    PredictionPathSnapshot,
)
from tests.support.callbacks.training import (
    ignore_lightning,
    make_trainer,
    train_data,
    validation_data,
)
from tests.support.undisturbed import final_state, float32_settings
from tests.support.undisturbed.final_state import Outcome
from tests.support.undisturbed.modules import Watched

# Warnings of torch, Lightning and the LEAF callbacks about unusual trainings.
ignore_advice = [
    *ignore_lightning,
    *(
        pytest.mark.filterwarnings(f"ignore:{start}")
        for start in (
            ".*weight_norm. is deprecated",
            ".*torch.jit.script. is deprecated",
            "Full backward hook is firing when gradients are computed with respect to module",
            "Using ModelCheckpoint with manual optimization",
            "You requested to overfit but enabled train dataloader shuffling",
            "LocalDataMatrixMonitor is listed before",
            "HorizontalPathSnapshot is listed before",
            "OrthogonalWalkSnapshot is listed before",
            "PredictionPathSnapshot is listed before",
            "The .grad attribute of a Tensor that is not a leaf",
        )
    ),
]


def loaders(generator: torch.Generator) -> tuple[Any, Any]:
    """Return loaders with four batches per epoch, shuffled by the given generator."""
    train = DataLoader(train_data(128), batch_size=32, shuffle=True, generator=generator)
    return train, DataLoader(validation_data(), batch_size=200)


def saving(root: Path) -> list[Callback]:
    return [ModelCheckpoint(every_n_train_steps=3, save_top_k=-1)]


@dataclass(frozen=True)
class Training:
    """The parts of a training, as functions, because each run needs new ones.

    Attributes:
        module: Makes the module.
        loaders: Makes loaders for training and validation.
        others: Makes the other callbacks.
        options: Arguments of the trainer; a function is called with the folder of the run.
        leaf_callbacks_last: Whether the LEAF callbacks are listed after the others.
        around: The context in which the trainer runs.
    """

    module: Callable[[], Any] = Watched
    loaders: Callable[[torch.Generator], tuple[Any, Any]] = loaders
    others: Callable[[Path], list[Callback]] = saving
    options: Mapping[str, Any] = field(default_factory=dict)
    leaf_callbacks_last: bool = False
    around: Callable[[], AbstractContextManager[Any]] = nullcontext


def leaf_callbacks() -> tuple[
    LocalDataMatrixMonitor, HorizontalPathSnapshot, OrthogonalWalkSnapshot, PredictionPathSnapshot
]:
    """Return the four callbacks, which measure several times in eight steps."""
    quick: dict[str, Any] = {"max_steps": 1, "on_error": "raise"}
    return (
        LocalDataMatrixMonitor(probe=4, every_n_steps=2, on_error="raise"),
        HorizontalPathSnapshot(
            when=[1, "epoch", "checkpoint", "fit_end"], pairs=1, noise_steps=1, **quick
        ),
        OrthogonalWalkSnapshot(when=[0, "fit_end"], starts=1, **quick),
        PredictionPathSnapshot(when=[3, "fit_end"], examples=1, **quick),
    )


class Witness(Callback):
    """A callback that records losses, changed precisions of float32, and hooks of parameters."""

    def __init__(self) -> None:
        self.losses: list[Tensor] = []
        self.settings: dict[Any, Any] = {}
        self.changed_settings: list[dict[Any, Any]] = []
        self.fired: Counter[str] = Counter()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        for name, parameter in pl_module.named_parameters():
            if parameter.requires_grad and not is_lazy(parameter):
                parameter.register_hook(partial(self._count, f"{name}: gradient"))
                parameter.register_post_accumulate_grad_hook(
                    partial(self._count, f"{name}: accumulated")
                )

    def _count(self, name: str, _: Tensor) -> None:
        self.fired[name] += 1

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *_: Any
    ) -> None:
        self.losses.append(outputs["loss"].detach().clone())
        now = float32_settings.settings()
        changed = {name: value for name, value in now.items() if value != self.settings[name]}
        self.changed_settings.append(changed)


def outcome(
    training: Training,
    root: Path,
    leaf: Sequence[Callback] = (),
    *,
    resumed_from: Path | None = None,
    **options: Any,
) -> Outcome:
    """Run the training with these LEAF callbacks; return its complete outcome."""
    chosen = {"max_steps": -1, "max_epochs": 2, "enable_checkpointing": True}
    chosen |= {
        name: value(root) if callable(value) else value
        for name, value in (training.options | options).items()
    }
    final_state.forget_compilations()
    L.seed_everything(0, verbose=False)
    generator = torch.Generator().manual_seed(1)
    train, validation = training.loaders(generator)
    witness = Witness()
    others = training.others(root)
    callbacks = [*others, *leaf] if training.leaf_callbacks_last else [*leaf, *others]
    trainer = make_trainer(root, [*callbacks, witness], **chosen)
    with training.around():
        witness.settings = float32_settings.settings()
        trainer.fit(training.module(), train, validation, ckpt_path=resumed_from)
    if dist.is_initialized():
        dist.barrier()  # rank zero writes the logs that all ranks read
    return {
        **final_state.of_module(trainer.lightning_module),
        **final_state.of_streams(),
        "loader stream": generator.get_state(),
        "optimizers": [optimizer.state_dict() for optimizer in trainer.optimizers],
        "schedulers": [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs],
        "gradient scaler": trainer.precision_plugin.state_dict(),
        "progress": trainer.fit_loop.state_dict(),
        "metrics": final_state.without_leaf_values(trainer.callback_metrics),
        "losses": witness.losses,
        "changed settings": witness.changed_settings,
        "hooks": dict(witness.fired),
        "compilations": final_state.compilations(),
        "logged": final_state.logged(root),
        "checkpoints": final_state.checkpoints(root),
    }


def differences(a: Any, b: Any, name: str = "") -> list[str]:
    """Return where two outcomes are not bitwise identical."""
    if type(a) is not type(b):
        return [f"{name}: {type(a).__name__} and {type(b).__name__}"]
    if isinstance(a, Tensor):
        return [] if _form(a) == _form(b) and torch.equal(_bits(a), _bits(b)) else [name]
    if isinstance(a, np.ndarray):
        return [] if a.dtype == b.dtype and a.tobytes() == b.tobytes() else [name]
    if isinstance(a, Mapping):
        if a.keys() != b.keys():
            return [f"{name}: only one contains {sorted(map(str, a.keys() ^ b.keys()))}"]
        return [d for key in a for d in differences(a[key], b[key], f"{name}/{key}")]
    if isinstance(a, list | tuple):
        if len(a) != len(b):
            return [f"{name}: lengths {len(a)} and {len(b)}"]
        return [d for i in range(len(a)) for d in differences(a[i], b[i], f"{name}[{i}]")]
    both_nan = a != a and b != b
    return [] if a == b or both_nan else [f"{name}: {a} and {b}"]


def _form(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.dtype, tensor.shape, tensor.stride(), tensor.device, tensor.requires_grad


def _bits(tensor: Tensor) -> Tensor:
    """Return the bytes: NaN equals NaN, and −0 differs from 0."""
    return tensor.detach().cpu().flatten().contiguous().view(torch.uint8)
