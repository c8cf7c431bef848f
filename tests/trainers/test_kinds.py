"""Every row of the table of supported models, data and loops does what the page says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.support.trainers.checks import require_refusal, require_right_values
from tests.support.trainers.table import KINDS, Kind


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("row", KINDS, ids=lambda row: row.name)
def test_kind(tmp_path: Path, row: Kind) -> None:
    if row.refused is not None:
        torch.manual_seed(0)
        training = row.make(tmp_path)
        assert training is not None
        require_refusal(row, training, tmp_path)
        if not row.write:
            return
    torch.manual_seed(0)
    training = row.make(tmp_path)
    if training is not None:
        require_right_values(row, training, tmp_path)
