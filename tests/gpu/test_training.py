"""Trainings and predictions on an accelerator, with everything of the package."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_leaf import (
    HorizontalPathSnapshot,
    LeafMonitor,
    LeafPredictor,
    LocalDataMatrixMonitor,
    OrthogonalWalkSnapshot,
    PairDataset,
    PathPredictor,
    PredictionPathSnapshot,
)
from tests.gpu.simulated_device import DEVICE, Simulation
from tests.support.callbacks.training import SmallCNN, digits, fit, ignore_lightning
from tests.support.cases import CASES
from tests.support.predict.measuring import QUIET

pytestmark = ignore_lightning


class SimulatedAccelerator(CPUAccelerator):
    """Lightning's accelerator for the simulated device."""

    def setup_device(self, device: torch.device) -> None:
        assert device == DEVICE


def on_device(device: torch.device) -> dict[str, Any]:
    """Return the options of a trainer that trains on the device."""
    if device.type == "cuda":
        return {"accelerator": "gpu", "devices": 1}
    strategy = SingleDeviceStrategy(device=DEVICE, accelerator=SimulatedAccelerator())
    return {"strategy": strategy, "accelerator": "auto"}


def callbacks() -> tuple[Any, ...]:
    quick: dict[str, Any] = {"max_steps": 2, "on_error": "raise"}
    return (
        LocalDataMatrixMonitor(probe=4, every_n_steps=2, on_error="raise"),
        HorizontalPathSnapshot(when="fit_end", pairs=1, noise_steps=1, **quick),
        OrthogonalWalkSnapshot(when=[0], starts=1, **quick),
        PredictionPathSnapshot(when="fit_end", examples=2, **quick),
    )


class Noisy(SmallCNN):
    """The module remembers where its training steps and their noise were computed."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.trained_on = batch[0].device
        noise = 0.01 * torch.rand_like(batch[0])
        return super().training_step([batch[0] + noise, batch[1]], batch_idx)


def trained(root: Path, *mine: Callback, **options: Any) -> tuple[Noisy, list[Tensor]]:
    """Return a module after four steps, and its parameters and buffers on the CPU."""
    torch.manual_seed(0)  # weights do not depend on the tests before
    module = Noisy()
    fit(root, *mine, module=module, max_steps=4, **options)
    return module, [each.cpu() for each in module.state_dict().values()]


def test_fit_with_the_callbacks(tmp_path: Path, accelerator: torch.device) -> None:
    mine = callbacks()
    module, _ = trained(tmp_path, *mine, **on_device(accelerator))
    assert module.trained_on == accelerator
    assert mine[0].history["step"] == [0, 2, 4]
    assert torch.tensor(mine[0].history["trace_mean"]).isfinite().all()
    assert all(each.last_snapshot is not None for each in mine[1:])


def test_training_is_bitwise_identical_with_the_callbacks(tmp_path: Path) -> None:
    """On a GPU, tests/undisturbed compares trainings."""
    found = []
    for name, mine in {"without": (), "with": callbacks()}.items():
        with Simulation():  # each with the random stream of a new device
            found.append(trained(tmp_path / name, *mine, **on_device(DEVICE))[1])
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


def test_plain_loop_with_a_monitor(accelerator: torch.device) -> None:
    torch.manual_seed(0)
    images, labels = digits()
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).to(accelerator)
    monitor = LeafMonitor(images[:4], every_n_steps=2, on_error="raise")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(3):
        monitor.measure_if_due(model, step)
        x, y = (each[32 * step :][:32].to(accelerator) for each in (images, labels))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert monitor.history["step"] == [0, 2]
    assert torch.tensor(monitor.history["trace_mean"]).isfinite().all()


@pytest.mark.parametrize("kind", ["measurements", "horizontal", "orthogonal"])
def test_predictors(accelerator: torch.device, kind: str) -> None:
    model, x = CASES[1].make(0, batch=4)
    data: Any = TensorDataset(x)
    found = []
    for options in (on_device(accelerator), {"accelerator": "cpu"}):
        mine = copy.deepcopy(model)
        if kind == "measurements":
            predictor: L.LightningModule = LeafPredictor(mine)
        else:
            predictor = PathPredictor(mine, kind=kind, max_steps=2)  # type: ignore[arg-type]
        pairs = PairDataset(data, [(0, 1), (2, 3)])
        loader = DataLoader(pairs if kind == "horizontal" else data, batch_size=2)
        trainer = L.Trainer(**{**QUIET, **options})
        columns = trainer.predict(predictor, loader)
        assert columns is not None
        found.append(columns)
    for one, other in zip(*found, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            assert one[name] == [nearly(value) for value in other[name]], name


def nearly(value: Any) -> Any:
    """Return what equals a value up to rounding, if it is a number or several."""
    return value if value is None or isinstance(value, str) else pytest.approx(value, 1e-3, 1e-4)
