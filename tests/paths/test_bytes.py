"""Paths of images as bytes stay within 0 and 255, or within 0 and 1 if the model scales bytes."""

import pytest
import torch
from torch import nn

from lightning_leaf import LeafError, horizontal_path, orthogonal_walk


class Scaling(nn.Module):
    """A classifier that turns bytes into floats: always, or only if it gets bytes."""

    def __init__(self, always: bool) -> None:
        super().__init__()
        self.always = always
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(48, 16), nn.Tanh(), nn.Linear(16, 3))

    def forward(self, x):
        return self.net(x.float() / 255 if self.always or x.dtype == torch.uint8 else x)


def random_images() -> torch.Tensor:
    x = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    x[:, :, :2] = 255  # many pixels are at a bound
    return x


@pytest.mark.parametrize(("always", "largest"), [(True, 255.0), (False, 1.0)])
def test_paths_of_bytes_stay_valid_pixels(always, largest):
    model, x, y = Scaling(always), random_images(), random_images().flip(2)
    pixels, destinations = x.float() * largest / 255, y.float() * largest / 255
    path = horizontal_path(model, x, y, max_steps=30)
    assert torch.allclose(path.start, pixels)
    assert torch.allclose(path.end, destinations)
    assert path.points.min() >= 0
    assert path.points.max() <= largest * (1 + 1e-6)
    shown = path[0].normalization.to_pixels(path.points[0])
    assert torch.allclose(shown * largest, path.points[0], rtol=1e-5)
    expected = horizontal_path(model, pixels, destinations, domain=(0, largest), max_steps=30)
    assert torch.allclose(path.points, expected.points, atol=1e-4 * largest)
    # Negative control: of floats, the range of pixels is unknown.
    free = horizontal_path(model, pixels, destinations, max_steps=30)
    assert free[0].normalization is None
    assert free.points.max() > largest

    walk = orthogonal_walk(model, x, max_steps=30)
    assert 0 <= walk.points.min() <= walk.points.max() <= largest * (1 + 1e-6)
    # A path from noise, which is no longer made of bytes.
    noisy = horizontal_path(model, walk.points[:, -1], y, max_steps=30)
    assert 0 <= noisy.points.min() <= noisy.points.max() <= largest * (1 + 1e-6)


def test_a_normalization_of_other_units_raises_an_error():
    with pytest.raises(LeafError, match="start expects values inside the domain"):
        horizontal_path(Scaling(True), random_images(), random_images(), normalize=(0.5, 0.5))
