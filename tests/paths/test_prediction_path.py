"""Prediction paths arrive at the prediction asked for, along the leaf, on the shortest way."""

import pytest
import torch
from torch import nn

from lightning_leaf import (
    LeafError,
    NonFiniteError,
    PathStatus,
    fisher_rao_distance,
    prediction_path,
)
from tests.support import oracle
from tests.support.cases import CASES, LABEL_CASES, fresh_seeds

BY_NAME = {case.name: case for case in CASES}
FULL_RANK = ("linear", "signal", "frozen", "image_cnn")
"""Cases whose tangent dimension is C − 1 along the paths."""


def path_of(name: str, seed: int, batch: int = 4, **options):
    model, x = BY_NAME[name].make(seed, batch=batch)
    model.eval()
    target = torch.arange(batch) % BY_NAME[name].classes
    return model, x, target, prediction_path(model, x, target, progress=False, **options)


@pytest.mark.parametrize("rtol", [0, 1e-3])
@pytest.mark.parametrize("name", FULL_RANK)
@pytest.mark.parametrize("seed", fresh_seeds(1))
def test_paths_arrive_at_the_exchanged_prediction(name, seed, rtol):
    model, x, target, path = path_of(name, seed, rtol=rtol)
    smooth = name != "image_cnn"  # paths of networks with random weights can stay at a kink
    reached = [status is PathStatus.REACHED for status in path.status]
    assert all(reached) if smooth else sum(reached) >= 2
    p = model(x).detach().double().softmax(1)
    for i in range(len(x)):
        if not reached[i]:
            continue
        asked, top = p[i].clone(), p[i].argmax()
        asked[top], asked[target[i]] = p[i, target[i]], p[i, top]
        end = model(path[i].points[-1:]).detach().double().softmax(1)[0]
        assert float(fisher_rao_distance(end.log(), asked.log())) <= 0.02 + 1e-4
        assert float((end - asked).abs().max()) <= 0.01 + 1e-4
        torch.testing.assert_close(path[i].target, asked, rtol=1e-4, atol=1e-6)
    horizontality = torch.cat([single.horizontality for single in path])
    assert bool((horizontality > 0.999).all())


@pytest.mark.parametrize("seed", fresh_seeds(2))
def test_paths_of_a_linear_model_are_shortest_and_least(seed):
    """s = Wx + b: the least change that exchanges two scores is W⁺ of the change of the scores."""
    model, x, target, path = path_of("linear", seed, batch=6, tolerance=1e-4)
    scores = model(x).detach().double()
    asked, rows = scores.clone(), torch.arange(6)
    top = scores.argmax(1)
    asked[rows, top], asked[rows, target] = scores[rows, target], scores[rows, top]
    contrasts = model.weight.detach().double()
    contrasts = contrasts - contrasts.mean(0)
    least = (asked - scores) @ torch.linalg.pinv(contrasts).T
    assert path.status == (PathStatus.REACHED,) * 6
    moved = torch.stack([single.points[-1] - single.points[0] for single in path]).double()
    torch.testing.assert_close(moved, least, rtol=0.02, atol=0.02)
    torch.testing.assert_close(path.change, moved.norm(dim=1))
    ratios = path.length_ratio[top != target]
    assert bool(((ratios > 0.999) & (ratios < 1.002)).all())  # short paths: rounding
    assert bool((path.euclidean_length[:, -1] >= path.change - 1e-5).all())


def test_every_step_is_the_damped_least_change_of_the_naive_formula():
    model, x = BY_NAME["signal"].make(1, batch=2)
    model.eval().double()
    path = prediction_path(model, x.double(), 2, max_steps=3, keep_points=8, progress=False)
    for single in path:
        for point, following in zip(single.points, single.points[1:], strict=False):
            step = (following - point).flatten()
            tangent = oracle.project(model, point[None], step[None])[0]
            assert float((tangent - step).norm() / step.norm()) < 1e-6
    lengths = torch.stack([single.fisher_rao_length.diff() for single in path])
    assert float(lengths.max()) < 0.13  # α = 0.1, but for the curvature of the model


def test_a_longer_way_has_a_larger_ratio():
    """The control: the path through another class is not the shortest."""
    model, x, target, direct = path_of("linear", 0, batch=4)
    detour = prediction_path(model, x, target, through=[(target + 1) % 4], progress=False)
    assert detour.status == (PathStatus.REACHED,) * 4
    longer = direct.steps > 0
    assert bool((detour.length_ratio[longer] > direct.length_ratio[longer] + 0.1).any())


@pytest.mark.parametrize("name", ["linear", "signal"])
def test_a_round_trip_shows_whether_the_way_back_is_the_same(name):
    model, x = BY_NAME[name].make(2, batch=4)
    model.eval()
    own = model(x).argmax(1)
    other = (own + 1) % BY_NAME[name].classes
    there = prediction_path(model, x, other, tolerance=1e-3, progress=False)
    back = prediction_path(model, x, own, through=[other], tolerance=1e-3, progress=False)
    assert back.status == (PathStatus.REACHED,) * 4
    first, last = back.log_probs[:, 0], back.log_probs[:, -1]
    assert float(fisher_rao_distance(first, last).max()) < 2e-3
    gap = back.change / there.change
    if name == "linear":  # D_x is the same everywhere: no holonomy
        assert float(gap.max()) < 0.02
    else:
        assert float(gap.max()) > 0.001


@pytest.mark.parametrize("likelihood", ["categorical", "bernoulli"])
def test_the_change_that_switches_the_prediction_is_less_than_the_whole(likelihood):
    model, x = BY_NAME["linear"].make(0, batch=4)
    with torch.no_grad():
        model.weight *= 4
    own = model(x).argmax(1)
    other = (own + 1) % 4
    path = prediction_path(model, x, other, likelihood=likelihood, keep_points=200, progress=False)
    for i, single in enumerate(path):
        p = model(single.points).detach()
        if likelihood == "bernoulli":
            is_read = (p[:, other[i]] > 0) != (p[0, other[i]] > 0)
        else:
            is_read = p.argmax(1) == other[i]
        first = int(is_read.long().argmax())
        expected = float((single.points[first] - single.points[0]).norm())
        assert single.switch_change == pytest.approx(expected, rel=1e-5)
        assert 0 < single.switch_change <= single.change
    assert float(path.switch_change.sum()) < float(path.change.sum())
    assert path.switch_change.tolist() == [single.switch_change for single in path]


def test_targets_may_be_distributions():
    model, x = BY_NAME["linear"].make(0, batch=3)
    asked = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25], [0.0, 0.0, 1.0, 0.0]])
    path = prediction_path(model, x, asked, progress=False)
    assert path.status == (PathStatus.REACHED,) * 3
    ends = torch.stack([single.log_probs[-1].exp() for single in path])
    assert float((ends - asked).abs().max()) < 0.011
    same = prediction_path(model, x, asked[0], progress=False)
    assert float((same[2].log_probs[-1].exp() - asked[0]).abs().max()) < 0.011


def test_the_predicted_class_is_reached_without_a_step():
    model, x = BY_NAME["linear"].make(0, batch=3)
    path = prediction_path(model, x, model(x).argmax(1), progress=False)
    assert path.steps.tolist() == [0, 0, 0]
    assert path.status == (PathStatus.REACHED,) * 3


@pytest.mark.parametrize("name", [case.name for case in LABEL_CASES][:3])
def test_one_label_is_switched_and_the_others_stay(name):
    case = next(case for case in LABEL_CASES if case.name == name)
    model, x = case.make(0, batch=3)
    model.eval()
    path = prediction_path(model, x, 1, likelihood="bernoulli", progress=False)
    p = model(x).detach().sigmoid()
    asked = p.clone()
    asked[:, 1] = 1 - p[:, 1]
    for i, single in enumerate(path):
        if single.status is PathStatus.REACHED:
            assert float((single.log_probs[-1].exp() - asked[i]).abs().max()) <= 0.011
    assert PathStatus.REACHED in path.status


@pytest.mark.parametrize("rtol", [0, 1e-3])
def test_equal_scores_block_a_path_by_rank(rtol):
    model, x = BY_NAME["dependent_scores"].make(0, batch=4)  # classes 2 and 3 have one score
    asked = torch.tensor([0.1, 0.1, 0.1, 0.7])
    path = prediction_path(model, x, asked, rtol=rtol, progress=False)
    assert path.status == (PathStatus.BLOCKED,) * 4
    assert path.blocked_by == ("rank",) * 4
    assert "blocked after" in path[0].describe()
    share = float((model.bias[3] - model.bias[2]).detach().sigmoid())  # their log-ratio is constant
    possible = torch.tensor([0.1, 0.1, 0.8 * (1 - share), 0.8 * share])
    path = prediction_path(model, x, possible, rtol=rtol, progress=False)
    assert path.status == (PathStatus.REACHED,) * 4


def test_a_model_with_zero_gradients_is_blocked_at_once():
    model = nn.Linear(4, 3)
    nn.init.zeros_(model.weight)
    path = prediction_path(model, torch.ones(2, 4), torch.tensor([0.8, 0.1, 0.1]), progress=False)
    assert path.status == (PathStatus.BLOCKED,) * 2
    assert path.blocked_by == ("rank",) * 2
    assert path.steps.tolist() == [0, 0]


def test_the_domain_holds_and_blocks_what_leads_out_of_it():
    model, x = BY_NAME["linear"].make(0, batch=6)
    x = x.clamp(-1, 1)
    target = (model(x).argmax(1) + 1) % 4
    free = prediction_path(model, x, target, progress=False)
    wide = prediction_path(model, x, target, domain=(-1.5, 1.5), progress=False)
    assert float(wide.points.abs().max()) <= 1.5
    assert float(free.points.abs().max()) > 1.5
    assert PathStatus.REACHED in wide.status
    sure = torch.tensor([1e-6, 1e-6, 1e-6, 1 - 3e-6])
    narrow = prediction_path(model, x, sure, domain=(-1, 1), progress=False)
    assert narrow.status == (PathStatus.BLOCKED,) * 6
    assert narrow.blocked_by == ("domain",) * 6
    assert prediction_path(model, x, sure, progress=False).status == (PathStatus.REACHED,) * 6


def test_a_certain_prediction_is_left_without_a_leap():
    """From p = 1 − 10⁻¹², the derivative of √p would ask for a step 10⁴ times too long."""
    model = nn.Linear(10, 3)
    x = torch.zeros(1, 10)
    with torch.no_grad():
        model.bias.copy_(torch.tensor([28.0, 0.0, 0.0]))
    path = prediction_path(model, x, 1, keep_points=200, progress=False)[0]
    assert path.status is PathStatus.REACHED
    scores = model(path.points).detach()
    rise = (scores[:, 1] - scores[:, 0]).diff()
    assert float(rise.max()) < 2.01
    assert float(path.length_ratio) < 1.01


@pytest.mark.parametrize("chunk_size", [1, 3])
def test_a_path_does_not_depend_on_its_batch(chunk_size):
    *_, together = path_of("signal", 3, batch=6)
    *_, apart = path_of("signal", 3, batch=6, chunk_size=chunk_size)
    assert together.status == apart.status
    assert together.steps.tolist() == apart.steps.tolist()
    for one, other in zip(together, apart, strict=True):
        torch.testing.assert_close(one.points[-1], other.points[-1], rtol=1e-3, atol=1e-4)


def test_many_classes_are_lifted_by_products():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(300, 400), nn.Tanh(), nn.Linear(400, 200))
    x = torch.randn(2, 300)
    path = prediction_path(model, x, torch.tensor([3, 17]), progress=False)
    assert path.status == (PathStatus.REACHED,) * 2
    assert bool((torch.cat([single.horizontality for single in path]) > 0.999).all())


@pytest.mark.parametrize("likelihood", ["categorical", "bernoulli"])
def test_lifts_by_products_stay_in_the_domain(likelihood):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(30, 20), nn.Tanh(), nn.Linear(20, 8))
    x = torch.rand(2, 30)
    options = {"likelihood": likelihood, "domain": (0, 1), "progress": False}
    found = prediction_path(model, x, 3, rtol=1e-3, **options)
    exact = prediction_path(model, x, 3, rtol=0, **options)
    assert found.status == exact.status
    assert float(found.points.min()) >= 0
    assert float(found.points.max()) <= 1
    torch.testing.assert_close(found.change, exact.change, rtol=0.1, atol=0.01)


def test_a_coordinate_inside_the_domain_may_move_to_its_bound():
    """A whole step would lead out of the domain; part of it reaches the target."""
    model = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.0, 0.0], [2.0, 4.0]]))
    x, y = torch.tensor([[0.5, 0.9]]), torch.tensor([[0.99, 0.99]])
    asked = model(y).softmax(1).detach()
    for step_size in (0.1, 1.0):
        path = prediction_path(model, x, asked, step_size=step_size, domain=(0, 1), progress=False)
        assert path.status == (PathStatus.REACHED,)


def test_the_noise_of_missing_directions_does_not_move_a_path():
    """D_x has three dimensions; float32 gradients of ten classes have nine, six of them noise."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 3), nn.Linear(3, 10))
    path = prediction_path(model, torch.randn(4, 64), 1, progress=False)
    exact = prediction_path(model.double(), path.start.double(), 1, progress=False)
    horizontality = torch.cat([single.horizontality for single in path])
    assert float(horizontality.min()) > 0.99
    assert path.blocked_by == ("rank",) * 4
    assert bool((path.change < 1.05 * exact.change).all())  # noise would add to it


def test_a_saturated_model_is_not_left_by_a_leap():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 2), nn.Tanh(), nn.Linear(2, 6))
    path = prediction_path(model, torch.randn(8, 6), 1, progress=False)
    assert float(path.euclidean_length.diff().max()) < 1000


def test_a_path_without_progress_ends_at_its_closest_point():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(10, 32), nn.Sigmoid(), nn.Linear(32, 4))  # bounded scores
    x = torch.randn(6, 10)
    path = prediction_path(model, x, torch.tensor([0.01, 0.01, 0.01, 0.97]), progress=False)
    assert PathStatus.REACHED not in path.status
    for single in path:
        assert float(single.distance[-1]) == float(single.distance[single.point_steps].min())
        end = model(single.points[-1:]).detach().log_softmax(1)[0]
        torch.testing.assert_close(single.log_probs[-1], end, rtol=1e-4, atol=1e-5)
        assert len(single.horizontality) == single.steps == int(single.point_steps[-1])


class NaNBeyond(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x):
        return torch.where(x[:, :1] > 5, torch.nan, self.linear(x))


def test_a_path_that_becomes_non_finite_does_not_change_the_others():
    torch.manual_seed(0)
    model, x = NaNBeyond(), torch.randn(3, 4)
    x[1, 0] = 6
    path = prediction_path(model, x, torch.tensor([0.1, 0.1, 0.8]), progress=False)
    assert path[1].status is PathStatus.NON_FINITE
    alone = prediction_path(model.linear, x[[0, 2]], torch.tensor([0.1, 0.1, 0.8]), progress=False)
    assert [path[0].steps, path[2].steps] == alone.steps.tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": 4}, "target expects classes from 0 to 3; got 4"),
        ({"target": [0, 1]}, "one for each of the 3 paths"),
        ({"target": "cat"}, "target expects a class"),
        ({"target": True}, "integers"),
        ({"target": [0.5, 0.5]}, "distribution over the 4 classes"),
        ({"target": [0.5, 0.5, 0.5, 0.5]}, "sum to 1"),
        ({"target": [1.0, float("nan"), 0.0, 0.0]}, "sum to 1"),
        ({"target": 0, "through": 3}, "through expects a sequence"),
        ({"target": 0, "through": [9]}, r"through\[0\] expects classes"),
        ({"target": 0, "step_size": 0}, "step_size"),
        ({"target": 0, "tolerance": -1}, "tolerance"),
        ({"target": 0, "max_steps": -1}, "max_steps"),
        ({"target": 0, "domain": (-0.1, 0.1)}, "start expects values inside the domain"),
    ],
)
def test_invalid_arguments_raise_an_error_that_names_them(arguments, message):
    model, x = BY_NAME["linear"].make(0, batch=3)
    with pytest.raises(LeafError, match=message):
        prediction_path(model, x, progress=False, **arguments)


def test_nan_in_the_start_raises_an_error():
    with pytest.raises(NonFiniteError, match="start"):
        prediction_path(nn.Linear(2, 2), torch.full((1, 2), torch.nan), 0, progress=False)
