"""A training resumed within an epoch is bitwise identical with and without the callbacks."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from tests.support.undisturbed.contract import (
    Outcome,
    Training,
    differences,
    ignore_advice,
    leaf_callbacks,
    outcome,
)

pytestmark = [
    *ignore_advice,
    pytest.mark.filterwarnings("ignore:Be aware that when using .ckpt_path., callbacks used"),
    pytest.mark.filterwarnings("ignore:The dirpath has changed"),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trainings")


@functools.cache
def checkpoint(root: Path, *, watched: bool) -> Path:
    """Return the checkpoint written after three of the four batches of an epoch."""
    folder = root / f"first run {'with' if watched else 'without'} callbacks"
    outcome(Training(), folder, leaf_callbacks() if watched else ())
    (found,) = folder.rglob("*step=3.ckpt")
    return found


@functools.cache
def plain(root: Path) -> Outcome:
    """Return the outcome of a training started and resumed without the callbacks."""
    return outcome(Training(), root / "plain", resumed_from=checkpoint(root, watched=False))


def test_outcome_is_the_same_with_callbacks_in_both_runs(root: Path) -> None:
    callbacks = leaf_callbacks()
    resumed_from = checkpoint(root, watched=True)
    resumed = outcome(Training(), root / "both", callbacks, resumed_from=resumed_from)
    assert differences(plain(root), resumed) == []
    assert callbacks[0].history["step"] == [
        0,
        2,
        4,
        6,
        8,
    ]  # continues the history of the checkpoint
    assert all(each.last_snapshot is not None for each in callbacks[1:])


def test_outcome_is_the_same_with_callbacks_only_in_the_resumed_run(root: Path) -> None:
    callbacks = leaf_callbacks()
    resumed_from = checkpoint(root, watched=False)
    resumed = outcome(Training(), root / "added", callbacks, resumed_from=resumed_from)
    assert differences(plain(root), resumed) == []
    assert callbacks[0].history["step"][0] == 3
    assert all(each.last_snapshot is not None for each in callbacks[1:])


def test_outcome_is_the_same_with_callbacks_only_in_the_first_run(root: Path) -> None:
    resumed_from = checkpoint(root, watched=True)
    resumed = outcome(Training(), root / "left out", resumed_from=resumed_from)
    assert differences(plain(root), resumed) == []


def test_a_later_checkpoint_has_another_outcome(root: Path) -> None:
    """Negative control: the outcome depends on the checkpoint."""
    (later,) = checkpoint(root, watched=False).parent.glob("*step=6.ckpt")
    resumed = outcome(Training(), root / "later", resumed_from=later)
    assert "/parameters/net.0.weight" in differences(plain(root), resumed)
