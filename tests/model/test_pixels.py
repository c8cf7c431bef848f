"""Batches of bytes are measured as the floats that give the same scores."""

import pytest
import torch
from torch import nn

from lightning_leaf import LeafError, LocalDataMatrix, horizontal_path, local_geometry
from lightning_leaf.model.classifier import measuring
from tests.support.oracle import data_matrix


class Net(nn.Module):
    def __init__(self, scaled) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(12, 3)
        self.scaled = scaled

    def forward(self, x):
        return self.layer(self.scaled(x).flatten(1))


def bytes_only(x):
    return x.float() / 255 - 0.5 if x.dtype == torch.uint8 else x - 0.5


@pytest.fixture
def x():
    torch.manual_seed(0)
    return (torch.rand(4, 3, 2, 2) * 255).byte()


def under_cast(x):
    return x.half().float() / 255


CASES = {
    "always": (lambda x: x.float() / 255 - 0.5, 1),
    "never": (lambda x: x.float(), 1),
    "by a cast to half": (under_cast, 1),
    "bytes only": (bytes_only, 1 / 255),
}


@pytest.mark.parametrize(("scaled", "scale"), CASES.values(), ids=CASES.keys())
def test_bytes_become_the_floats_with_the_same_scores(scaled, scale, x):
    model = Net(scaled)
    floats = x.double() * scale
    weight, bias = model.layer.weight.detach().double(), model.layer.bias.detach().double()
    inner = 1 if scaled is CASES["never"][0] else 1 / 255 / scale
    offset = 0.5 if scaled not in (CASES["never"][0], under_cast) else 0
    same = lambda x: (x * inner - offset).flatten(1) @ weight.T + bias  # noqa: E731
    expected = data_matrix(same, floats)
    with measuring(model) as classifier:
        assert classifier.pixel_scale is None
        g = LocalDataMatrix.at(classifier, x)
        assert classifier.pixel_scale == scale
        assert torch.allclose(classifier.prepare(x).double(), floats)
        # float inputs are left as they are
        assert torch.equal(classifier.prepare(floats.float()), floats.float())
    assert torch.allclose(g.dense(), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    trace = local_geometry(model, x).trace
    assert torch.allclose(trace, expected.diagonal(dim1=1, dim2=2).sum(1), rtol=1e-4)
    path = horizontal_path(model, x[:1], x[1:2], max_steps=2, progress=False)
    assert path.steps.tolist() == [2]


REFUSED = {
    "bit operations": (lambda x: (x >> 4).float(), "torch.uint8"),
    "arithmetic of bytes": (lambda x: (x + 100).float() / 255, "gives other scores"),
    "no floats at all": (lambda x: x, r"\(mat1 and mat2"),
}


@pytest.mark.parametrize(("scaled", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_bytes_that_no_floats_stand_for_are_refused(scaled, message, x):
    """Negative control."""
    with pytest.raises(LeafError, match=rf"x expects .*{message}.*x.float\(\) / 255.*forward="):
        LocalDataMatrix.at(Net(scaled), x)


def test_token_ids_are_refused(x):
    with pytest.raises(LeafError, match=r"floating-point.*torch.int64.*embeddings"):
        LocalDataMatrix.at(Net(lambda x: x.float()), x.long())
