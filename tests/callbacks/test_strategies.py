"""Strategies that cannot be supported are refused before the first step."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy, SingleDeviceStrategy

from lightning_leaf import LeafError, LocalDataMatrixMonitor
from lightning_leaf.trainer import state as trainer_state
from lightning_leaf.trainer.processes import Processes
from tests.support.callbacks.training import SmallCNN, fit, ignore_lightning

pytestmark = ignore_lightning


def trainer_with(strategy: Any, **attributes: Any) -> Any:
    """The real strategies need accelerators, or packages that are not installed."""
    return SimpleNamespace(strategy=strategy, precision="32-true", **attributes)


class DeepSpeedStrategy(SingleDeviceStrategy):
    """Of the name by which it is known."""


class Steps(SmallCNN):
    def __init__(self) -> None:
        super().__init__()
        self.steps = 0

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        self.steps += 1
        return super().training_step(batch, batch_idx)


def test_fsdp1_is_refused_with_what_to_use_instead() -> None:
    with pytest.raises(LeafError, match=r"FSDPStrategy does not allow it.*'ddp'.*FSDP2"):
        trainer_state.require_supported_strategy(trainer_with(FSDPStrategy()))


def test_deepspeed_is_refused_before_the_first_step(tmp_path: Path) -> None:
    module = Steps()
    with pytest.raises(LeafError, match=r"DeepSpeedStrategy does not allow it.*'ddp'"):
        fit(tmp_path, LocalDataMatrixMonitor(), module=module, strategy=DeepSpeedStrategy("cpu"))
    assert module.steps == 0
    # Negative control: the same strategy by its own name trains.
    fit(tmp_path, LocalDataMatrixMonitor(), module=module, strategy=SingleDeviceStrategy("cpu"))
    assert module.steps == 8


@pytest.mark.parametrize("precision", ["bf16-true", "16-true"])
def test_sharded_modules_in_half_precision_are_refused(precision: str) -> None:
    trainer = trainer_with(ModelParallelStrategy())
    trainer_state.require_supported_strategy(trainer)
    trainer.precision = precision
    with pytest.raises(LeafError, match=f"got precision='{precision}'"):
        trainer_state.require_supported_strategy(trainer)


def test_processes_that_are_not_connected_are_refused() -> None:
    trainer = trainer_with(SingleDeviceStrategy("cpu"), world_size=8, global_rank=0)
    with pytest.raises(LeafError, match=r"connected by torch.distributed"):
        Processes(trainer)
