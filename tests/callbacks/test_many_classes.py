"""With 200 classes the callbacks log estimates and report that, and training stays identical."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.autograd.function import once_differentiable

from lightning_leaf import (
    HorizontalPathSnapshot,
    LocalDataMatrix,
    LocalDataMatrixMonitor,
    OrthogonalWalkSnapshot,
    effective_rank,
)
from tests.support.callbacks.training import SmallCNN, digits, fit, ignore_lightning, scalars

pytestmark = ignore_lightning

CLASSES = 200
MEANT: dict[str, Any] = {"likelihood": "categorical"}  # the labels suggest ten classes


class ManyClasses(SmallCNN):
    """A classifier of the ten digits and 190 classes that never occur."""

    def __init__(self) -> None:
        super().__init__(lr=0.05)
        last = self.net[-1]
        assert isinstance(last, nn.Linear)
        self.net[-1] = nn.Linear(last.in_features, CLASSES)


def probe() -> torch.Tensor:
    return digits()[0][-12:]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A training with all three callbacks, and the same training without them."""
    root: Path = tmp_path_factory.mktemp("many")
    monitor = LocalDataMatrixMonitor(probe(), every_n_steps=5, on_error="raise", **MEANT)
    images = digits()[0]
    paths = HorizontalPathSnapshot(
        "fit_end", (images[-3:], images[-6:-3]), max_steps=5, on_error="raise", **MEANT
    )
    walks = OrthogonalWalkSnapshot("fit_end", images[-2:], max_steps=5, on_error="raise", **MEANT)
    torch.manual_seed(0)
    module = ManyClasses()
    plain = copy.deepcopy(module)
    fit(root / "with", monitor, paths, walks, module=module, max_steps=10)
    fit(root / "without", module=plain, max_steps=10)
    return root / "with", monitor, paths, walks, module, plain


def test_the_trace_is_logged_with_its_standard_error(trained) -> None:
    root, monitor, *_, module, _ = trained
    logged = scalars(root)
    g = LocalDataMatrix.at(module.net, probe())
    error = logged["leaf/trace_standard_error"][10]
    assert 0 < error < 0.1 * logged["leaf/trace_mean"][10]
    assert abs(logged["leaf/trace_mean"][10] - g.trace().mean().item()) < 5 * error
    assert monitor.history["trace_standard_error"][-1] == pytest.approx(error)


def test_estimated_effective_ranks_are_close_to_the_exact_ones(trained) -> None:
    root, *_, module, _ = trained
    g = LocalDataMatrix.at(module.net, probe())
    expected = effective_rank(g.eigenvalues()).mean().item()
    assert scalars(root)["leaf/effective_rank_entropy"][10] == pytest.approx(expected, rel=0.3)


def test_the_unknown_tangent_dimension_is_not_logged(trained) -> None:
    root, monitor, *_ = trained
    assert "leaf/tangent_dimension" not in scalars(root)
    assert torch.tensor(monitor.history["tangent_dimension"]).isnan().all()


def test_few_classes_are_logged_without_a_standard_error(tmp_path: Path) -> None:
    """Negative control."""
    fit(tmp_path, LocalDataMatrixMonitor(probe(), every_n_steps=5), max_steps=5)
    logged = scalars(tmp_path)
    assert "leaf/tangent_dimension" in logged
    assert "leaf/trace_standard_error" not in logged


def test_paths_and_walks_are_computed(trained) -> None:
    _, _, paths, walks, *_ = trained
    for callback, count in ((paths, 3), (walks, 2)):
        assert len(callback.last_snapshot.paths) == count
    assert all((path.horizontality > 0.9).all() for path in paths.last_snapshot.paths)


def test_training_is_bitwise_identical(trained) -> None:
    *_, module, plain = trained
    pairs = zip(module.state_dict().items(), plain.state_dict().items(), strict=True)
    assert all(torch.equal(value, other) for (_, value), (_, other) in pairs)


def test_a_message_reports_that_values_are_estimates(tmp_path: Path, caplog) -> None:
    monitor = LocalDataMatrixMonitor(probe(), every_n_steps=5, **MEANT)
    with caplog.at_level("INFO", logger="lightning_leaf"):
        fit(tmp_path, monitor, module=ManyClasses(), max_steps=1)
    assert "200 classes, more than 160, so leaf/trace_* are estimates" in caplog.text


class Once(torch.autograd.Function):
    """A function that can be differentiated once, like a hand-written kernel."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


class OnlyOnce(ManyClasses):
    """A classifier with first derivatives only."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(Once.apply(x))


@pytest.mark.parametrize(
    ("module", "exact"),
    [(ManyClasses, True), (OnlyOnce, None)],
    ids=["exact=True", "first derivatives only"],
)
def test_all_classes_are_used_if_wanted_or_necessary(
    tmp_path: Path, module: type[ManyClasses], exact: bool | None
) -> None:
    monitor = LocalDataMatrixMonitor(probe(), exact=exact, on_error="raise", **MEANT)
    trainer = fit(tmp_path, monitor, module=module(), max_steps=1)
    g = LocalDataMatrix.at(trainer.lightning_module.net, probe())
    assert monitor.history["trace_mean"][-1] == pytest.approx(g.trace().mean().item(), rel=1e-4)
    assert "trace_standard_error" not in monitor.history
    # 12 inputs, 200 classes, 64 examples per step: 2400 / (192 · 0.016) = 781.25
    assert monitor.interval == 790


def test_a_resumed_monitor_continues_the_history_of_standard_errors(trained) -> None:
    _, monitor, *_ = trained
    resumed = LocalDataMatrixMonitor(probe(), every_n_steps=5)
    resumed.load_state_dict(monitor.state_dict())
    assert resumed.history["trace_standard_error"] == monitor.history["trace_standard_error"]
