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
