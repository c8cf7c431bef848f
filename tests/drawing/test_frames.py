"""Frames show points that fit exactly, and larger points as averages."""

import numpy as np
import pytest
import torch

from lightning_leaf.data.normalization import Normalization, input_bounds
from lightning_leaf.drawing.frames import frames_of, is_image

GENERATOR = torch.Generator().manual_seed(0)
UNIT = (torch.tensor(0.0), torch.tensor(1.0))


def random_bytes(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, generator=GENERATOR, dtype=torch.uint8)


LAYOUTS = {
    "grey": ((1, 8, 8), lambda x: x[:, 0]),
    "grey, oblong": ((1, 5, 60), lambda x: x[:, 0]),
    "colours": ((3, 12, 9), lambda x: x.permute(0, 2, 3, 1)),
    "colours, channels last": ((12, 9, 3), lambda x: x),
    "grey, channels last": ((9, 12, 1), lambda x: x[..., 0]),
    "three rows of three": ((3, 3, 3), lambda x: x.permute(0, 2, 3, 1)),
    "no channel": ((8, 32), lambda x: x),
}


@pytest.mark.parametrize(("shape", "as_shown"), LAYOUTS.values(), ids=LAYOUTS.keys())
def test_pixels_of_images_that_fit_are_exact(shape, as_shown):
    original = random_bytes(4, *shape)
    frames = frames_of(original / 255, UNIT, largest_side=max(shape))
    assert frames.dtype == np.uint8
    assert np.array_equal(frames, as_shown(original).numpy())
    # Negative control: with one pixel less, frames are averages.
    smaller = frames_of(original / 255, UNIT, largest_side=max(shape) - 1)
    assert smaller.shape != frames.shape


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_of_normalized_inputs_are_exact(channels):
    original = random_bytes(4, channels, 8, 8) % 200
    normalize = ([0.1, 0.5, 0.9][:channels], [0.2, 0.3, 2.0][:channels])
    x = Normalization.of(normalize).from_pixels(original / 255)
    frames = frames_of(x, input_bounds(x, normalize, None), 128)
    assert np.array_equal(frames.reshape(4, 8, 8, channels), original.permute(0, 2, 3, 1).numpy())
    # Negative control: without the normalization, images are scaled to their extreme values.
    assert not np.array_equal(frames, frames_of(x, None, 128))


def test_bounds_are_black_and_white_and_values_beyond_them_are_clamped():
    x = torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 1.5, 1.75]).expand(1, 1, 8, 8)
    bounds = (torch.tensor(0.0), torch.tensor(2.0))
    assert frames_of(x, bounds, 128)[0, 0].tolist() == [0, 0, 64, 128, 255, 255, 191, 223]


def test_without_bounds_all_frames_share_the_smallest_and_the_largest_value():
    x = torch.stack([torch.full((1, 8, 8), value) for value in (-3.0, -1.0, 1.0)])
    assert frames_of(x, None, 128)[:, 0, 0].tolist() == [0, 128, 255]
    assert frames_of(x[1:], None, 128)[:, 0, 0].tolist() == [0, 255]
    assert not frames_of(torch.ones(2, 1, 8, 8), None, 128).any()


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("bounds", [None, UNIT], ids=["min-max", "bounds"])
def test_a_non_finite_pixel_does_not_change_the_others(value, bounds):
    x = random_bytes(3, 1, 8, 8) / 255
    x[:2, 0, 0, 1] = torch.tensor([0.0, 1.0])
    finite = frames_of(x, bounds, 128)
    x[0, 0, 0, 0] = value
    frames = frames_of(x, bounds, 128)
    assert frames[0, 0, 0] == (255 if value == torch.inf else 0)
    assert np.array_equal(frames.reshape(-1)[1:], finite.reshape(-1)[1:])


def test_many_channels_are_shown_as_their_mean():
    x = torch.zeros(2, 6, 8, 8)
    x[:, :3] = 1.0
    assert (frames_of(x, UNIT, 128) == 128).all()
    assert frames_of(x, UNIT, 128).shape == (2, 8, 8)


def test_large_images_are_scaled_down_by_area_averages_and_keep_their_proportions():
    # The average of a chequerboard is grey.
    board = (torch.arange(64)[:, None] + torch.arange(32)) % 2
    frames = frames_of(board.float().expand(2, 3, 64, 32), UNIT, 16)
    assert frames.shape == (2, 16, 8, 3)
    assert (frames == 128).all()
    # Negative control: every fourth pixel of the board is black.
    assert not board[::4, ::4].any()


@pytest.mark.parametrize(
    ("shape", "size"), [((1, 300, 2), (16, 1)), ((3, 20, 17), (16, 14)), ((1, 1, 90), (1, 16))]
)
def test_every_side_has_at_least_one_pixel(shape, size):
    assert frames_of(torch.rand(2, *shape), None, 16).shape[1:3] == size


SIGNALS = {
    "vector": ((20,), (20,)),
    "long vector": ((784,), (512,)),
    "one channel": ((1, 100), (1, 100)),
    "signal": ((2, 12), (2, 12)),
    "long signal": ((12, 5000), (12, 512)),
    "channels last": ((5000, 12), (512, 12)),
    "narrow": ((40, 7), (40, 7)),
    "oblong": ((8, 33), (8, 33)),
    "small maps": ((16, 4, 4), (256,)),
    "video": ((3, 4, 16, 16), (512,)),
}


@pytest.mark.parametrize(("shape", "shown"), SIGNALS.values(), ids=SIGNALS.keys())
def test_vectors_and_signals_keep_the_units_of_the_input(shape, shown):
    x = 100 * torch.randn(3, *shape)
    frames = frames_of(x, None, 128)
    assert frames.dtype == np.float32
    assert frames.shape == (3, *shown)
    # Bounds apply to images only.
    assert np.array_equal(frames, frames_of(x, UNIT, 128))
    if x[0].numel() == frames[0].size:
        assert np.array_equal(frames.reshape(3, -1), x.flatten(1).numpy())


def test_long_signals_are_averages_of_their_samples():
    x = torch.randn(2, 3, 1024)
    naive = x.reshape(2, 3, 512, 2).mean(3)
    assert np.allclose(frames_of(x, None, 128), naive, atol=1e-6)
    assert np.allclose(frames_of(x[:, 0], None, 128), naive[:, 0], atol=1e-6)
    assert frames_of(x, None, 16).shape == (2, 3, 64)
    assert not np.allclose(frames_of(x, None, 128), x[..., ::2], atol=1e-2)


def test_nan_in_a_signal_is_kept():
    x = torch.randn(2, 3, 40)
    x[1, 2, 5] = torch.nan
    assert np.array_equal(frames_of(x, None, 128), x.numpy(), equal_nan=True)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 2), (2, 2, 3), (64, 8, 9), (8, 8), (8, 32)])
def test_is_image_accepts_image_shapes(shape):
    assert is_image(shape)


@pytest.mark.parametrize("shape", [(5,), (7, 8), (8, 33), (33, 8), (2, 7, 9), (4, 8, 8, 8)])
def test_is_image_rejects_other_shapes(shape):
    assert not is_image(shape)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_points_of_any_precision_are_shown(dtype):
    x = torch.ones(2, 1, 8, 8, dtype=dtype, requires_grad=True)
    assert (frames_of(x, UNIT, 128) == 255).all()
    assert frames_of(x.flatten(1), None, 128).dtype == np.float32
