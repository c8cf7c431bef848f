"""Normalization maps pixels to inputs and back, and gives the range of valid inputs."""

import pytest
import torch
from torchvision import transforms as v1
from torchvision.transforms import v2

from lightning_leaf import LeafError, Normalization
from lightning_leaf.data.normalization import input_bounds

MEAN, STD = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)


@pytest.mark.parametrize("kind", [v1.Normalize, v2.Normalize, lambda *pair: pair, Normalization])
def test_from_pixels_agrees_with_torchvision_and_to_pixels_inverts_it(kind):
    pixels = torch.rand(2, 3, 5, 4)
    normalization = Normalization.of(kind(MEAN, STD))
    assert normalization == Normalization(MEAN, STD)
    x = normalization.from_pixels(pixels)
    assert torch.allclose(x, v1.Normalize(MEAN, STD)(pixels), atol=1e-6)
    assert torch.allclose(normalization.to_pixels(x), pixels, atol=1e-6)
    assert not torch.allclose(x, pixels, atol=0.1)


LAYOUTS = {
    "video": ((2, 3, 5, 4), None, None),
    "video of as many frames as channels": ((3, 3, 5, 4), None, None),
    "video, channels first": ((3, 2, 5, 4), None, (1, 0, 2, 3)),
    "volume of as many slices as channels": ((3, 3, 5, 4), 1, (1, 0, 2, 3)),
    "image, channels last": ((5, 4, 3), -1, (2, 0, 1)),
    "image of three rows, channels last": ((3, 4, 3), -1, (2, 0, 1)),
    "video, channels last": ((2, 5, 4, 3), -1, (0, 3, 1, 2)),
    "signal": ((3, 5), None, None),
    "features": ((3,), None, None),
}


@pytest.mark.parametrize(("shape", "axis", "to_torchvision"), LAYOUTS.values(), ids=LAYOUTS.keys())
def test_channels_are_on_the_axis_of_torchvision_or_on_the_given_axis(shape, axis, to_torchvision):
    pixels = torch.rand(2, *shape)
    order = range(len(shape)) if to_torchvision is None else to_torchvision
    there = [0, *(1 + i for i in order)]
    back = torch.tensor(there).argsort().tolist()
    as_image = pixels.permute(there)
    if len(shape) < 3:
        as_image = as_image.reshape(2, 3, -1, 1)
    expected = v1.Normalize(MEAN, STD)(as_image)
    expected = expected.reshape(pixels.shape) if len(shape) < 3 else expected.permute(back)
    normalization = Normalization(MEAN, STD, axis)
    x = normalization.from_pixels(pixels)
    assert torch.allclose(x, expected, atol=1e-6)
    assert torch.allclose(normalization.to_pixels(x), pixels, atol=1e-6)
    low, high = input_bounds(x, normalization, None)
    assert torch.allclose(low.expand_as(x), normalization.from_pixels(torch.zeros_like(x)))
    assert torch.allclose(high.expand_as(x), normalization.from_pixels(torch.ones_like(x)))
    domain = input_bounds(x, Normalization((0.0,), (1.0,), axis), (-1, [1.0, 2.0, 3.0]))
    per_channel = input_bounds(x, Normalization((0.0,) * 3, (1.0,) * 3, axis), (-1, [1, 2, 3]))
    assert torch.equal(domain[1].expand_as(x), per_channel[1].expand_as(x))


def test_the_default_axis_of_square_videos_is_that_of_torchvision():
    pixels = torch.rand(2, 3, 3, 5, 4)
    x = Normalization(MEAN, STD).from_pixels(pixels)
    assert torch.equal(x, Normalization(MEAN, STD, -3).from_pixels(pixels))
    # Negative control: along the axis of the frames, values differ.
    assert not torch.allclose(x, Normalization(MEAN, STD, 1).from_pixels(pixels), atol=0.1)


@pytest.mark.parametrize("axis", [0, 1.0, True, "channels"])
def test_an_axis_that_is_none_raises_an_error(axis):
    with pytest.raises(LeafError, match="axis expects the axis of the channels in a batch"):
        Normalization(MEAN, STD, axis)


WRONG_AXES = {
    "channels last": ((2, 32, 32, 3), None, r"\(axis -3 or 1\).*std, axis=-1\)"),
    "a wrong axis": ((2, 32, 32, 3), 1, r"\(axis 1\).*std, axis=-1\)"),
    "an axis that does not exist": ((2, 3, 8, 8), 4, r"\(axis 4\).*std, axis=-3\)"),
    "the axis of the inputs": ((3, 4, 8, 8), -4, r"\(axis -4\); got 3 numbers .*\(3, 4, 8, 8\)\.$"),
    "no axis fits": ((2, 4, 8, 8), None, r"\(axis -3 or 1\); got 3 numbers .*\(2, 4, 8, 8\)\.$"),
}


@pytest.mark.parametrize(("shape", "axis", "message"), WRONG_AXES.values(), ids=WRONG_AXES.keys())
def test_an_axis_without_one_entry_per_channel_raises_an_error_that_names_another(
    shape, axis, message
):
    with pytest.raises(LeafError, match=message):
        Normalization(MEAN, STD, axis).to_pixels(torch.zeros(shape))


def test_bounds_are_the_pixel_range_in_input_units():
    x = torch.zeros(2, 3, 5, 4)
    low, high = input_bounds(x, (MEAN, STD), None)
    assert torch.allclose(low[0, :, 0, 0], -torch.tensor(MEAN) / torch.tensor(STD))
    assert torch.allclose(high[0, :, 0, 0], (1 - torch.tensor(MEAN)) / torch.tensor(STD))
    low, high = input_bounds(x, (0.5, 0.5), (-1, [1, 2, 3]))
    assert torch.allclose(low, torch.tensor(-3.0))
    assert torch.allclose(high[0, :, 0, 0], torch.tensor([1.0, 3.0, 5.0]))
    low, high = input_bounds(x, None, (-1, [1, 2, 3]))
    assert (low.item(), high.flatten().tolist()) == (-1, [1, 2, 3])
    assert input_bounds(x, None, None) is None


INVALID = {
    "name": ("imagenet", "normalize expects torchvision.transforms.Normalize or a pair"),
    "text": (("a", 1.0), "mean expects a number or one number per channel; got 'a'"),
    "lengths": (([0.5, 0.5], 0.5), "as many means as standard deviations"),
    "zero": ((0.5, 0.0), "every standard deviation positive"),
    "empty": (([], []), "as many means as standard deviations"),
}


@pytest.mark.parametrize(("normalize", "message"), INVALID.values(), ids=INVALID.keys())
def test_invalid_normalizations_raise_an_error(normalize, message):
    with pytest.raises(LeafError, match=message):
        Normalization.of(normalize)


def test_a_wrong_number_of_channels_raises_an_error():
    message = r"one number per channel \(axis 1\); got 3 numbers for inputs of shape \(2, 4, 8\)"
    with pytest.raises(LeafError, match=message):
        Normalization(MEAN, STD).to_pixels(torch.zeros(2, 4, 8))


@pytest.mark.parametrize("domain", [(1, 0), (0, 0), (0, [1, 0, 1])])
def test_an_empty_domain_raises_an_error(domain):
    with pytest.raises(LeafError, match="low < high"):
        input_bounds(torch.zeros(2, 3, 5), None, domain)
