"""Projections on the row space of given rows, which can be nearly or exactly dependent."""

import pytest
import torch
from torch import Tensor

from lightning_leaf.geometry import tangent_space
from lightning_leaf.geometry.tangent_space import TangentSpace

SIZE = 50


def rows_with(values: list[float]) -> Tensor:
    """Return float32 rows with these singular values, for two inputs."""
    count = len(values)
    left, _ = torch.linalg.qr(torch.randn(2, count, count, dtype=torch.float64))
    right, _ = torch.linalg.qr(torch.randn(2, SIZE, count, dtype=torch.float64))
    return (left @ torch.diag(torch.tensor(values).double()) @ right.mT).float()


def projected(rows: Tensor, v: Tensor, rank: int) -> Tensor:
    """Return the projection on the leading right singular vectors."""
    basis = torch.linalg.svd(rows.double(), full_matrices=False).Vh[:, :rank]
    return (basis.mT @ (basis @ v.unsqueeze(-1))).squeeze(-1)


def error(found: Tensor, expected: Tensor, v: Tensor) -> float:
    return float(((found - expected).norm(dim=1) / v.norm(dim=1)).max())


def test_small_directions_belong_to_the_space():
    torch.manual_seed(0)
    rows, v = rows_with([1.0, 0.1, 1e-3]), torch.randn(2, SIZE, dtype=torch.float64)
    space, expected = TangentSpace(rows), projected(rows, v, 3)
    assert error(space.project(v), expected, v) < 1e-6
    assert error(v - space.reject(v), expected, v) < 1e-6
    square = expected.square().sum(1)
    assert torch.allclose(space.projected_square(v), square, rtol=1e-6)
    # Negative control: without the last direction, the projection is another one.
    assert error(space.project(v), projected(rows, v, 2), v) > 1e-2


def test_rounding_noise_does_not_belong_to_the_space():
    torch.manual_seed(1)
    rows, v = rows_with([1.0, 0.5, 0.0, 0.0]), torch.randn(2, SIZE, dtype=torch.float64)
    assert torch.linalg.matrix_rank(rows.double()).tolist() == [4, 4]  # because of rounding
    assert error(TangentSpace(rows).project(v), projected(rows, v, 2), v) < 1e-5
    assert error(TangentSpace(rows).project(v), projected(rows, v, 4), v) > 1e-2  # control


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_scale_of_the_rows_does_not_matter(scale):
    rows, v = rows_with([1.0, 0.3]), torch.randn(2, SIZE, dtype=torch.float64)
    plain, scaled = TangentSpace(rows).project(v), TangentSpace(scale * rows).project(v)
    assert error(scaled, plain, v) < 1e-6


def test_only_free_coordinates_of_the_remainder_change():
    rows, v = rows_with([1.0, 0.3, 0.1]), torch.randn(2, SIZE, dtype=torch.float64)
    free = torch.rand(2, SIZE) > 0.5
    rest = TangentSpace(rows).reject(v, free)
    assert (rest[~free] == 0).all()
    assert TangentSpace(rows).coefficients(rest).abs().max() < 1e-10
    assert TangentSpace(rows).coefficients(v * free).abs().max() > 1e-2  # negative control


def test_zero_and_nan_rows_stay_with_their_input():
    rows, v = rows_with([1.0, 0.3]), torch.randn(2, SIZE, dtype=torch.float64)
    expected = TangentSpace(rows).project(v)
    for value in (0.0, torch.nan):
        spoiled = torch.cat([rows[:1], torch.full_like(rows[1:], value)])
        space = TangentSpace(spoiled)
        assert torch.equal(space.project(v)[0], expected[0])
        assert space.marker.isfinite().tolist() == [True, value == 0]
    assert (TangentSpace(torch.zeros_like(rows)).project(v) == 0).all()


def test_rows_are_converted_in_parts(monkeypatch):
    rows, v = rows_with([1.0, 0.3, 0.1]), torch.randn(2, SIZE, dtype=torch.float64)
    free = torch.rand(2, SIZE) > 0.5
    whole = TangentSpace(rows)
    expected = whole.project(v), whole.reject(v, free), whole.projected_square(v)
    monkeypatch.setattr(tangent_space, "COLUMNS_AT_ONCE", 7)
    parts = TangentSpace(rows)
    found = parts.project(v), parts.reject(v, free), parts.projected_square(v)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-12)
