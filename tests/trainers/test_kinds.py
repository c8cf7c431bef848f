"""Every row of the table of supported models, data and loops does what the page says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from tests.support.trainers.checks import (
    final_state,
    made,
    require_refusal,
    require_right_values,
    train,
)
from tests.support.trainers.kinds import Lit, Training, pairs
from tests.support.trainers.table import KINDS, Kind

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("row", KINDS, ids=lambda row: row.name)
def test_kind(tmp_path: Path, row: Kind) -> None:
    if row.refused is not None:
        training = made(row, tmp_path)
        assert training is not None
        require_refusal(row, training, tmp_path)
        if not row.write:
            return
    training = made(row, tmp_path)
    if training is not None:
        require_right_values(row, training, tmp_path)


class Drawing(L.Callback):
    """A callback that changes the random stream."""

    def on_train_batch_start(self, *_: Any) -> None:
        torch.rand(1)


@pytest.mark.parametrize("callbacks", [(), (Drawing(),)])
def test_a_callback_that_draws_random_numbers_is_found(tmp_path: Path, callbacks: Any) -> None:
    """Negative control of the comparison of trainings."""
    states = []
    for watching in ((), callbacks):
        torch.manual_seed(0)
        training = Training(Lit(), pairs())
        train(training, tmp_path, *watching)
        states.append(final_state(training.module))
    assert (states[0] == states[1]) == (not callbacks)
