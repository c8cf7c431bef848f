"""Unsupported strategies raise an error before the first step."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy, SingleDeviceStrategy

from lightning_leaf import LeafError, LocalDataMatrixMonitor
from lightning_leaf.trainer.processes import Processes
from lightning_leaf.trainer.strategies import (
    require_evaluation_between_steps,
    require_whole_classifier,
)
from tests.support.callbacks.training import SmallCNN, fit, ignore_lightning

pytestmark = ignore_lightning


def trainer_with(strategy: Any, **attributes: Any) -> Any:
    """Return a stand-in for a trainer: real trainers with these strategies need accelerators."""
    return SimpleNamespace(strategy=strategy, precision="32-true", **attributes)


class DeepSpeedStrategy(SingleDeviceStrategy):
    """A strategy with the name of DeepSpeed's, which is recognised by its name."""


class Steps(SmallCNN):
    def __init__(self) -> None:
        super().__init__()
        self.steps = 0

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        self.steps += 1
        return super().training_step(batch, batch_idx)


def test_fsdp1_raises_an_error_that_names_supported_strategies() -> None:
    with pytest.raises(LeafError, match=r"FSDPStrategy does not allow it.*'ddp'.*FSDP2"):
        require_evaluation_between_steps(trainer_with(FSDPStrategy()))


@pytest.mark.parametrize("strategy", [FSDPStrategy, ModelParallelStrategy])
def test_predictors_need_the_whole_classifier_in_each_process(strategy: Any) -> None:
    with pytest.raises(LeafError, match=rf"{strategy.__name__} shards.*'ddp'"):
        require_whole_classifier(trainer_with(strategy()))
    # Negative control: this strategy does not shard the classifier.
    require_whole_classifier(trainer_with(SingleDeviceStrategy("cpu")))


def test_deepspeed_raises_an_error_before_the_first_step(tmp_path: Path) -> None:
    module = Steps()
    with pytest.raises(LeafError, match=r"DeepSpeedStrategy does not allow it.*'ddp'"):
        fit(tmp_path, LocalDataMatrixMonitor(), module=module, strategy=DeepSpeedStrategy("cpu"))
    assert module.steps == 0
    # Negative control: the same strategy under its own name trains.
    fit(tmp_path, LocalDataMatrixMonitor(), module=module, strategy=SingleDeviceStrategy("cpu"))
    assert module.steps == 8


@pytest.mark.parametrize("precision", ["bf16-true", "16-true"])
def test_sharded_modules_in_half_precision_raise_an_error(precision: str) -> None:
    trainer = trainer_with(ModelParallelStrategy())
    require_evaluation_between_steps(trainer)
    trainer.precision = precision
    with pytest.raises(LeafError, match=f"got precision='{precision}'"):
        require_evaluation_between_steps(trainer)


def test_processes_that_are_not_connected_raise_an_error() -> None:
    trainer = trainer_with(SingleDeviceStrategy("cpu"), world_size=8, global_rank=0)
    with pytest.raises(LeafError, match=r"connected by torch.distributed"):
        Processes(trainer)
