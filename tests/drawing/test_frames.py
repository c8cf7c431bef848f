"""Frames show points that fit exactly, and larger points as averages."""

import numpy as np
import pytest
import torch

from lightning_leaf.data.normalization import Normalization, input_bounds
from lightning_leaf.drawing.frames import frames_of
from lightning_leaf.drawing.layout import layout_of

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
    "small volume": ((4, 8, 7, 8), (512,)),
    "five axes": ((3, 3, 4, 4, 4), (512,)),
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


IMAGES = [(1, 1, 1), (3, 2, 2), (2, 2, 3), (64, 8, 9), (8, 8), (8, 32), (4, 8, 8, 8)]


@pytest.mark.parametrize("shape", IMAGES)
def test_images_and_stacks_of_images_are_recognised_by_their_shape(shape):
    assert layout_of(shape) is not None
    assert frames_of(torch.rand(2, *shape), UNIT, 128).dtype == np.uint8


@pytest.mark.parametrize("shape", [(5,), (7, 8), (8, 33), (33, 8), (2, 7, 9), (4, 8, 7, 8)])
def test_other_shapes_are_no_images(shape):
    assert layout_of(shape) is None
    assert frames_of(torch.rand(2, *shape), UNIT, 128).dtype == np.float32


STACKS = {
    "video": ((5, 3, 9, 8), None, (0, 2, 3, 1)),
    "video, channels first": ((3, 5, 9, 8), None, (1, 2, 3, 0)),
    "video, channels last": ((5, 9, 8, 3), None, (0, 1, 2, 3)),
    "square video": ((3, 3, 9, 8), None, (0, 2, 3, 1)),
    "square volume of colours": ((3, 3, 9, 8), 1, (1, 2, 3, 0)),
    "long video": ((17, 3, 9, 8), None, (0, 2, 3, 1)),
    "volume": ((1, 12, 9, 8), None, (1, 2, 3, 0)),
    "volume of four channels": ((4, 12, 9, 8), None, (1, 2, 3, 0)),
    "volume of eight channels, channels last": ((12, 9, 8, 8), -1, (0, 1, 2, 3)),
    "two frames": ((2, 1, 9, 8), None, (0, 2, 3, 1)),
    "one frame": ((1, 1, 9, 8), None, (0, 2, 3, 1)),
}


@pytest.mark.parametrize(("shape", "axis", "as_slices"), STACKS.values(), ids=STACKS.keys())
def test_videos_and_volumes_are_shown_as_evenly_spaced_slices(shape, axis, as_slices):
    original = random_bytes(2, *shape)
    frames = frames_of(original / 255, UNIT, 128, axis)
    slices = original.permute(0, *(1 + i for i in as_slices)).numpy()  # (F, n, H, W, channels)
    if slices.shape[-1] != 3:
        slices = slices.astype(float).mean(-1).round()[..., None]
    count = slices.shape[1]
    expected = np.linspace(0, count - 1, min(count, 9)).round().astype(int)
    columns = len(expected) if len(expected) <= 3 else 3
    rows = -(-len(expected) // columns)
    frames = frames.reshape(2, *frames.shape[1:3], -1)
    assert frames.shape[1:3] == (rows * 10 - 1, columns * 9 - 1)
    for k, index in enumerate(expected):
        top, left = k // columns * 10, k % columns * 9
        tile = frames[:, top : top + 9, left : left + 8].astype(float)
        assert np.abs(tile - slices[:, index]).max() <= 1  # the mean of channels may round up
        # Negative control: another slice differs.
        other = slices[:, (index + 1) % count]
        assert count == 1 or np.abs(tile - other).max() > 20
    layout = layout_of(shape, axis)
    assert layout.shown == expected.tolist()
    assert (frames[:, 9::10] == 128).all()
    assert (frames[:, :, 8::9] == 128).all()


def test_the_note_names_the_slices_that_are_shown():
    assert layout_of((17, 3, 9, 8)).note == (
        "Each image shows 9 of 17 slices along axis 0 of an input of shape (17, 3, 9, 8), row by "
        "row: numbers 0, 2, 4, 6, 8, 10, 12, 14, 16."
    )
    assert layout_of((1, 3, 64, 64), 1).note == (
        "Each image shows the 3 slices along axis 1 of an input of shape (1, 3, 64, 64)."
    )
    assert layout_of((1, 3, 64, 64)).note == layout_of((3, 64, 64)).note == ""


def test_slices_are_scaled_down_together():
    frames = frames_of(torch.rand(2, 3, 16, 60, 80), UNIT, 32)
    assert frames.shape == (2, 47, 62, 3)  # 3 × 3 slices of 15 × 20 pixels, and two gaps
    assert frames_of(torch.rand(2, 3, 16, 90, 3), UNIT, 8).shape[1] <= 16


def test_bounds_of_every_slice_and_channel_apply():
    """Bounds may have the shape of an input, as those of a normalization have."""
    original = random_bytes(2, 12, 3, 9, 8)
    normalization = Normalization((0.1, 0.5, 0.9), (0.2, 0.3, 2.0))
    x = normalization.from_pixels(original / 255)
    frames = frames_of(x, input_bounds(x, normalization, None), 128)
    assert np.array_equal(frames, frames_of(original / 255, UNIT, 128))
    # Negative control: without the normalization, the colours differ.
    assert not np.array_equal(frames, frames_of(x, UNIT, 128))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_points_of_any_precision_are_shown(dtype):
    x = torch.ones(2, 1, 8, 8, dtype=dtype, requires_grad=True)
    assert (frames_of(x, UNIT, 128) == 255).all()
    assert frames_of(x.flatten(1), None, 128).dtype == np.float32
