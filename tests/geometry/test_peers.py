"""The other implementations in the benchmarks compute the same, and the counts are correct."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lightning_leaf import LocalDataMatrix
from lightning_leaf.model.classifier import measuring
from tests.benchmarks import counting
from tests.benchmarks.chunks import WAYS
from tests.benchmarks.models import PAPER_CNN, Subject
from tests.benchmarks.peers import PEERS, per_sample_path
from tests.support import oracle
from tests.support.cases import CASES, fresh_seeds

IMAGES = next(case for case in CASES if case.name == "image_cnn")
BY_NAME = {case.name: case for case in CASES}
(SEED,) = fresh_seeds(1)

CONVOLUTION = Subject(
    "one convolution and one layer",
    lambda: nn.Sequential(nn.Conv2d(3, 8, 5), nn.Flatten(), nn.Linear(8 * 8 * 6, 4)),
    (3, 12, 10),
    4,
    2,
)


@pytest.fixture(params=["linear", "image_cnn", "signal", "frozen"])
def small(request):
    """A model and inputs in float64, with probabilities that are not rounding noise."""
    model, x = BY_NAME[request.param].make(SEED)
    return model.double().eval(), x.double()


def exact_spectrum(model, x):
    dense = oracle.data_matrix(model, x)
    values = torch.linalg.eigvalsh(dense).flip(1)
    classes = model(x[:1]).shape[1]
    return dense.diagonal(dim1=1, dim2=2).sum(1), values[:, :classes]


@pytest.mark.parametrize("name", PEERS)
def test_every_peer_computes_the_spectrum_of_the_oracle(name, small):
    model, x = small
    trace, values = PEERS[name](model, x)
    expected_trace, expected = exact_spectrum(model, x)
    assert torch.allclose(trace, expected_trace, rtol=1e-8)
    assert torch.allclose(values, expected, rtol=1e-8, atol=1e-10 * float(expected.max()))


@pytest.mark.parametrize("name", PEERS)
def test_the_spectrum_of_another_model_differs(name, small):
    """Negative control: weights that differ by a thousandth fail the comparison."""
    model, x = small
    expected_trace, _ = exact_spectrum(model, x)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.001)
    trace, _ = PEERS[name](model, x)
    assert not torch.allclose(trace, expected_trace, rtol=1e-8)


def test_a_published_step_is_the_projection_of_the_oracle(small):
    model, x = small
    y = torch.randn_like(x)
    v = oracle.project(model, x, y - x)
    for one, end, direction in zip(x, y, v, strict=True):
        step = per_sample_path(model, one, end, 0.1, 1, 1e-3) - one
        assert torch.allclose(step, 0.1 * direction / direction.norm(), atol=1e-8)
        straight = 0.1 * (end - one) / (end - one).norm()
        assert not torch.allclose(step, straight, atol=1e-3)  # negative control


def test_published_paths_end_at_the_threshold():
    model, x = BY_NAME["linear"].make(SEED)
    model, one = model.double(), x[0].double()
    assert torch.equal(per_sample_path(model, one, one + 1e-4, 0.1, 5, 1.0), one)
    assert not torch.equal(per_sample_path(model, one, one + 1.0, 0.1, 5, 1.0), one)


@pytest.mark.parametrize("name", WAYS)
def test_every_way_to_compute_gradients_agrees_with_the_oracle(name):
    """∇s_i − ∇s_0."""
    model, x = IMAGES.make(SEED)
    model, x = model.double().eval(), x.double()
    for rows, one in zip(WAYS[name](model, x), x, strict=True):
        expected = oracle.contrasts(model, one)
        assert torch.allclose(rows, expected, atol=1e-10)
        assert not torch.allclose(rows.roll(1, 0), expected, atol=1e-4)  # negative control


@pytest.mark.parametrize("batch", [1, 3])
def test_operations_and_bytes_agree_with_a_count_by_hand(batch):
    """A k×k convolution takes 2·k²·C_in·C_out·H_out·W_out, and as much for its input's gradient."""
    counted = counting.count(CONVOLUTION, batch)
    convolution = 2 * 5**2 * 3 * 8 * (8 * 6) * batch
    layer = 2 * (8 * 8 * 6) * 4 * batch
    assert counted.forward.flops == counted.backward.flops == convolution + layer
    parameters = 4 * (8 * 3 * 5**2 + 8 + 4 * 8 * 8 * 6 + 4)
    ends = 4 * batch * (3 * 12 * 10 + 4)
    # Gradients of linear layers need only weights, but torch stores the input of a convolution.
    assert counted.activation_bytes in (0, 4 * batch * 3 * 12 * 10)
    assert counted.forward.bytes == parameters + ends + counted.activation_bytes


def test_the_gradient_of_weights_is_not_counted():
    """Negative control: a backward pass with that gradient takes twice as much."""
    model, x = CONVOLUTION.model("meta"), CONVOLUTION.inputs("meta", 2).requires_grad_()
    scores = model(x)
    with FlopCounterMode(display=False) as counter:
        torch.autograd.grad(scores.sum(), [x, *model.parameters()])
    expected = counting.count(CONVOLUTION, 2).backward.flops
    assert counter.get_total_flops() == 2 * expected


@pytest.mark.parametrize("subject", [CONVOLUTION, PAPER_CNN], ids=lambda subject: subject.name)
def test_the_operations_of_a_measurement_are_those_counted(subject):
    """Compare counts without values with those of a real measurement without the model check."""
    model, x = subject.model("cpu"), subject.inputs("cpu", 3)
    with FlopCounterMode(display=False) as whole:
        LocalDataMatrix.at(model, x).eigenvalues()
    with measuring(model) as classifier, FlopCounterMode(display=False) as check:
        classifier.require_usable(x)
    expected = counting.count(subject, 3).exact
    measured = whole.get_total_flops() - check.get_total_flops()
    assert measured == expected.flops + expected.double_flops
