"""No object of a user and no error can end a training through the callbacks, or change it."""

from __future__ import annotations

import logging
import random
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_leaf import (
    HorizontalPathSnapshot,
    LeafMonitor,
    LeafWriter,
    LocalDataMatrixMonitor,
    OrthogonalWalkSnapshot,
    PredictionPathSnapshot,
    Trigger,
)
from lightning_leaf.data import workers
from lightning_leaf.monitoring import messages, reading
from tests.support.callbacks.training import ignore_lightning, make_trainer
from tests.support.hostile import ERRORS, Examples, Keys, hostile_class

pytestmark = [*ignore_lightning, pytest.mark.filterwarnings("ignore")]

INPUTS, LABELS = torch.rand(24, 4), torch.arange(24) % 3


class Small(L.LightningModule):
    """A linear classifier, which can raise an error when it is measured."""

    def __init__(self, error: Callable[[], BaseException] | None = None) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.Linear(8, 3))
        self.error = error

    def forward(self, x: Tensor) -> Tensor:
        if self.error is not None and not self.training:
            raise self.error()
        scores: Tensor = self.net(x)
        return scores

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.5)


def train(root: Path, *callbacks: Any, error: Any = None, **options: Any) -> list[Tensor]:
    """Return the weights and the random streams after three steps."""
    L.seed_everything(1, verbose=False)
    module = Small(error)
    loader = DataLoader(TensorDataset(INPUTS, LABELS), 8, shuffle=True)
    trainer = make_trainer(root, callbacks, **({"max_steps": 3, "logger": False} | options))
    trainer.fit(module, loader)
    assert trainer.global_step == 3
    return [*module.state_dict().values(), torch.get_rng_state(), torch.tensor(random.random())]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Tensor]:
    return train(tmp_path_factory.mktemp("plain"))


def require_equal(one: list[Tensor], other: list[Tensor]) -> None:
    assert all(torch.equal(*pair) for pair in zip(one, other, strict=True))


class Rule(Trigger):
    """A trigger that works, on which hostile ones are based."""

    reason = "rule"

    def fires(self, moment: Any) -> bool:
        return True


QUICK: dict[str, Any] = {"max_steps": 1}
PLACES: dict[str, Callable[[Any], Any]] = {
    "probe": lambda given: LocalDataMatrixMonitor(given, every_n_steps=1),
    "probe in a list": lambda given: LocalDataMatrixMonitor([given, 1], every_n_steps=1),
    "batch": lambda given: LocalDataMatrixMonitor(4, every_n_steps=1, batch=given),
    "forward": lambda given: LocalDataMatrixMonitor(4, every_n_steps=1, forward=given),
    "class names": lambda given: LocalDataMatrixMonitor(4, 1, class_names=given),
    "class name": lambda given: HorizontalPathSnapshot(1, 1, class_names=[given] * 3, **QUICK),
    "pairs": lambda given: HorizontalPathSnapshot(1, given, **QUICK),
    "starts": lambda given: OrthogonalWalkSnapshot(1, given, **QUICK),
    "examples": lambda given: PredictionPathSnapshot(1, given, **QUICK),
    "judge": lambda given: PredictionPathSnapshot(1, 1, judge=given, **QUICK),
    "when": lambda given: HorizontalPathSnapshot(given, 1, **QUICK),
    "normalize": lambda given: HorizontalPathSnapshot(1, 1, normalize=given, **QUICK),
    "domain": lambda given: HorizontalPathSnapshot(1, 1, domain=given, **QUICK),
}
BASES = (object, Examples, Keys, list, tuple, dict, Rule)
USED = 4
"""Hostile objects of each place with which a training runs."""


@pytest.mark.parametrize("place", PLACES)
def test_hostile_objects_neither_end_nor_change_a_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: list[Tensor], place: str
) -> None:
    monkeypatch.setattr(workers, "TIMEOUT", 2.0)
    monkeypatch.setattr(reading, "MOST_CLASSES", 100)  # sequences may have no end
    chance = random.Random(place)
    callbacks: list[Any] = []
    for _ in range(100):
        with suppress(BaseException):  # refused before the training
            callbacks.append(PLACES[place](hostile_class(chance, chance.choice(BASES))()))
    assert callbacks or place == "normalize"
    for callback in callbacks[:USED]:
        monitor = LocalDataMatrixMonitor(2, name="other", on_error="raise")
        require_equal(train(tmp_path, callback, monitor), undisturbed)


@pytest.mark.parametrize("kind", ERRORS)
def test_no_error_ends_or_changes_a_training(
    tmp_path: Path, undisturbed: list[Tensor], kind: str, recwarn: pytest.WarningsRecorder
) -> None:
    monitor = LocalDataMatrixMonitor(4, every_n_steps=1)
    walk = OrthogonalWalkSnapshot(1, 1, max_steps=1)
    require_equal(train(tmp_path, monitor, walk, error=ERRORS[kind]), undisturbed)
    texts = [str(each.message) for each in recwarn]
    reports = [text for text in texts if "has switched itself off" in text]
    assert reports
    assert all(len(text) < 6000 and text.isprintable() for text in reports)


def test_hostile_loggers_neither_end_nor_change_a_training(
    tmp_path: Path, undisturbed: list[Tensor]
) -> None:
    for make in ERRORS.values():

        def log_image(self: Any, *_: Any, _make: Any = make, **__: Any) -> None:
            raise _make()

        logger = type("Hostile", (CSVLogger,), {"log_image": log_image})
        walk = OrthogonalWalkSnapshot(1, 1, max_steps=1)
        require_equal(train(tmp_path, walk, logger=logger(tmp_path)), undisturbed)
        assert walk.last_snapshot is not None


class Broken(logging.Handler):
    """A handler that raises an error."""

    def emit(self, record: logging.LogRecord) -> None:
        raise OSError("the server of the logs is gone")


def show(message: Any, *_: Any, **__: Any) -> None:
    """Show a warning in a window, which is not open any more."""
    if "switched itself off" in str(message):
        raise OSError("no window")


@pytest.mark.parametrize("broken", ["handler", "filter", "showwarning", "errors"])
def test_no_message_ends_a_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: list[Tensor], broken: str
) -> None:
    handler, reject = Broken(), lambda record: 1 / 0
    if broken == "handler":
        messages.LOGGER.addHandler(handler)
    if broken == "filter":
        messages.LOGGER.addFilter(reject)
    try:
        with warnings.catch_warnings():
            action: Any = {"errors": "error", "showwarning": "always"}.get(broken, "ignore")
            warnings.filterwarnings(action, message=".*switched itself off")
            if broken == "showwarning":
                monkeypatch.setattr(warnings, "showwarning", show)
            monitor = LocalDataMatrixMonitor(4, every_n_steps=1)
            weights = train(tmp_path, monitor, error=ERRORS["without text"])
    finally:
        messages.LOGGER.removeHandler(handler)
        messages.LOGGER.removeFilter(reject)
    require_equal(weights, undisturbed)


@pytest.mark.parametrize("kind", ERRORS)
def test_no_error_ends_a_loop(tmp_path: Path, kind: str) -> None:
    monitor = LeafMonitor(torch.rand(2, 4), every_n_steps=1)
    with LeafWriter(tmp_path) as writer:
        model = Small(ERRORS[kind]).eval()
        assert monitor.measure_if_due(model, 0) is None
        assert monitor.measure(model, 1) is None

        def path() -> Any:
            raise ERRORS[kind]()

        assert writer.snapshot(path, 3) is None


def test_without_the_bounded_texts_an_error_ends_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control."""
    monkeypatch.setattr(messages, "message_of", str)
    with pytest.raises(RuntimeError, match="no text"):
        train(tmp_path, LocalDataMatrixMonitor(4, 1), error=ERRORS["without text"])
