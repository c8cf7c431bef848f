"""Horizontal paths follow Algorithm 1, stay on their leaf and report why they ended."""

import copy

import pytest
import torch
from torch import nn
from torchvision import transforms

from lightning_leaf import (
    LeafError,
    LocalDataMatrix,
    NonFiniteError,
    PathStatus,
    fisher_rao_length,
    horizontal_path,
    orthogonal_walk,
)
from lightning_leaf.model.classifier import measuring
from tests.support import oracle
from tests.support.cases import CASES

CNN = next(case for case in CASES if case.name == "image_cnn")


def pairs(seed, batch=4):
    model, x = CNN.make(seed, batch=2 * batch)
    return model, x[:batch], x[batch:]


def naive_horizontal_path(model, x, y, step_size, steps):
    """Return the points of Algorithm 1 for one pair, computed in float64."""
    points = [x.double()]
    for _ in range(steps):
        u = y.double() - points[-1]
        v = oracle.project(model, points[-1].unsqueeze(0), u.unsqueeze(0))[0]
        points.append(points[-1] + min(step_size, float(v.norm())) * v / v.norm())
    return torch.stack(points)


def test_paths_agree_with_algorithm_1_step_by_step():
    model, x, y = pairs(1, batch=3)
    path = horizontal_path(
        model, x, y, step_size=0.05, max_steps=12, threshold=1e-6, progress=False
    )
    exact = copy.deepcopy(model).double().eval()
    for single, start, end in zip(path, x, y, strict=True):
        expected = naive_horizontal_path(exact, start, end, 0.05, 12)
        assert single.point_steps.tolist() == list(range(13))
        assert torch.allclose(single.points.double(), expected, atol=2e-4)
        distance = (end.double() - expected).flatten(1).norm(dim=1)
        assert torch.allclose(single.distance, distance, rtol=1e-4)
        log_p = exact(expected).detach().log_softmax(1)
        assert torch.allclose(single.log_probs.double(), log_p, atol=1e-3)
        length = fisher_rao_length(log_p)
        assert torch.allclose(single.fisher_rao_length, length, rtol=1e-2, atol=1e-4)
        # Negative control: the straight line is another path.
        straight = start + (end - start) * 0.05 * 12 / (end - start).norm()
        assert not torch.allclose(single.points[-1], straight, atol=2e-4)


def test_steps_of_horizontal_paths_are_tangent_and_steps_of_orthogonal_walks_are_not():
    model, x, y = pairs(2)
    path = horizontal_path(model, x, y, max_steps=40, progress=False)
    assert (path.horizontality > 1 - 1e-6).all()
    walk = orthogonal_walk(model, x, max_steps=40, progress=False)
    assert (walk.horizontality < 1e-3).all()


def test_horizontality_includes_clamping():
    model, x, y = pairs(2)
    x, y = x.sigmoid().round(), y.sigmoid().round()  # every pixel is at a bound
    path = horizontal_path(model, x, y, max_steps=40, domain=(0, 1), progress=False)
    assert path.points.min() >= 0
    assert path.points.max() <= 1
    assert (path.horizontality[:, 0] < 0.95).all()
    for single in path:
        step = (single.points[1] - single.points[0]).unsqueeze(0)
        g = LocalDataMatrix.at(model, single.points[:1])
        share = float(g.project(step).norm() / step.norm())
        assert single.horizontality[0] == pytest.approx(share, abs=1e-4)


def test_a_destination_on_the_leaf_is_reached():
    """The leaf of a linear classifier is an affine space: x + D_x."""
    model = nn.Linear(20, 5)
    x, v = torch.randn(3, 20), torch.randn(3, 20)
    on_leaf = x + LocalDataMatrix.at(model, x).project(v)
    path = horizontal_path(model, x, on_leaf, progress=False)
    assert path.status == (PathStatus.REACHED,) * 3
    assert (path.distance[:, -1] <= path.threshold).all()
    assert "reached the destination" in path[0].describe()


def test_a_destination_off_the_leaf_stalls_at_the_closest_point():
    model = nn.Linear(20, 5)
    x, y = torch.randn(3, 20), torch.randn(3, 20)
    path = horizontal_path(model, x, y, progress=False)
    assert path.status == (PathStatus.STALLED,) * 3
    residual = LocalDataMatrix.at(model, x).reject(y - x).norm(dim=1)
    assert torch.allclose(path.distance[:, -1].float(), residual, rtol=1e-4)
    assert (path.steps < 1000).all()  # long before max_steps
    assert "stalled after" in path[0].describe()


def test_a_path_that_still_makes_progress_is_out_of_steps():
    model, x, y = pairs(3)
    path = horizontal_path(model, x, y, max_steps=5, progress=False)
    assert path.status == (PathStatus.OUT_OF_STEPS,) * 4
    assert path.steps.tolist() == [5] * 4


def test_a_model_with_zero_gradients_stalls_at_once():
    model = nn.Linear(20, 5)
    nn.init.zeros_(model.weight)
    path = horizontal_path(model, torch.randn(2, 20), torch.randn(2, 20), progress=False)
    assert path.status == (PathStatus.STALLED,) * 2
    assert path.steps.tolist() == [0, 0]


class NaNBeyond(nn.Module):
    """A classifier that returns NaN for inputs whose first coordinate is larger than 1."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)
        with torch.no_grad():
            self.layer.weight.copy_(torch.eye(4, 3))

    def forward(self, x):
        beyond = torch.where(x[:, :1] > 1, torch.nan, 0)
        return self.layer(x) + beyond


def test_a_path_that_becomes_non_finite_does_not_change_the_others():
    model = NaNBeyond()
    x, y = torch.zeros(2, 3), torch.tensor([[0.5, 0.0, 0.0], [3.0, 0.0, 0.0]])
    path = horizontal_path(model, x, y, progress=False)
    assert path.status == (PathStatus.REACHED, PathStatus.NON_FINITE)
    assert "NaN or infinity" in path[1].describe()
    alone = horizontal_path(model, x[:1], y[:1], progress=False)
    assert torch.equal(alone[0].points, path[0].points)


def test_defaults_are_relative_to_the_distance():
    model = nn.Linear(20, 5)
    x, y = torch.randn(2, 20), torch.randn(2, 20)
    near = horizontal_path(model, x, y, max_steps=3, progress=False)
    far = horizontal_path(model, 1000 * x, 1000 * y, max_steps=3, progress=False)
    gap = (y - x).norm(dim=1).double()
    assert torch.allclose(near.step_size, gap / 300)
    assert torch.allclose(far.step_size, 1000 * near.step_size)
    assert torch.allclose(near.threshold, gap / 30)
    paper = horizontal_path(model, x, y, step_size=0.1, threshold=1.0, max_steps=3, progress=False)
    assert paper.step_size.tolist() == [0.1, 0.1]
    assert paper.threshold.tolist() == [1.0, 1.0]


def test_points_are_clamped_to_valid_pixels():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))
    normalize = transforms.Normalize([0.4, 0.5, 0.6], [0.2, 0.3, 0.25])
    x, y = normalize(torch.rand(2, 3, 8, 8)), normalize(torch.rand(2, 3, 8, 8))
    path = horizontal_path(model, x, y, normalize=normalize, max_steps=200, progress=False)
    pixels = path[0].normalization.to_pixels(path[0].points)
    assert pixels.min() > -1e-6
    assert pixels.max() < 1 + 1e-6
    pair = ([0.4, 0.5, 0.6], [0.2, 0.3, 0.25])
    same = horizontal_path(model, x, y, normalize=pair, max_steps=200, progress=False)
    assert torch.equal(path.points, same.points)
    wider = horizontal_path(
        model, x, y, normalize=pair, domain=(-0.1, [1.1, 1.2, 1.3]), max_steps=5, progress=False
    )
    assert wider.steps.tolist() == [5, 5]


INVALID = {
    "shapes": ({"end": torch.zeros(3, 20)}, "same shape"),
    "step": ({"step_size": 0}, "step_size expects a positive"),
    "steps": ({"step_size": torch.ones(5)}, "each of the 2 paths"),
    "threshold": ({"threshold": -1.0}, "threshold expects a positive"),
    "max_steps": ({"max_steps": 2.5}, "max_steps expects a whole number"),
    "keep_points": ({"keep_points": 1}, "at least 2"),
    "chunk_size": ({"chunk_size": 0}, "chunk_size expects a"),
    "top_classes": ({"top_classes": 1}, "top_classes expects a whole number of at least 2; got 1"),
    "fraction": ({"top_classes": 2.5}, r"top_classes expects a whole number.*got 2\.5"),
    "rtol": ({"rtol": 1}, "rtol expects a relative error of at least 0 and below 1; got 1"),
    "negative rtol": ({"rtol": -0.1}, r"rtol expects .*got -0\.1"),
    "both": ({"rtol": 0.1, "top_classes": 3}, "Expected top_classes or rtol.*Remove one of them"),
    "domain": ({"domain": (1, 0)}, "low < high"),
    "outside": ({"domain": (0, 1)}, "start expects values inside the domain"),
    "channels": (
        {"normalize": ((0.5,) * 3, (0.5,) * 3)},
        "one number per channel .axis 1.; got 3 numbers",
    ),
    "normalize": ({"normalize": "imagenet"}, "torchvision.transforms.Normalize"),
    "std": ({"normalize": (0.5, 0.0)}, "every standard deviation positive"),
}


@pytest.mark.parametrize(("arguments", "message"), INVALID.values(), ids=INVALID.keys())
def test_invalid_arguments_raise_an_error_that_names_them(arguments, message):
    arguments = {"start": torch.full((2, 20), -3.0), "end": torch.ones(2, 20)} | arguments
    with pytest.raises(LeafError, match=message):
        horizontal_path(nn.Linear(20, 5), **arguments, progress=False)


@pytest.mark.parametrize("name", ["start", "end"])
def test_nan_in_start_or_end_raises_an_error(name):
    ends = {"start": torch.zeros(2, 20), "end": torch.ones(2, 20)}
    ends[name][1, 3] = torch.nan
    with pytest.raises(NonFiniteError, match=name):
        horizontal_path(nn.Linear(20, 5), **ends, progress=False)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_paths_are_computed_for_every_kind_of_model_and_leave_it_unchanged(case):
    model, x = case.make(11, batch=4)
    model.train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    path = horizontal_path(model, x[:2], x[2:], max_steps=20, progress=False)
    walk = orthogonal_walk(model, x, max_steps=20, progress=False)
    assert path.log_probs.shape[-1] == walk.log_probs.shape[-1] == case.classes
    assert model.training
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_an_open_classifier_gives_the_same_paths_and_is_not_opened_again(monkeypatch):
    model, x, y = pairs(4, batch=2)
    options = {"max_steps": 5, "progress": False}
    expected = horizontal_path(model, x, y, **options), orthogonal_walk(model, x, **options)
    with measuring(model) as classifier:
        monkeypatch.setattr("lightning_leaf.model.classifier.quiet", None)
        actual = (
            horizontal_path(classifier, x, y, **options),
            orthogonal_walk(classifier, x, **options),
        )
        with pytest.raises(TypeError, match="not callable"):  # Negative control.
            horizontal_path(model, x, y, **options)
    for one, other in zip(expected, actual, strict=True):
        assert torch.equal(one.points, other.points)
        assert torch.equal(one.log_probs, other.log_probs)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_paths_on_cuda_are_those_on_the_cpu():
    model, x, y = pairs(9)
    expected = horizontal_path(model, x, y, max_steps=30, progress=False)
    path = horizontal_path(model.cuda(), x, y, max_steps=30, progress=False)
    assert not path.points.is_cuda
    assert torch.allclose(path.distance, expected.distance, rtol=1e-3)
