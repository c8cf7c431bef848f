"""No object of a user can end a training loop, or change it."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from lightning_leaf import LeafMonitor, LeafPath, LeafWriter
from lightning_leaf.monitoring import reading
from tests.support.hostile import Examples, Keys, hostile_class
from tests.support.loops.training import differences, probe, train_plainly
from tests.support.made_paths import make_path, random_log_probs

WALKS = LeafPath([make_path(random_log_probs(5, 3), (6,), "orthogonal")])
Use = Callable[[Any, nn.Module, int], Any]


def monitor_with(**arguments: Any) -> Callable[[Any, Path], Use]:
    """Return what makes a monitor with a hostile argument, and uses it."""

    def make(given: Any, folder: Path) -> Use:
        options = {key: given if value is None else value for key, value in arguments.items()}
        monitor = LeafMonitor(options.pop("probe", probe()), every_n_steps=1, **options)
        return lambda given, model, step: monitor.measure_if_due(model, step)

    return make


def writer_with(use: Callable[[LeafWriter, Any, int], Any]) -> Callable[[Any, Path], Use]:
    def make(given: Any, folder: Path) -> Use:
        writer = LeafWriter(folder)
        return lambda given, model, step: use(writer, given, step)

    return make


def write(writer: LeafWriter, given: Any, model: nn.Module, step: int) -> None:
    writer.scalars({"a": 1.0}, step)


PLACES: dict[str, Callable[[Any, Path], Use]] = {
    "probe": monitor_with(probe=None),
    "batch": monitor_with(batch=None),
    "forward": monitor_with(forward=None),
    "class names": monitor_with(class_names=None),
    "writer": monitor_with(writer=None),
    "target": lambda given, folder: partial(write, LeafWriter(given)),
    "values": writer_with(lambda writer, given, step: writer.scalars(given, step)),
    "value": writer_with(lambda writer, given, step: writer.scalars({"a": given}, step)),
    "step": writer_with(lambda writer, given, step: writer.scalars({"a": 1.0}, given)),
    "path": writer_with(lambda writer, given, step: writer.snapshot(given, step)),
    "step of a path": writer_with(lambda writer, given, step: writer.snapshot(WALKS, given)),
    "name": writer_with(lambda writer, given, step: writer.snapshot(WALKS, step, name=given)),
    "sources": writer_with(lambda writer, given, step: writer.snapshot(WALKS, step, sources=given)),
    "names": writer_with(
        lambda writer, given, step: writer.snapshot(WALKS, step, class_names=given)
    ),
    "domain": writer_with(lambda writer, given, step: writer.snapshot(WALKS, step, domain=given)),
    "epoch": writer_with(lambda writer, given, step: writer.snapshot(WALKS, step, epoch=given)),
}
BASES = (object, Examples, Keys, list, tuple, dict, int, str, float)


@pytest.fixture(scope="module")
def undisturbed() -> list[Any]:
    return train_plainly(lambda model, step: None)


@pytest.mark.parametrize("place", PLACES)
def test_hostile_objects_neither_end_nor_change_a_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: list[Any], place: str
) -> None:
    monkeypatch.setattr(reading, "MOST_CLASSES", 100)  # sequences may have no end
    monkeypatch.chdir(tmp_path)  # a target can be the name of a folder
    chance = random.Random(place)
    uses: list[tuple[Use, Any]] = []
    for _ in range(60):
        with suppress(BaseException):  # refused before the training
            given = hostile_class(chance, chance.choice(BASES))()
            uses.append((PLACES[place](given, tmp_path), given))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for use, given in uses[:10]:
            trained = train_plainly(lambda model, step, u=use, g=given: u(g, model, step))
            assert differences(trained, undisturbed) == []
    assert uses or place in ("probe", "batch", "writer", "target")
