"""Strips show every frame of a path in a tile of the same size, with a caption."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_leaf.drawing.strip import CAPTION, GAP, TILE, draw_strip, stack_strips
from tests.support.made_paths import make_path, random_log_probs, take_snapshot


def strip_of(steps: int, shape: tuple[int, ...] = (1, 8, 8)) -> Image.Image:
    return draw_strip(take_snapshot(make_path(random_log_probs(steps, 3), shape)).paths[0])


def tile(strip: Image.Image, i: int) -> np.ndarray:
    left = GAP + i * (TILE + GAP)
    return np.asarray(strip)[GAP : GAP + TILE, left : left + TILE]


def dark(picture: np.ndarray) -> np.ndarray:
    return (picture < 60).all(axis=2)


def test_strips_of_different_lengths_are_stacked():
    long, short = strip_of(20), strip_of(3)
    assert stack_strips([short, long]).size == (long.width, short.height + long.height)


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_of_small_images_are_squares(channels):
    record = take_snapshot(make_path(random_log_probs(40, 3), (channels, 8, 8))).paths[0]
    strip = draw_strip(record)
    frames = [*record.frames, record.destination_frame]
    for i, frame in enumerate(frames):
        squares = np.kron(frame.reshape(8, 8, channels), np.ones((9, 9, 1)))
        assert np.array_equal(tile(strip, i), np.broadcast_to(squares, (72, 72, 3)))


def test_large_images_fit_into_their_tiles():
    strip = strip_of(40, (1, 200, 100))
    assert (tile(strip, 0)[:, 36:] == 255).all()
    assert not (tile(strip, 0)[:, :36] == 255).all(axis=2).any()


def signal_strip(*values: torch.Tensor, end: torch.Tensor | None = None) -> Image.Image:
    """Return the strip of a path through these signals."""
    single = make_path(random_log_probs(len(values) - 1, 3), values[0].shape)
    single.points[:] = torch.stack(values)
    single.end[:] = values[0] if end is None else end
    return draw_strip(take_snapshot(single).paths[0])


def test_signals_share_one_scale_from_the_smallest_to_the_largest_value():
    strip = signal_strip(torch.zeros(30), torch.ones(30), end=torch.full((30,), 4.0))
    rows = [np.flatnonzero(dark(tile(strip, i)).sum(1) > 30) for i in range(3)]
    heights = [float(row.mean()) for row in rows]
    assert heights[0] > 68
    assert heights[2] < 4
    assert heights[1] == pytest.approx(heights[0] * 3 / 4 + heights[2] / 4, abs=1)


DIFFICULT = {
    "NaN": torch.tensor([0.0, math.nan, 1.0, 0.5]),
    "constant": torch.ones(4),
    "channels": torch.tensor([[0.0, 1.0, 0.0], [1.0, math.nan, 1.0]]),
}


@pytest.mark.parametrize("signal", DIFFICULT.values(), ids=DIFFICULT.keys())
def test_signals_with_nan_or_with_one_value_only_are_drawn(signal):
    strip = signal_strip(signal.nan_to_num(), signal)
    assert strip.size == (3 * (TILE + GAP) + GAP, TILE + CAPTION + 2 * GAP)
    assert dark(tile(strip, 1)).any()
    # A missing sample is drawn as zero and does not change the others.
    assert np.array_equal(tile(strip, 1), tile(strip, 0))


def test_every_tile_has_a_caption():
    strip = np.asarray(strip_of(40))
    for i in range(14):
        left = GAP + i * (TILE + GAP)
        assert dark(strip[GAP + TILE :, left : left + TILE]).any()
