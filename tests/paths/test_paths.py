"""Paths stay on their leaf, walks stay off it, and both say honestly what became of them."""

import copy
import io

import pytest
import torch
from torch import nn
from torchvision import transforms
from tqdm import tqdm

from lightning_leaf import (
    LeafError,
    LocalDataMatrix,
    PathStatus,
    fisher_rao_length,
    horizontal_path,
    orthogonal_walk,
)
from lightning_leaf.paths import walk as walk_module
from tests.support import oracle
from tests.support.cases import CASES

CNN = next(case for case in CASES if case.name == "image_cnn")


def pairs(seed, batch=4):
    model, x = CNN.make(seed, batch=2 * batch)
    return model, x[:batch], x[batch:]


def naive_horizontal_path(model, x, y, step_size, steps):
    """Algorithm 1, one pair, one step at a time, float64."""
    points = [x.double()]
    for _ in range(steps):
        u = y.double() - points[-1]
        v = oracle.project(model, points[-1].unsqueeze(0), u.unsqueeze(0))[0]
        points.append(points[-1] + min(step_size, float(v.norm())) * v / v.norm())
    return torch.stack(points)


def test_path_agrees_with_algorithm_1_step_by_step():
    model, x, y = pairs(1)
    path = horizontal_path(
        model, x, y, step_size=0.05, max_steps=15, threshold=1e-6, progress=False
    )
    exact = copy.deepcopy(model).double().eval()
    for one, start, end in zip(path, x, y, strict=True):
        expected = naive_horizontal_path(exact, start, end, 0.05, 15)
        assert one.point_steps.tolist() == list(range(16))
        assert torch.allclose(one.points.double(), expected, atol=2e-4)
        distance = (end.double() - expected).flatten(1).norm(dim=1)
        assert torch.allclose(one.distance, distance, rtol=1e-4)
        log_p = exact(expected).detach().log_softmax(1)
        assert torch.allclose(one.log_probs.double(), log_p, atol=1e-3)
        length = fisher_rao_length(log_p)
        assert torch.allclose(one.fisher_rao_length, length, rtol=1e-2, atol=1e-4)
        # Negative control: the straight line is another path.
        straight = start + (end - start) * 0.05 * 15 / (end - start).norm()
        assert not torch.allclose(one.points[-1], straight, atol=2e-4)


def test_unclamped_horizontal_steps_are_tangent_and_orthogonal_steps_are_not():
    model, x, y = pairs(2)
    path = horizontal_path(model, x, y, max_steps=40, progress=False)
    assert (path.horizontality > 1 - 1e-6).all()
    walk = orthogonal_walk(model, x, max_steps=40, progress=False)
    assert (walk.horizontality < 1e-3).all()


def test_clamping_is_counted_in_the_horizontality():
    model, x, y = pairs(2)
    x, y = x.sigmoid().round(), y.sigmoid().round()  # at the bounds everywhere
    path = horizontal_path(model, x, y, max_steps=40, domain=(0, 1), progress=False)
    assert path.points.min() >= 0
    assert path.points.max() <= 1
    assert (path.horizontality[:, 0] < 0.95).all()
    for one in path:
        step = (one.points[1] - one.points[0]).unsqueeze(0)
        g = LocalDataMatrix.at(model, one.points[:1])
        share = float(g.project(step).norm() / step.norm())
        assert one.horizontality[0] == pytest.approx(share, abs=1e-4)


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
    assert (path.steps < 1000).all()  # it stopped early
    assert "stalled after" in path[0].describe()


def test_a_path_that_could_go_on_is_out_of_steps():
    model, x, y = pairs(3)
    path = horizontal_path(model, x, y, max_steps=5, progress=False)
    assert path.status == (PathStatus.OUT_OF_STEPS,) * 4
    assert path.steps.tolist() == [5] * 4


def test_a_model_without_gradients_stalls_at_once():
    model = nn.Linear(20, 5)
    nn.init.zeros_(model.weight)
    path = horizontal_path(model, torch.randn(2, 20), torch.randn(2, 20), progress=False)
    assert path.status == (PathStatus.STALLED,) * 2
    assert path.steps.tolist() == [0, 0]


class NaNBeyond(nn.Module):
    """A classifier that returns NaN for inputs whose first number is beyond 1."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)
        with torch.no_grad():
            self.layer.weight.copy_(torch.eye(4, 3))

    def forward(self, x):
        beyond = torch.where(x[:, :1] > 1, torch.nan, 0)
        return self.layer(x) + beyond


def test_one_path_that_becomes_non_finite_leaves_the_others_alone():
    model = NaNBeyond()
    x, y = torch.zeros(2, 3), torch.tensor([[0.5, 0.0, 0.0], [3.0, 0.0, 0.0]])
    path = horizontal_path(model, x, y, progress=False)
    assert path.status == (PathStatus.REACHED, PathStatus.NON_FINITE)
    assert "NaN or infinity" in path[1].describe()
    alone = horizontal_path(model, x[:1], y[:1], progress=False)
    assert torch.equal(alone[0].points, path[0].points)


def test_paths_that_are_done_leave_the_batch():
    sizes = []

    class Counted(nn.Linear):
        def forward(self, x):
            sizes.append(len(x))
            return super().forward(x)

    model = Counted(20, 5)
    x, y = torch.randn(4, 20), torch.randn(4, 20)
    y[0] = x[0]
    path = horizontal_path(model, x, y, progress=False)
    assert path.steps[0] == 0
    assert sizes[-1] < 4
    assert sorted(sizes[1:], reverse=True) == sizes[1:]  # the first is the check of the model


@pytest.mark.parametrize("chunk_size", [1, 3, 100])
def test_walking_together_or_apart_gives_the_same_paths(chunk_size):
    model, x, y = pairs(4)
    together = horizontal_path(model, x, y, max_steps=20, progress=False)
    apart = horizontal_path(model, x, y, max_steps=20, chunk_size=chunk_size, progress=False)
    assert torch.allclose(together.points, apart.points, atol=1e-4)
    assert together.status == apart.status


def test_kept_points_are_bounded_and_evenly_spread():
    model, x = CNN.make(5, batch=3)
    walk = orthogonal_walk(model, x, max_steps=300, keep_points=20, progress=False)
    for one in walk:
        steps = one.point_steps
        assert steps[0] == 0
        assert steps[-1] == one.steps == 300
        assert 10 <= len(steps) <= 20
        assert len(set(steps.diff()[:-1].tolist())) == 1
        assert len(one.points) == len(steps)
        distance = (one.points - one.start).flatten(1).double().norm(dim=1)
        assert torch.allclose(distance, one.distance[steps], rtol=1e-5)


def test_batched_arrays_hold_the_last_value_and_single_paths_have_no_padding():
    model = nn.Linear(20, 5)
    x, y = torch.randn(3, 20), torch.randn(3, 20)
    y[1] = x[1] + 0.1 * LocalDataMatrix.at(model, x[1:2]).project(y[1:2])[0]
    path = horizontal_path(model, x, y, progress=False)
    steps = path.steps.tolist()
    assert len(set(steps)) > 1
    for i, one in enumerate(path):
        assert one.steps == steps[i] == len(one.distance) - 1 == len(one.horizontality)
        assert one.log_probs.shape == (steps[i] + 1, 5)
        assert torch.equal(path.distance[i, : steps[i] + 1], one.distance)
        assert (path.distance[i, steps[i] :] == one.distance[-1]).all()
        assert torch.equal(path.points[i, -1], one.points[-1])
        assert torch.equal(one.start, x[i])
        assert torch.equal(one.end, y[i])
    assert path.log_probs.shape == (3, max(steps) + 1, 5)
    assert path.horizontality.shape == (3, max(steps))
    assert len(path) == 3
    assert [p.steps for p in path[1:]] == steps[1:]
    assert torch.equal(path.end, y)


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


def test_the_domain_is_found_through_the_normalisation():
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
    narrow = horizontal_path(
        model, x, y, normalize=pair, domain=(-0.1, [1.1, 1.2, 1.3]), max_steps=5, progress=False
    )
    assert narrow.steps.tolist() == [5, 5]


BAD = {
    "shapes": ({"end": torch.zeros(3, 20)}, "same shape"),
    "step": ({"step_size": 0}, "step_size expects a positive"),
    "steps": ({"step_size": torch.ones(5)}, "each of the 2 paths"),
    "threshold": ({"threshold": -1.0}, "threshold expects a positive"),
    "max_steps": ({"max_steps": 2.5}, "max_steps expects a whole number"),
    "keep_points": ({"keep_points": 1}, "at least 2"),
    "domain": ({"domain": (1, 0)}, "low < high"),
    "outside": ({"domain": (0, 1)}, "start expects values inside the domain"),
    "channels": ({"normalize": ((0.5,) * 3, (0.5,) * 3)}, "as many as axis 1 has"),
    "normalize": ({"normalize": "imagenet"}, "torchvision.transforms.Normalize"),
    "std": ({"normalize": (0.5, 0.0)}, "every standard deviation positive"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD.keys())
def test_bad_arguments_are_named(arguments, message):
    arguments = {"start": torch.full((2, 20), -3.0), "end": torch.ones(2, 20)} | arguments
    with pytest.raises(LeafError, match=message):
        horizontal_path(nn.Linear(20, 5), **arguments, progress=False)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_kind_of_model_can_be_walked_and_is_left_as_it_was(case):
    model, x = case.make(11, batch=4)
    model.train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    path = horizontal_path(model, x[:2], x[2:], max_steps=20, progress=False)
    walk = orthogonal_walk(model, x, max_steps=20, progress=False)
    assert path.log_probs.shape[-1] == walk.log_probs.shape[-1] == case.classes
    assert model.training
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_progress_bar_is_shown_where_a_person_waits(monkeypatch):
    monkeypatch.setattr(walk_module, "tqdm", lambda **given: tqdm(**given | {"delay": 0}))
    model, x, y = pairs(7)
    shown = {}
    for stream in (Terminal(), io.StringIO()):
        for progress in (True, False):
            monkeypatch.setattr("sys.stderr", stream)
            stream.truncate(0)
            horizontal_path(model, x, y, max_steps=3, progress=progress)
            shown[stream.isatty(), progress] = "horizontal paths" in stream.getvalue()
    assert shown == {(t, p): t and p for t in (True, False) for p in (True, False)}


def test_figures_are_drawn():
    model, x, y = pairs(8, batch=2)
    path = horizontal_path(model, x, y, max_steps=10, progress=False)
    figure = path.plot(classes=[f"class {i}" for i in range(10)])
    labels = [text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text"))]
    assert any("class 3" in label for label in labels)
    assert "destination" in labels
    signal, s = next(c for c in CASES if c.name == "signal").make(1, batch=2)
    orthogonal_walk(signal, s, max_steps=5, progress=False)[0].plot()
    with pytest.raises(ValueError, match="10 names"):
        path.plot(classes=["a"])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_walks_the_same_paths():
    model, x, y = pairs(9)
    expected = horizontal_path(model, x, y, max_steps=30, progress=False)
    path = horizontal_path(model.cuda(), x, y, max_steps=30, progress=False)
    assert not path.points.is_cuda
    assert torch.allclose(path.distance, expected.distance, rtol=1e-3)
