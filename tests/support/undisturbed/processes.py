"""Trainings of two processes, run with and without the callbacks, and their differences."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from torch.utils._pytree import tree_map_only

from lightning_leaf.model import quiet
from tests.support.undisturbed.contract import Training, differences, leaf_callbacks, outcome
from tests.support.undisturbed.modules import Plain, Watched

DDP: dict[str, Any] = {"strategy": "ddp", "devices": 2}


class Sharded(Plain):
    """A module whose parameters are sharded over the processes (FSDP2)."""

    def configure_model(self) -> None:
        mesh = self.device_mesh["data_parallel"]
        for layer in (self.net[0], self.net[3], self.net[7]):
            fully_shard(layer, mesh=mesh)
        fully_shard(self.net, mesh=mesh)

    def on_fit_end(self) -> None:
        # The comparison ignores whether the outermost parameters are gathered at the end.
        for part in self.modules():
            if isinstance(part, FSDPModule):
                part.reshard()


def fsdp2(_: Path) -> ModelParallelStrategy:
    return ModelParallelStrategy(2, 1, save_distributed_checkpoint=False)


def own_buffers(_: Path) -> DDPStrategy:
    return DDPStrategy(broadcast_buffers=False)


TRAININGS: dict[str, Training] = {
    "DDP": Training(Watched, options=DDP),
    "DDP, bf16-mixed, accumulated": Training(
        Watched,
        options=DDP | {"precision": "bf16-mixed", "accumulate_grad_batches": 2, "max_epochs": 6},
    ),
    "DDP, buffers not broadcast": Training(Watched, options=DDP | {"strategy": own_buffers}),
    "FSDP2": Training(Sharded, options={"devices": 2, "strategy": fsdp2}),
}


def changed_by_leaf_callbacks(root: Path, name: str) -> list[str]:
    """Return what the LEAF callbacks change in a training, in this process."""
    callbacks = leaf_callbacks()
    changed = changed_by(callbacks, root, TRAININGS[name])
    assert len(callbacks[0].history["step"]) >= 3
    return changed


def changed_by(callbacks: Sequence[Callback], root: Path, training: Training) -> list[str]:
    outcomes = [
        outcome(training, root / "without"),
        outcome(training, root / "with", callbacks),
    ]
    return differences(*(tree_map_only(DTensor, DTensor.to_local, result) for result in outcomes))


def changed_by_keeping_buffers_of_rank_zero(root: Path) -> list[str]:
    """Return what changes if the buffers of rank zero are not replaced after measuring."""
    with patch.object(quiet, "unchanged_buffers", lambda _: nullcontext()):
        return changed_by(leaf_callbacks(), root, TRAININGS["DDP, buffers not broadcast"])
