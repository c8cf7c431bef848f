"""The monitor of a loop returns the right values, and its errors never end the loop."""

from __future__ import annotations

import copy
import logging
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lightning_leaf import LeafError, LeafMonitor
from lightning_leaf.loops.processes import is_rank_zero
from lightning_leaf.model.wrappers import unwrapped
from lightning_leaf.monitoring.reading import Reading
from tests.support import oracle
from tests.support.callbacks.training import scalars
from tests.support.loops.training import make_model, probe

OFF = r"LeafMonitor\(name='leaf'\) has switched itself off; training continues\. Cause: "


def test_measurement_equals_the_reference(tmp_path: Path) -> None:
    torch.manual_seed(3)
    model = make_model()
    images, _ = probe()
    monitor = LeafMonitor(probe(), writer=tmp_path, ranks=["entropy", "stable"])
    row = monitor.measure(model, 7)
    assert row is not None
    assert monitor.writer is not None
    monitor.writer.close()
    matrices = oracle.data_matrix(copy.deepcopy(model).double().eval(), images)
    traces = matrices.diagonal(dim1=-2, dim2=-1).sum(-1)
    spectra = torch.linalg.eigvalsh(matrices)
    stable = (traces / spectra.amax(-1)).mean()
    assert row["trace_mean"] == pytest.approx(float(traces.mean()), rel=1e-4)
    assert row["effective_rank_stable"] == pytest.approx(float(stable), rel=1e-4)
    dimensions = (spectra > 1e-12 * spectra.amax(-1, keepdim=True)).double().sum(-1)
    assert row["tangent_dimension"] == pytest.approx(float(dimensions.mean()))
    assert scalars(tmp_path)["leaf/trace_mean"] == {7: pytest.approx(row["trace_mean"], rel=1e-5)}
    # Negative control: in training mode the model is another function.
    changed = LeafMonitor(probe(), forward=lambda module, x: module.train()(x))
    with pytest.warns(UserWarning, match=OFF):  # batch statistics mix the inputs
        assert changed.measure(model, 0) is None


def test_independent_labels_equal_the_reference() -> None:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    x = torch.randn(5, 6)
    y = torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 0], [1, 0, 1], [1, 1, 1]]).float()
    batch = {"pixels": x, "tags": y}
    monitor = LeafMonitor(batch, batch=("pixels", "tags"), likelihood="bernoulli")
    row = monitor.measure(model, 0)
    assert row is not None
    double = copy.deepcopy(model).double()
    jacobian = torch.func.vmap(torch.func.jacrev(double))(x.double())
    p = double(x.double()).sigmoid()
    expected = (p * (1 - p) * jacobian.square().sum(-1)).sum(-1).mean().detach()
    assert row["trace_mean"] == pytest.approx(float(expected), rel=1e-4)


def test_history_continues_and_is_cut_at_a_restart() -> None:
    model, monitor = make_model(), LeafMonitor(probe(), every_n_steps=2)
    for step in range(5):
        monitor.measure_if_due(model, step)
    assert monitor.history["step"] == [0, 2, 4]
    assert monitor.measure(model, 4) == {
        name: values[-1] for name, values in monitor.history.items()
    }
    resumed = LeafMonitor(probe(), every_n_steps=2)
    resumed.load_state_dict(monitor.state_dict())
    resumed.measure(model, 6)
    assert resumed.history["step"] == [0, 2, 4, 6]
    assert resumed.history["trace_mean"][:3] == monitor.history["trace_mean"]
    resumed.measure(model, 3)  # resumed from an earlier checkpoint
    assert resumed.history["step"] == [0, 2, 3]
    resumed.measure(model, 0)  # trained again
    assert resumed.history["step"] == [0]
    assert resumed.plot().axes


@pytest.mark.parametrize(("examples", "interval"), [(None, 100), (16, 40)])
def test_estimated_interval_depends_on_the_examples_per_step(
    examples: int | None, interval: int
) -> None:
    monitor = LeafMonitor(probe())
    monitor.measure_if_due(make_model(), 0, examples_per_step=examples)
    assert monitor.interval == interval  # 6 inputs of 5 classes


def test_wrapped_models_are_measured_inside_their_wrappers(tmp_path: Path) -> None:
    model = make_model()
    store = f"file://{tmp_path / 'store'}"

    class OptimizedModule(nn.Module):
        """A class with the name of the wrapper of torch.compile, whose import takes seconds."""

        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self._orig_mod = module

    torch.distributed.init_process_group("gloo", store, rank=0, world_size=1)
    try:
        wrapped = DistributedDataParallel(OptimizedModule(nn.DataParallel(model)))
        assert unwrapped(wrapped) is model
        expected = LeafMonitor(probe()).measure(model, 0)
        assert LeafMonitor(probe()).measure(wrapped, 0) == expected
    finally:
        torch.distributed.destroy_process_group()


def test_other_processes_measure_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = LeafMonitor(probe())
    monkeypatch.setattr("lightning_leaf.loops.monitor.is_rank_zero", lambda: False)
    assert monitor.measure(make_model(), 0) is None
    assert monitor.history["step"] == []
    assert is_rank_zero()


def test_sharded_models_are_refused() -> None:
    class FSDPModule(nn.Linear):
        """A class with the name of FSDP2's."""

    with pytest.warns(UserWarning, match=f"{OFF}LeafError.*each process to hold the whole model"):
        LeafMonitor(torch.rand(2, 4)).measure(FSDPModule(4, 3), 0)


class Failing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise KeyError("missing key")


@pytest.mark.parametrize(
    ("model", "cause"),
    [
        (Failing(), r"KeyError: 'missing key'\. This happened while calling Failing\.forward"),
        (nn.Linear(4, 3), "with inputs of shape"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.Softmax(1)), "returns probabilities"),
    ],
)
def test_an_error_switches_the_monitor_off(
    model: nn.Module, cause: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger("lightning_leaf")
    monkeypatch.setattr(logger, "propagate", True)
    monitor = LeafMonitor(probe())
    with caplog.at_level(logging.INFO), pytest.warns(UserWarning, match=f"{OFF}.*{cause}"):
        assert monitor.measure_if_due(model, 0) is None
    assert any("switched itself off" in record.message for record in caplog.records)
    # Once: no warning, no measurement.
    assert monitor.measure(make_model(), 1) is None
    with pytest.raises(Exception, match=r".+"):
        LeafMonitor(probe(), on_error="raise").measure(model, 0)


def test_a_step_that_is_no_number_does_not_end_the_loop() -> None:
    step: Any = "third"
    with pytest.warns(UserWarning, match=f"{OFF}TypeError"):
        assert LeafMonitor(probe(), every_n_steps=2).measure_if_due(make_model(), step) is None
    assert LeafMonitor(probe()).measure(make_model(), torch.tensor(3)) is not None  # type: ignore[arg-type]


def test_a_full_disk_ends_neither_the_loop_nor_the_measurements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor, model = LeafMonitor(probe(), writer=tmp_path), make_model()

    def fail(*_: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter.add_scalar", fail)
    with pytest.warns(UserWarning, match=r"LeafWriter has switched itself off.*No space left"):
        monitor.measure(model, 0)
    monitor.measure(model, 1)
    assert monitor.history["step"] == [0, 1]


def test_lazy_models_are_measured_once_they_are_built() -> None:
    model, monitor = nn.Sequential(nn.Flatten(), nn.LazyLinear(5)), LeafMonitor(probe())
    assert monitor.measure(model, 0) is None
    model(probe()[0])
    assert monitor.measure(model, 1) is not None
    assert monitor.history["step"] == [1]


def test_attempts_to_measure_an_unbuilt_model_are_spaced(monkeypatch: pytest.MonkeyPatch) -> None:
    model, monitor, attempts = nn.LazyLinear(5), LeafMonitor(probe()), []
    judge = Reading.judge

    def counted(self: Reading, *arguments: Any) -> Any:
        attempts.append(step)
        return judge(self, *arguments)

    monkeypatch.setattr(Reading, "judge", counted)
    for step in range(1000, 1040):
        monitor.measure_if_due(model, step)
    assert attempts == [1000, 1001, 1002, 1003, 1004, 1006, 1010, 1018, 1034]


def test_diverged_weights_give_nan_and_one_message(caplog: pytest.LogCaptureFixture) -> None:
    model, monitor = make_model(), LeafMonitor(probe())
    caplog.set_level("INFO", "lightning_leaf")
    monitor.measure(model, -1)
    assert "diverged" not in caplog.text  # negative control
    with torch.no_grad():
        model[5].bias.fill_(math.nan)
    row = monitor.measure(model, 0)
    assert row is not None
    assert math.isnan(row["trace_mean"])
    monitor.measure(model, 1)
    assert caplog.text.count("The measurement at step 0 is NaN") == 1
    assert caplog.text.count("diverged") == 1


def test_ranks_can_be_one_name() -> None:
    assert "effective_rank_stable" in LeafMonitor(probe(), ranks="stable").history
    assert "effective_rank_stable" not in LeafMonitor(probe()).history  # negative control


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"probe": 32}, "batch expects inputs"),
        ({"probe": torch.full((2, 4), math.nan)}, "finite inputs"),
        ({"writer": 3}, "LeafWriter expects a directory"),
        ({"every_n_steps": 0}, "every_n_steps expects"),
        ({"ranks": ["entropi"]}, "ranks expects"),
        ({"likelihood": "poisson"}, "likelihood expects"),
        ({"on_error": "stop"}, "on_error expects"),
    ],
)
def test_wrong_arguments_raise_at_once(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(LeafError, match=message):
        LeafMonitor(**({"probe": probe()} | arguments))
