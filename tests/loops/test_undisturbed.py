"""Plain loops and loops of Fabric are bitwise the same with and without monitor and snapshots."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lightning_leaf import LeafMonitor, LeafWriter, horizontal_path
from tests.support.callbacks.training import ignore_lightning, scalars, snapshots
from tests.support.loops.training import (
    STEPS,
    Step,
    differences,
    probe,
    train_plainly,
    train_with_fabric,
)

pytestmark = ignore_lightning

LOOPS = {
    "plain": train_plainly,
    "fabric": train_with_fabric,
    "fabric bf16": partial(train_with_fabric, precision="bf16-mixed"),
}


def nothing(model: nn.Module, step: int) -> None:
    """Measure nothing."""


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
def test_training_is_bitwise_identical_with_monitor_and_snapshots(
    tmp_path: Path, loop: Callable[[Step], list[Any]]
) -> None:
    images, labels = probe()
    writer = LeafWriter(tmp_path)
    monitor = LeafMonitor((images, labels), writer=writer, every_n_steps=2)

    def measure(model: nn.Module, step: int) -> None:
        monitor.measure_if_due(model, step)
        if step in (0, STEPS):
            writer.snapshot(
                lambda: horizontal_path(
                    model, images[:2], images[2:4], max_steps=3, progress=False
                ),
                step,
                sources=(images[:2], labels[:2]),
                destinations=(images[2:4], labels[2:4]),
                class_names=list("abcde"),
            )

    with_leaf, without = loop(measure), loop(nothing)
    writer.close()
    assert differences(with_leaf, without) == []
    assert monitor.history["step"] == [0, 2, 4, 6]
    assert [snapshot.step for snapshot in snapshots(tmp_path)] == [0, STEPS]
    assert scalars(tmp_path)["leaf/trace_mean"].keys() == {0, 2, 4, 6}


def test_a_forward_pass_in_the_loop_changes_the_training() -> None:
    """Negative control."""

    def evaluate(model: nn.Module, step: int) -> None:
        with torch.no_grad():
            model(probe()[0])

    assert differences(train_plainly(evaluate), train_plainly(nothing))
