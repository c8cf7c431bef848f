"""Frames cover a path from its first to its last point and are dense where predictions change."""

import numpy as np
import pytest
import torch

from lightning_leaf.display.frame_choice import frame_rows
from tests.support.made_paths import flipping_log_probs, make_path, random_log_probs


@pytest.mark.parametrize("kept", [1, 2, 5, 13, 14, 300])
@pytest.mark.parametrize(
    "log_probs",
    [random_log_probs(400, 3), flipping_log_probs(400, 399), flipping_log_probs(400)],
    ids=["random", "late flip", "constant"],
)
def test_frames_are_different_points_and_include_the_first_and_the_last(kept, log_probs):
    single = make_path(log_probs[: kept if kept < 3 else None], kept=kept)
    rows = frame_rows(single)
    assert len(rows) == min(13, len(single.points))
    assert (rows[0], rows[-1]) == (0, len(single.points) - 1)
    assert (np.diff(rows) > 0).all()
    assert all(type(row) is int for row in rows)


def test_frames_are_dense_where_the_prediction_changes():
    ramp = (torch.arange(401.0) - 300).clamp(-10, 10) / 2
    log_probs = torch.stack([ramp, -ramp], dim=1).double().log_softmax(1)
    single = make_path(log_probs, kept=401)
    steps = single.point_steps[frame_rows(single)]
    assert int(((steps > 288) & (steps < 312)).sum()) >= 5
    # Parts without a change have frames too, and a constant path has evenly spaced frames.
    assert int((steps < 288).sum()) >= 4
    even = make_path(flipping_log_probs(400), kept=401)
    assert np.ptp(np.diff(even.point_steps[frame_rows(even)])) <= 1


def test_a_path_with_nan_in_its_length_has_frames():
    log_probs = random_log_probs(100, 3)
    log_probs[60:] = torch.nan
    rows = frame_rows(make_path(log_probs))
    assert (rows[0], rows[-1], len(rows)) == (0, 100, 13)
    assert (np.diff(rows) > 0).all()
