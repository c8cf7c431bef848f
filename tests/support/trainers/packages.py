"""The same training in the trainer of each package."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch.utils.data import DataLoader

from lightning_leaf import HorizontalPathSnapshot, LocalDataMatrixMonitor, OrthogonalWalkSnapshot
from tests.support.callbacks.training import (
    SmallCNN,
    scalars,
    snapshots,
    train_data,
    validation_data,
)

# lightning depends on pytorch_lightning, so both are installed.
PACKAGES = ["lightning.pytorch", "pytorch_lightning"]

QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "log_every_n_steps": 1,
}


def leaf_callbacks() -> list[Any]:
    """Return the three callbacks with all kinds of triggers."""
    return [
        LocalDataMatrixMonitor(probe=8, every_n_steps=3, on_error="raise"),
        HorizontalPathSnapshot(
            [1, "epoch", "checkpoint", "trace_return"], pairs=2, max_steps=8, on_error="raise"
        ),
        OrthogonalWalkSnapshot("fit_end", starts=2, max_steps=8, on_error="raise"),
    ]


def small_cnn(package: ModuleType) -> Any:
    """Return SmallCNN as a LightningModule of the package, which its trainer requires."""

    class Module(package.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.lr, self.net = 0.3, SmallCNN().net

        forward = SmallCNN.forward
        training_step = SmallCNN.training_step
        validation_step = SmallCNN.validation_step
        configure_optimizers = SmallCNN.configure_optimizers

    return Module()


def train(
    package: ModuleType,
    root: Path,
    *callbacks: Any,
    ckpt_path: Path | None = None,
    **options: Any,
) -> Any:
    """Train SmallCNN from seed 0 with 8 batches per epoch, for two epochs by default."""
    package.seed_everything(0, verbose=False)
    module = small_cnn(package)
    defaults = {"max_epochs": 2, "default_root_dir": root, **QUIET}
    trainer = package.Trainer(callbacks=list(callbacks), **(defaults | options))
    loader = DataLoader(train_data(), batch_size=64, shuffle=True)
    trainer.fit(module, loader, DataLoader(validation_data(), 200), ckpt_path=ckpt_path)
    return trainer


def written(root: Path) -> dict[str, Any]:
    """Return the scalars that a training logged, and the contents of its snapshots."""
    return {
        "scalars": scalars(root),
        "snapshots": [
            (
                shown.name,
                shown.step,
                shown.epoch,
                shown.reason,
                shown.session_start_step,
                [record.frames.tobytes() for record in shown.paths],
                [record.probabilities.tobytes() for record in shown.paths],
            )
            for shown in snapshots(root)
        ],
    }


def weights(module: torch.nn.Module) -> list[torch.Tensor]:
    """Return copies of all tensors in the module's state."""
    return [value.clone() for value in module.state_dict().values()]
