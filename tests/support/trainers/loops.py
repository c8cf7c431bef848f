"""Kinds of trainers and loops, and what is called around them."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import math
import os
import signal
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch import callbacks as lightning_callbacks
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchmetrics import MetricCollection

from lightning_leaf import (
    HorizontalPathSnapshot,
    LeafMonitor,
    LeafTrainerCallback,
    LocalDataMatrix,
    LocalDataMatrixEffectiveRank,
    LocalDataMatrixMonitor,
    LocalDataMatrixTrace,
)
from tests.support.trainers.checks import final_state, trace_and_probabilities, train
from tests.support.trainers.kinds import Lit, Report, Training, kind, loader, pairs, rows


def expected_trace(module: nn.Module, x: Tensor) -> float:
    """Return the mean trace by the oracle."""
    return float(trace_and_probabilities(copy.deepcopy(module).double(), x)[0].mean())


@kind("Loops", "trainers of `lightning.pytorch` and of `pytorch_lightning`, and their CLIs")
def both_packages(root: Path) -> None:
    other = importlib.import_module("pytorch_lightning")
    kinds = {L.LightningModule: L.Trainer, other.LightningModule: other.Trainer}
    for base, trainer in kinds.items():

        class Module(base):  # type: ignore[misc, valid-type]
            def __init__(self) -> None:
                super().__init__()
                self.net = nn.Linear(12, 3)

            forward = Lit.forward
            training_step = Lit.training_step
            configure_optimizers = Lit.configure_optimizers

        monitor = LocalDataMatrixMonitor([0, 1, 2, 3], every_n_steps=1, on_error="raise")
        module = Module()
        trainer(
            max_steps=1,
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            callbacks=[monitor],
        ).fit(module, loader(pairs()))
        end = monitor.history["trace_mean"][-1]
        assert abs(end / expected_trace(module.net, rows()[:4]) - 1) < 1e-4
        assert monitor.history["trace_mean"][0] != end


def looped(setup: Any, monitor: LeafMonitor | None, root: Path) -> nn.Module:
    """Train a linear model in a loop of our own."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(12, 6), nn.Tanh(), nn.Dropout(0.2), nn.Linear(6, 3))
    model, optimizer = setup(net, torch.optim.SGD(net.parameters(), lr=0.1))
    for step, (x, y) in enumerate(loader(pairs(), shuffle=True)):
        if monitor is not None:
            monitor.measure_if_due(model, step)
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        optimizer.step()
    if monitor is not None:
        monitor.measure(model, step + 1)
    return net.eval()


def require_the_same_loop(setup: Any, root: Path) -> None:
    """The last value is right, and the weights are those of a loop without a monitor."""
    monitor = LeafMonitor(rows()[:4], writer=root / "logs", every_n_steps=2, on_error="raise")
    watched = looped(setup, monitor, root)
    plain = looped(setup, None, root)
    assert final_state(watched) == final_state(plain)
    assert monitor.history["step"] == [0, 2, 4, 6]
    last = monitor.history["trace_mean"][-1]
    assert abs(last / expected_trace(watched, rows()[:4]) - 1) < 1e-4
    assert abs(last / expected_trace(watched, rows()[4:8]) - 1) > 1e-4
    assert list((root / "logs").glob("events.out.tfevents.*"))


@kind(
    "Loops",
    "a loop in plain PyTorch",
    write="monitor = LeafMonitor(probe, writer=folder); monitor.measure_if_due(model, step)",
    happens="see [Use it without a Lightning trainer](other-loops.md)",
)
def plain_loop(root: Path) -> None:
    require_the_same_loop(lambda net, optimizer: (net, optimizer), root)


@kind(
    "Loops",
    "Lightning Fabric",
    write="monitor = LeafMonitor(probe, writer=fabric.logger); monitor.measure_if_due(model, step)",
    happens="see [Use it without a Lightning trainer](other-loops.md)",
)
def lightning_fabric(root: Path) -> None:
    fabric = L.Fabric(accelerator="cpu", devices=1)
    require_the_same_loop(fabric.setup, root)


@kind(
    "Loops",
    "the `Trainer` of Hugging Face",
    Report(
        "huggingface/transformers #31647",
        "predictions of each training example, collected by a `TrainerCallback`",
        "no such callback",
    ),
    Report(
        "huggingface/sentence-transformers #2413",
        "metrics of the model during a training",
        "no such callback",
    ),
    write="callbacks=[LeafTrainerCallback(probe)]",
    happens="see [Use it without a Lightning trainer](other-loops.md)",
)
def hugging_face_trainer(root: Path) -> None:
    if importlib.util.find_spec("transformers") is None:
        return  # tests/loops/test_hugging_face.py tests the hooks without transformers
    callback = LeafTrainerCallback(rows()[:4], log_dir=root)
    assert callback.monitor.history["step"] == []


class Manual(Lit):
    """Two optimizers that the module steps itself."""

    def __init__(self) -> None:
        super().__init__(nn.Sequential(nn.Linear(12, 6), nn.Tanh(), nn.Linear(6, 3)))
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
        for optimizer in self.optimizers():  # type: ignore[union-attr]
            optimizer.zero_grad()
            self.manual_backward(cross_entropy(self(batch[0]), batch[1]))
            optimizer.step()

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(self.net[k].parameters(), lr=0.1) for k in (0, 2)]


@kind("Loops", "manual optimization, several optimizers")
def manual_optimization(root: Path) -> Training:
    return Training(Manual(), pairs(), options={"max_steps": 2})


@kind(
    "Loops",
    "weight averaging (EMA, SWA)",
    Report(
        "Lightning-AI/pytorch-lightning #21724",
        "any training with `EMAWeightAveraging`, which swaps weights around validation",
        "a curve of trained weights with a last point of averaged ones",
    ),
    note="The curve is that of the trained weights; a point of averaged weights is not part of it.",
)
def weight_averaging(root: Path) -> None:
    if not hasattr(lightning_callbacks, "EMAWeightAveraging"):
        return  # lightning < 2.6
    module = Lit()
    trained: list[float] = []

    class Record(L.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            trained.append(expected_trace(module.net, rows()[:4]))

    monitor = LocalDataMatrixMonitor([0, 1, 2, 3], every_n_steps=1, on_error="raise")
    averaging = lightning_callbacks.EMAWeightAveraging(decay=0.5)
    training = Training(module, pairs(), options={"max_steps": 4})
    train(training, root, Record(), averaging, monitor)
    averaged = expected_trace(module.net, rows()[:4])
    curve = dict(zip(monitor.history["step"], monitor.history["trace_mean"], strict=True))
    for step, value in enumerate(trained, 1):
        if step in curve:
            assert abs(curve[step] / value - 1) < 1e-4
    assert 3 in curve
    assert abs(averaged / trained[-1] - 1) > 1e-3  # the last weights are averaged


class WithinValidation(Lit):
    """Measures in a validation step, where the trainer forbids gradients."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        assert not torch.is_grad_enabled()
        self.seen = LocalDataMatrix.at(self, batch[0]).trace().mean()


@kind(
    "Loops",
    "validation, `torch.no_grad()` and `torch.inference_mode()`",
    Report(
        "Lightning-AI/pytorch-lightning #14497",
        "a module that needs gradients in validation",
        "right value",
    ),
    Report(
        "Lightning-AI/pytorch-lightning #19910",
        "Jacobians in `validation_step` and `test_step`",
        "right value",
    ),
    Report("EleutherAI/bergson #83", "gradients in an evaluation step", "right value"),
    note="The functions enable gradients themselves.",
)
def within_validation(root: Path) -> None:
    for inference_mode in (True, False):
        module = WithinValidation()
        trainer = L.Trainer(
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            inference_mode=inference_mode,
        )
        trainer.validate(module, loader(pairs()), verbose=False)
        right, wrong = rows()[20:], rows()[:4]
        assert abs(float(module.seen) / expected_trace(module.net, right) - 1) < 1e-4
        assert abs(float(module.seen) / expected_trace(module.net, wrong) - 1) > 1e-4


@kind(
    "Loops",
    "`fast_dev_run`",
    note="Snapshots take two path steps.",
)
def fast_dev_run(root: Path) -> None:
    for options, longest in (({"fast_dev_run": 2}, 2), ({"max_steps": 2}, 6)):
        path = HorizontalPathSnapshot("fit_end", pairs=2, max_steps=6, on_error="raise")
        train(Training(Lit(), pairs(), options=options), root, path)
        assert path.last_snapshot is not None
        steps = [record.steps for record in path.last_snapshot.paths]
        assert max(steps) <= longest
    assert max(steps) > 2  # the control: without fast_dev_run


@kind(
    "Loops",
    "snapshots of models that are slow",
    write="max_time=0.05",
    happens="a tenth of the time of the fit, at least 30 seconds; long snapshots are announced",
)
def slow_snapshots(root: Path) -> None:
    for max_time, status in ((0.05, "out_of_time"), (math.inf, "out_of_steps")):
        path = HorizontalPathSnapshot(
            "fit_end",
            pairs=1,
            step_size=1e-6,
            max_steps=100_000 if status == "out_of_time" else 10,
            max_time=max_time,
            on_error="raise",
        )
        train(Training(Lit(), pairs()), root, path)
        assert path.last_snapshot is not None
        assert path.last_snapshot.paths[0].status == status


class Interrupting(Lit):
    """Presses Ctrl-C in the middle of the last snapshot."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            self.calls += 1
            if self.calls == 40:
                os.kill(os.getpid(), signal.SIGINT)
        return self.net(x)  # type: ignore[no-any-return]

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("seen", 1.0)


@kind(
    "Loops",
    "Ctrl-C during the last snapshot",
    Report(
        "Lightning-AI/pytorch-lightning #795",
        "trainings that are ended by Ctrl-C, after which more code runs",
        "the process ended: `trainer.test` did not run",
    ),
    note="It ends the snapshot, which is kept, and nothing else.",
)
def interrupt(root: Path) -> None:
    module = Interrupting()
    path = HorizontalPathSnapshot(
        "fit_end", pairs=1, max_steps=100_000, step_size=1e-6, on_error="raise"
    )
    train(Training(module, pairs()), root, path)
    assert module.calls < 1000
    assert path.last_snapshot is not None
    assert path.last_snapshot.paths[0].status != "reached"
    trainer = L.Trainer(logger=False, enable_progress_bar=False, accelerator="cpu")
    (found,) = trainer.validate(module, loader(pairs()), verbose=False)
    assert found["seen"] == 1.0


class Softmax(Lit):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).softmax(1)  # type: ignore[no-any-return]


@kind(
    "Loops",
    "several fits in a process: folds, sweeps, notebooks",
    note="A callback that switches itself off says so in every fit, and tries again in the next.",
)
def several_fits(root: Path) -> None:
    monitor = LocalDataMatrixMonitor(4, every_n_steps=1)
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            notices = train(Training(Softmax(), pairs()), root, monitor)
        assert len(notices) == 1
    assert train(Training(Lit(), pairs()), root, monitor) == []
    assert monitor.history["step"]


@kind(
    "Loops",
    "metrics in a `MetricCollection`",
    note="Metrics with different arguments are never merged.",
)
def metric_collection(root: Path) -> None:
    x = rows(4)
    net = nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 3))
    nn.init.zeros_(net[2].weight)

    def metrics() -> dict[str, Any]:
        return {
            "trace": LocalDataMatrixTrace(),
            "rank": LocalDataMatrixEffectiveRank(),
            "stable": LocalDataMatrixEffectiveRank("stable"),
        }

    together = MetricCollection(metrics())
    together.update(net, x)  # all are equal at first
    together.compute()
    together.reset()
    nn.init.normal_(net[2].weight)
    together.update(net, x)
    found = {name: float(value) for name, value in together.compute().items()}
    for name, metric in metrics().items():
        metric.update(net, x)
        assert found[name] == float(metric.compute())
    assert abs(found["trace"] / expected_trace(net, x) - 1) < 1e-4
    assert len(set(found.values())) == 3
