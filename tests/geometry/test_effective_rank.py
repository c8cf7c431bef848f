"""Effective ranks agree with the definitions of their sources."""

import pytest
import torch

from lightning_leaf import LeafError, effective_rank
from lightning_leaf.geometry.rank_kinds import RANK_KINDS


@pytest.mark.parametrize("kind", RANK_KINDS)
@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_the_rank_of_equal_eigenvalues_is_their_number_at_any_scale(kind, scale):
    for rank in range(1, 6):
        spectrum = torch.zeros(6, dtype=torch.float64)
        spectrum[:rank] = scale
        assert effective_rank(spectrum, kind).item() == pytest.approx(rank)


def test_ranks_agree_with_their_formulas():
    spectrum = torch.empty(3, 5, dtype=torch.float64).exponential_()
    q = spectrum / spectrum.sum(-1, keepdim=True)
    expected = {
        "entropy": (-(q * q.log()).sum(-1)).exp(),
        "stable": spectrum.sum(-1) / spectrum.amax(-1),
        "participation": spectrum.sum(-1) ** 2 / (spectrum**2).sum(-1),
    }
    for kind, values in expected.items():
        assert torch.allclose(effective_rank(spectrum, kind), values)
    assert effective_rank(torch.tensor([1.0, 1e-3, 1e-7]), "threshold").item() == 2
    assert effective_rank(torch.tensor([1.0, 1e-3, 1e-7]), "threshold", rtol=1e-2).item() == 1


def test_ranks_of_different_kinds_differ():
    """Negative control for the formulas."""
    spectrum = torch.tensor([4.0, 2.0, 1.0])
    assert len({round(effective_rank(spectrum, kind).item(), 6) for kind in RANK_KINDS}) == 4


@pytest.mark.parametrize("kind", RANK_KINDS)
def test_zeros_negative_values_and_nan(kind):
    assert effective_rank(torch.zeros(4), kind).item() == 0
    assert effective_rank(torch.tensor([1.0, -1e-12]), kind).item() == pytest.approx(1)
    assert effective_rank(torch.tensor([1.0, torch.nan]), kind).isnan()
    assert effective_rank(torch.tensor([1.0, torch.inf]), kind).isnan()


def test_unusable_arguments_raise_an_error():
    with pytest.raises(LeafError, match="'shannon'"):
        effective_rank(torch.ones(3), kind="shannon")
    with pytest.raises(LeafError, match="last axis"):
        effective_rank(torch.tensor(1.0))
