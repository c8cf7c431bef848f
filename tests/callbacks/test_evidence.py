"""What the scores mean is judged from the data: labels, features, several outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_leaf import HorizontalPathSnapshot, LocalDataMatrixMonitor, OrthogonalWalkSnapshot
from tests.support.callbacks.training import fit, ignore_lightning, snapshots
from tests.support.oracle import data_matrix

pytestmark = [*ignore_lightning, pytest.mark.filterwarnings("ignore:.*switched itself off")]

POSITIONS = [0, 1, 2, 3]


class Classes(L.LightningModule):
    """A classifier of three exclusive classes whose forward returns features and logits."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(12, 8), nn.Tanh())
        self.head = nn.Linear(8, 3)

    def logits(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))

    def forward(self, x: Tensor) -> Any:
        features = self.features(x)
        return features, self.head(features)

    def loss(self, scores: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(scores, targets)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.loss(self.logits(batch[0]), batch[1])

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


class Features(Classes):
    """The same, with a forward that returns features only."""

    def forward(self, x: Tensor) -> Any:
        return self.features(x)


class Labels(Classes):
    """A classifier of three independent labels."""

    def forward(self, x: Tensor) -> Any:
        return self.logits(x)

    def loss(self, scores: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(scores, targets)


def inputs() -> Tensor:
    return torch.rand(60, 12, generator=torch.Generator().manual_seed(0))


def classes() -> Tensor:
    return torch.arange(60) % 3


def labels() -> Tensor:
    return (torch.rand(60, 3, generator=torch.Generator().manual_seed(1)) < 0.5).float()


def traces(module: Classes, likelihood: str) -> float:
    matrices = data_matrix(module.double().logits, inputs()[POSITIONS], likelihood)
    return matrices.diagonal(dim1=1, dim2=2).sum(1).mean().item()


def trained(root: Path, module: Classes, targets: Tensor, *callbacks: Any) -> Classes:
    data = DataLoader(TensorDataset(inputs(), targets), 20)
    fit(root, *callbacks, module=module, train=data, validation=None, max_steps=2)
    return module


def test_independent_labels_are_recognised_by_their_targets(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = LocalDataMatrixMonitor(POSITIONS, 1, on_error="raise")
    walks = OrthogonalWalkSnapshot(starts=2, max_steps=3, on_error="raise")
    paths = HorizontalPathSnapshot(pairs=[(0, 1)], max_steps=3, on_error="raise")
    with caplog.at_level("INFO", logger="lightning_leaf"):
        module = trained(tmp_path, Labels(), labels(), monitor, walks, paths)
    measured = monitor.history["trace_mean"][-1]
    assert measured == pytest.approx(traces(module, "bernoulli"), rel=1e-4)
    assert monitor.history["tangent_dimension"][-1] == 3
    assert {snapshot.likelihood for snapshot in snapshots(tmp_path)} == {"bernoulli"}
    assert len([text for text in caplog.messages if "independent labels" in text]) == 1
    # Negative controls: as exclusive classes they have another value.
    assert measured != pytest.approx(traces(module, "categorical"), rel=0.01)
    other = LocalDataMatrixMonitor(POSITIONS, 1, likelihood="categorical", on_error="raise")
    alone = LocalDataMatrixMonitor(inputs()[POSITIONS], 1, name="alone", on_error="raise")
    module = trained(tmp_path / "other", Labels(), labels(), other, alone)
    # Inputs that are passed without targets are judged by those of the data set.
    expected = traces(module, "bernoulli")
    assert alone.history["trace_mean"][-1] == pytest.approx(expected, rel=1e-4)
    expected = traces(module, "categorical")
    assert other.history["trace_mean"][-1] == pytest.approx(expected, rel=1e-4)


def test_the_logits_are_found_beside_features(tmp_path: Path) -> None:
    monitor = LocalDataMatrixMonitor(POSITIONS, 1, on_error="raise")
    module = trained(tmp_path, Classes(), classes(), monitor)
    expected = traces(module, "categorical")
    assert monitor.history["trace_mean"][-1] == pytest.approx(expected, rel=1e-4)
    assert monitor.history["tangent_dimension"][-1] == 2


def test_features_are_not_taken_for_logits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = LocalDataMatrixMonitor(POSITIONS, 1)
    trained(tmp_path / "features", Features(), classes(), monitor)
    assert monitor.history["step"] == []
    assert "the scores may be features" in caplog.text
    # With the part that computes the logits they are measured.
    named = LocalDataMatrixMonitor(POSITIONS, 1, forward="logits", on_error="raise")
    module = trained(tmp_path / "logits", Features(), classes(), named)
    expected = traces(module, "categorical")
    assert named.history["trace_mean"][-1] == pytest.approx(expected, rel=1e-4)
