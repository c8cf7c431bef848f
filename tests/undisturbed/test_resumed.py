"""A training that is resumed within an epoch ends where it ends without us, whoever was there."""

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
    """Written after three of an epoch's four batches."""
    folder = root / f"begun {'with' if watched else 'without'} us"
    outcome(Training(), folder, leaf_callbacks() if watched else ())
    (found,) = folder.rglob("*step=3.ckpt")
    return found


@functools.cache
def plain(root: Path) -> Outcome:
    """Begun and resumed without us."""
    return outcome(Training(), root / "plain", resumed_from=checkpoint(root, watched=False))


def test_callbacks_from_beginning_to_end(root: Path) -> None:
    ours = leaf_callbacks()
    resumed_from = checkpoint(root, watched=True)
    resumed = outcome(Training(), root / "both", ours, resumed_from=resumed_from)
    assert differences(plain(root), resumed) == []
    assert ours[0].history["step"] == [0, 2, 4, 6, 8]  # it goes on from the checkpoint's
    assert all(each.last_snapshot is not None for each in ours[1:])


def test_callbacks_added_at_the_resume(root: Path) -> None:
    ours = leaf_callbacks()
    resumed_from = checkpoint(root, watched=False)
    resumed = outcome(Training(), root / "added", ours, resumed_from=resumed_from)
    assert differences(plain(root), resumed) == []
    assert ours[0].history["step"][0] == 3
    assert all(each.last_snapshot is not None for each in ours[1:])


def test_callbacks_left_out_at_the_resume(root: Path) -> None:
    resumed_from = checkpoint(root, watched=True)
    resumed = outcome(Training(), root / "left out", resumed_from=resumed_from)
    assert differences(plain(root), resumed) == []


def test_another_beginning_would_be_noticed(root: Path) -> None:
    """Negative control: the outcome depends on the checkpoint."""
    (later,) = checkpoint(root, watched=False).parent.glob("*step=6.ckpt")
    resumed = outcome(Training(), root / "later", resumed_from=later)
    assert "/parameters/net.0.weight" in differences(plain(root), resumed)
