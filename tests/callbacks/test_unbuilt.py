"""Modules that their first forward pass builds are measured once the trainer has built them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_leaf import HorizontalPathSnapshot, LocalDataMatrix, LocalDataMatrixMonitor
from tests.support.callbacks.training import SmallCNN, fit, ignore_lightning, snapshots

pytestmark = ignore_lightning


class Lazy(SmallCNN):
    """A module with lazy parameters and buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.LazyConv2d(8, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10)
        )


class Late(SmallCNN):
    """A module that makes a parameter in its first forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.register_parameter("scale", None)

    def forward(self, x: Tensor) -> Tensor:
        if self.scale is None:
            self.scale = nn.Parameter(torch.rand(x.shape[-1]), requires_grad=False)
        return super().forward(x * self.scale)


class NeverBuilt(L.LightningModule):
    """A module whose forward, which the training does not call, makes a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        self.lazy = nn.LazyLinear(10)

    def forward(self, x: Tensor) -> Tensor:
        return self.lazy(self.net(x))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.net.parameters(), 0.1)


@pytest.mark.parametrize("kind", [Lazy, Late])
def test_measuring_begins_when_the_module_is_built_and_training_is_identical(
    tmp_path: Path, kind: type[SmallCNN], recwarn: pytest.WarningsRecorder
) -> None:
    monitor = LocalDataMatrixMonitor(every_n_steps=2, on_error="raise")
    paths = HorizontalPathSnapshot([0, 3], pairs=2, max_steps=2, on_error="raise")
    ends = []
    for callbacks in ([], [monitor, paths]):
        torch.manual_seed(1)
        # Without validation, whose sanity check would build the module.
        trainer = fit(tmp_path, *callbacks, module=kind(), max_steps=5, validation=None)
        ends.append(trainer.lightning_module)
    plain, watched = (module.state_dict() for module in ends)
    assert plain.keys() == watched.keys()
    assert all(torch.equal(plain[name], watched[name]) for name in plain)
    assert monitor.history["step"] == [1, 2, 4, 5]
    assert [each.step for each in snapshots(tmp_path)] == [3]
    assert monitor._probe is None
    assert not [each for each in recwarn if "LEAF" in str(each.message)]


def test_a_module_that_is_never_built_is_reported_at_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    monitor = LocalDataMatrixMonitor(every_n_steps=1, on_error="raise")
    data = DataLoader(TensorDataset(torch.rand(64, 1, 8, 8), torch.arange(64) % 10), 8)
    trainer = fit(tmp_path, monitor, module=NeverBuilt(), train=data, validation=None)
    assert trainer.global_step == 8
    assert monitor.history["step"] == []
    assert not [each for each in recwarn if "switched itself off" in str(each.message)]
    (message,) = [text for text in caplog.messages if "LEAF measured nothing" in text]
    assert "LazyLinear" in message
    # Negative control: with the part that is trained it is measured.
    again = LocalDataMatrixMonitor(every_n_steps=4, forward="net", on_error="raise")
    module = NeverBuilt()
    module.lazy = nn.Identity()
    inputs = torch.rand(4, 1, 8, 8)
    again = LocalDataMatrixMonitor(inputs, every_n_steps=4, forward="net", on_error="raise")
    fit(tmp_path, again, module=module, train=data, validation=None)
    expected = LocalDataMatrix.at(module.net, inputs).trace().mean().item()
    assert again.history["trace_mean"][-1] == pytest.approx(expected, rel=1e-5)
