"""Measurements and paths on a GPU agree with float64 references. The same tests run on the CPU."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from lightning_leaf import (
    LocalDataMatrix,
    LocalDataMatrixEffectiveRank,
    LocalDataMatrixTrace,
    MatrixFreeDataMatrix,
    effective_rank,
    horizontal_path,
    local_geometry,
    orthogonal_walk,
)
from tests.support import oracle
from tests.support.agreement import relative
from tests.support.cases import CASES, LABEL_CASES, Case, fresh_seeds

IMAGES = next(case for case in CASES if case.name == "image_cnn")
PATH_OPTIONS = {
    "all classes": {},
    "top classes": {"top_classes": 3},
    "products": {"rtol": 1e-6},
    "domain": {"domain": (-6.0, 6.0)},
    "chunks": {"chunk_size": 2},
}


@pytest.fixture(params=fresh_seeds(1))
def seed(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def subject(case: Case, seed: int, device: torch.device) -> tuple[nn.Module, nn.Module, Tensor]:
    """Return a model on the device, its float64 copy on the CPU, and inputs on the CPU."""
    model, x = case.make(seed)
    model.eval()
    return copy.deepcopy(model).to(device), model.double(), x


@pytest.mark.parametrize("case", CASES, ids=str)
def test_matrix_agrees_with_the_oracle(case: Case, seed: int, device: torch.device) -> None:
    model, exact, x = subject(case, seed, device)
    g = LocalDataMatrix.at(model, x)
    assert g.trace().device.type == device.type
    assert relative(g.dense().cpu(), oracle.data_matrix(exact, x)) < 1e-4
    v = torch.randn_like(x)
    assert relative(g.project(v.to(device)).cpu(), oracle.project(exact, x, v)) < 1e-4
    expected = torch.linalg.eigvalsh(oracle.data_matrix(exact, x)).flip(1)
    values = g.eigenvalues().cpu()[:, : expected.shape[1]]
    assert relative(values, expected[:, : values.shape[1]]) < 1e-4
    # Vectors on the host are accepted too.
    assert torch.equal(g.project(v).cpu(), g.project(v.to(device)).cpu())


@pytest.mark.parametrize("case", LABEL_CASES, ids=str)
def test_matrix_of_labels_agrees_with_the_oracle(
    case: Case, seed: int, device: torch.device
) -> None:
    model, exact, x = subject(case, seed, device)
    g = LocalDataMatrix.at(model, x, likelihood="bernoulli")
    expected = oracle.data_matrix(exact, x, "bernoulli")
    assert relative(g.dense().cpu(), expected) < 1e-4


@pytest.mark.parametrize("case", CASES[:3], ids=str)
def test_products_agree_with_the_oracle(case: Case, seed: int, device: torch.device) -> None:
    model, exact, x = subject(case, seed, device)
    g = MatrixFreeDataMatrix.at(model, x)
    v = torch.randn_like(x)
    expected = oracle.data_matrix(exact, x)
    product = (expected @ v.double().flatten(1).unsqueeze(-1)).reshape(x.shape)
    assert relative((g @ v.to(device)).cpu(), product) < 1e-4
    found = g.projection(v.to(device), rtol=1e-5).projection.reshape(x.shape).cpu()
    assert relative(found, oracle.project(exact, x, v)) < 1e-3
    largest = torch.linalg.eigvalsh(expected)[:, -2:].flip(1)
    assert relative(g.spectrum(2).eigenvalues.cpu(), largest) < 1e-3
    estimate = g.trace_estimate(case.classes)
    trace = expected.diagonal(dim1=1, dim2=2).sum(1)
    error = (estimate.value.cpu() - trace).abs()
    assert bool((error <= 6 * estimate.standard_error.cpu() + 1e-3 * trace).all())


def test_geometry_has_nan_only_where_inputs_have(seed: int, device: torch.device) -> None:
    model, exact, x = subject(IMAGES, seed, device)
    x[2] = torch.nan
    geometry = local_geometry(model, x)
    assert geometry.finite.tolist() == [True, True, False, True, True]
    rest = geometry.finite.cpu()
    trace = oracle.data_matrix(exact, x[rest]).diagonal(dim1=1, dim2=2).sum(1)
    assert torch.allclose(geometry.trace.cpu()[rest], trace, rtol=1e-4)
    assert bool(geometry.trace[2].isnan())


def test_metrics_accumulate_on_the_device(seed: int, device: torch.device) -> None:
    model, exact, x = subject(IMAGES, seed, device)
    g = oracle.data_matrix(exact, x)
    traces, ranks = LocalDataMatrixTrace().to(device), LocalDataMatrixEffectiveRank().to(device)
    for part in x.to(device).split(3):
        traces.update(model, part)
        ranks.update(model, part)
    expected = g.diagonal(dim1=1, dim2=2).sum(1).mean()
    assert traces.compute().device.type == device.type
    assert torch.allclose(traces.compute().cpu().double(), expected, rtol=1e-4)
    rank = effective_rank(torch.linalg.eigvalsh(g)).mean()
    assert torch.allclose(ranks.compute().cpu().double(), rank, rtol=1e-3)


@pytest.mark.parametrize("options", PATH_OPTIONS.values(), ids=PATH_OPTIONS.keys())
def test_horizontal_steps_follow_the_oracle(
    options: dict[str, object], seed: int, device: torch.device
) -> None:
    model, exact, x = subject(IMAGES, seed, device)
    end = x.flip(0) + 1
    path = horizontal_path(
        model, x, end, max_steps=3, step_size=0.01, keep_points=8, progress=False, **options
    )
    reference = None
    if "top_classes" in options:  # spans another space than that of the oracle
        arguments = {"max_steps": 3, "step_size": 0.01, "progress": False}
        reference = horizontal_path(exact, x.double(), end.double(), **arguments, **options)
    for i, single in enumerate(path):
        points = single.points
        assert points.device.type == "cpu"
        assert single.steps == 3
        if reference is not None:
            assert (points[-1] - reference[i].points[-1]).norm() < 1e-3 * 0.01
            continue
        for before, after in pairwise(points):
            v = oracle.project(exact, before[None], (end[i] - before)[None])[0].flatten()
            expected = v * min(0.01 / float(v.norm()), 1.0)
            assert (expected - (after - before).double().flatten()).norm() < 1e-3 * 0.01
        assert bool((single.horizontality > 1 - 1e-3).all())


@pytest.mark.parametrize("options", PATH_OPTIONS.values(), ids=PATH_OPTIONS.keys())
def test_orthogonal_steps_lie_in_the_kernel(
    options: dict[str, object], seed: int, device: torch.device
) -> None:
    model, exact, x = subject(IMAGES, seed, device)
    walk = orthogonal_walk(
        model, x, max_steps=3, step_size=0.01, keep_points=8, progress=False, **options
    )
    if "top_classes" in options:  # orthogonal to another space than that of the oracle
        arguments = {"max_steps": 3, "step_size": 0.01, "progress": False}
        reference = orthogonal_walk(exact, x.double(), **arguments, **options)
        for single, expected in zip(walk, reference, strict=True):
            assert (single.points[-1] - expected.points[-1]).norm() < 1e-3 * 0.01
        return
    for single in walk:
        assert single.steps == 3
        for before, after in pairwise(single.points):
            step = (after - before).double()
            assert abs(float(step.norm()) - 0.01) < 1e-5
            assert oracle.project(exact, before[None], step[None]).norm() < 1e-3 * step.norm()


def test_wrong_derivatives_would_be_noticed(seed: int, device: torch.device) -> None:
    """Negative control: what the tolerances above allow is less than the error of TF32."""
    model, exact, x = subject(IMAGES, seed, device)
    with torch.no_grad():
        for parameter in model.parameters():
            rounded = parameter.view(torch.int32) & ~0x1FFF  # TF32 has 10 bits of mantissa
            parameter.copy_(rounded.view(torch.float32))
    g = LocalDataMatrix.at(model, x)
    assert relative(g.dense().cpu(), oracle.data_matrix(exact, x)) > 1e-4
