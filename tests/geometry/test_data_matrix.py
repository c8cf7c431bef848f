"""LocalDataMatrix agrees with the definition in float64, with curvlinops and with closed forms.

test_data_matrix_contract.py tests what both implementations promise.
"""

import copy

import pytest
import torch
from torch import nn

from lightning_leaf import LocalDataMatrix, NonFiniteError
from tests.support import oracle
from tests.support.agreement import relative
from tests.support.cases import CASES, Case, fresh_seeds

TOLERANCE = 1e-5


@pytest.fixture(params=CASES, ids=str, scope="module")
def case(request) -> Case:
    return request.param


@pytest.fixture(params=fresh_seeds(2), scope="module")
def measured(case, request):
    """The model in float64, its inputs, G by definition and the float32 measurement of it."""
    model, x = case.make(request.param)
    exact = copy.deepcopy(model).double().eval()
    return exact, x, oracle.data_matrix(exact, x), LocalDataMatrix.at(model, x)


def test_the_dense_matrix_agrees_with_its_definition(measured):
    _, _, expected, g = measured
    assert relative(g.dense(), expected) < TOLERANCE


def test_eigenvalues_are_those_of_the_dense_matrix_padded_with_zeros(measured):
    _, _, expected, g = measured
    spectrum = torch.linalg.eigvalsh(expected).flip(1)
    values = g.eigenvalues()
    ours = torch.zeros_like(spectrum)
    ours[:, : values.shape[1]] = values[:, : spectrum.shape[1]]
    assert relative(ours, spectrum) < TOLERANCE


def test_the_square_of_the_factor_is_the_matrix(measured):
    _, _, expected, g = measured
    factor = g.factor().double()
    assert relative(factor.mT @ factor, expected) < TOLERANCE
    gram = (factor @ factor.mT).flatten(1)
    assert relative(gram, g.gram().flatten(1)) < TOLERANCE


def test_the_kernel_is_orthogonal_to_the_tangent_distribution(measured):
    """Proposition 2.1: G v = 0 for v ⊥ D_x; projecting twice changes nothing."""
    _, x, _, g = measured
    v = torch.randn_like(x).double()
    assert (g @ g.reject(v)).norm() < TOLERANCE * (g @ v).norm()
    assert (g.project(g.project(v)) - g.project(v)).norm() < TOLERANCE * v.norm()
    assert (g.project(v) + g.reject(v) - v).norm() < TOLERANCE * v.norm()


def test_the_tangent_dimension_is_the_rank_of_the_contrasts(measured):
    exact, x, _, g = measured
    ranks = [int(torch.linalg.matrix_rank(oracle.contrasts(exact, one), rtol=1e-9)) for one in x]
    assert g.tangent_dimension().tolist() == ranks


def test_a_confident_model_keeps_its_tangent_distribution():
    """Where float32 probabilities are 1 and 0, ∇log p of the top class is rounding noise."""
    model, x = next(c for c in CASES if c.name == "confident").make(3)
    g = LocalDataMatrix.at(model, x)
    assert (g.log_probs.float().exp().amax(1) == 1).all()
    assert g.tangent_dimension().tolist() == [3] * len(x)
    assert (g.trace() > 0).all()


def test_a_linear_classifier_agrees_with_its_closed_form():
    model = nn.Linear(30, 7).double()
    x = torch.randn(4, 30, dtype=torch.float64)
    p = model(x).detach().softmax(1)
    w = model.weight.detach()
    expected = torch.stack([w.T @ (torch.diag(q) - torch.outer(q, q)) @ w for q in p])
    assert torch.allclose(LocalDataMatrix.at(model, x).dense(), expected, rtol=1e-12, atol=1e-14)


def test_the_divergence_is_half_of_the_squared_length():
    """Equation 8: KL(p(x) ‖ p(x + εv)) / (½ ε² vᵀGv) → 1 as ε → 0."""
    model, x = next(c for c in CASES if c.name == "signal").make(5)
    model, x = model.double().eval(), x.double()
    g = LocalDataMatrix.at(model, x)
    v = torch.randn_like(x)
    square = ((g @ v) * v).flatten(1).sum(1)
    errors = []
    for epsilon in (1e-1, 1e-2, 1e-3):
        q = model(x + epsilon * v).detach().log_softmax(1)
        divergence = (g.log_probs.exp() * (g.log_probs - q)).sum(1)
        errors.append(float((divergence / (0.5 * epsilon**2 * square) - 1).abs().max()))
    assert errors[2] < 1e-2
    assert errors[2] < errors[1] / 3 < errors[0] / 9


@pytest.mark.filterwarnings("ignore")  # warnings of the other library
def test_curvlinops_computes_the_same_matrix():
    """The GGN of summed cross-entropy with the input as the parameter has G as its blocks."""
    import curvlinops

    model, x = next(c for c in CASES if c.name == "signal").make(6, batch=3)
    model, x = model.double().eval().requires_grad_(False), x.double()

    class InputAsParameter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.x = nn.Parameter(x.clone())

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return model(self.x[rows])

    wrapped = InputAsParameter()
    data = [(torch.arange(3), torch.zeros(3, dtype=torch.long))]
    loss = nn.CrossEntropyLoss(reduction="sum")
    params = dict(wrapped.named_parameters())
    try:
        ggn = curvlinops.GGNLinearOperator(wrapped, loss, params, data)
    except (AttributeError, TypeError):  # curvlinops before 3 takes the parameters as a list
        ggn = curvlinops.GGNLinearOperator(wrapped, loss, list(params.values()), data)
    size = x.numel()
    dense = torch.as_tensor(ggn @ torch.eye(size, dtype=torch.float64)).reshape(3, size // 3, 3, -1)
    ours = LocalDataMatrix.at(model, x).dense()
    for i in range(3):
        for j in range(3):
            block = ours[i] if i == j else torch.zeros_like(ours[i])
            assert torch.allclose(dense[i, :, j], block, rtol=1e-8, atol=1e-12)


def test_dense_raises_an_error_for_large_inputs():
    g = LocalDataMatrix.at(nn.Linear(12000, 2), torch.randn(1, 12000))
    with pytest.raises(ValueError, match="11585"):
        g.dense()


def test_diverged_weights_raise_an_error():
    model, x = CASES[0].make(9)
    model.weight.data[0, 0] = torch.nan
    with pytest.raises(NonFiniteError, match="5 of 5 rows"):
        LocalDataMatrix.at(model, x)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_the_oracle(case):
    model, x = case.make(10)
    exact = copy.deepcopy(model).double().eval()
    g = LocalDataMatrix.at(model.cuda(), x)
    assert g.trace().is_cuda
    assert (
        relative(g.dense().cpu(), oracle.data_matrix(exact, x)) < 1e-4
    )  # TF32 is off, sums differ
    v = torch.randn_like(x)
    assert relative(g.project(v.cuda()).cpu(), oracle.project(exact, x, v)) < 1e-4


@pytest.mark.parametrize("seed", fresh_seeds(4))
def test_rounding_noise_in_place_of_missing_directions_is_left_out(seed):
    """Few hidden units, some of which are dead, leave fewer directions than contrasts."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(12, 4), nn.ReLU(), nn.Linear(4, 10))
    x, v = torch.randn(40, 12), torch.randn(40, 12)
    exact = copy.deepcopy(model).double()
    g = LocalDataMatrix.at(model, x)
    assert g.tangent_dimension().min() < 4
    expected = oracle.project(exact, x, v)
    scale = v.norm(dim=1, keepdim=True)
    assert ((g.project(v) - expected) / scale).abs().max() < 1e-5
    # Negative control: with the noise as further directions, the projection is another one.
    noise = g.tangent.rows.double()
    _, _, basis = torch.linalg.svd(noise, full_matrices=False)
    spoiled = (basis.mT @ (basis @ v.double().unsqueeze(-1))).squeeze(-1)
    assert ((spoiled - expected) / scale).abs().max() > 1e-2
