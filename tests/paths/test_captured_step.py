"""A captured step computes the same as the step itself; the recorder of CUDA is replaced here."""

import inspect

import pytest
import torch
from torch import nn

from lightning_leaf import horizontal_path, orthogonal_walk, prediction_path
from lightning_leaf.paths import captured_step, path_step
from tests.support.cases import CASES

LINEAR = next(case for case in CASES if case.name == "linear")


class Recordings:
    """Recorders that run the work again and copy the results to where they were recorded."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.replays = 0
        self.shift = 0.0
        self.fails = False

    def record(self, work, device):
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing")
        work()
        outputs = inspect.getclosurevars(work).nonlocals["outputs"]
        first = outputs[-1]
        self.sizes.append(len(first[0]))

        def replay() -> None:
            self.replays += 1
            work()
            again = outputs.pop()
            for static, fresh in zip(first, again, strict=True):
                static.copy_(fresh + self.shift)

        return replay


@pytest.fixture
def recordings(monkeypatch) -> Recordings:
    """Let the CPU pass for a device on which steps are captured."""
    recordings = Recordings()
    monkeypatch.setattr(captured_step, "record", recordings.record)
    original = path_step.PathStep.__init__

    def capturing(self, projectors, goal, settings) -> None:
        original(self, projectors, goal, settings)
        self._captures = projectors.can_be_captured

    monkeypatch.setattr(path_step.PathStep, "__init__", capturing)
    return recordings


def ends(count: int):
    """Return paths on a linear model that end after different numbers of steps."""
    torch.manual_seed(0)
    model, x = LINEAR.make(0, batch=count)
    y = torch.randn_like(x)
    thresholds = (y - x).norm(dim=1) - 0.001 * torch.arange(20, 20 + 8 * count, 8) * 0.2
    return model, x, y, {"step_size": 0.001, "max_steps": 120, "threshold": thresholds}


@pytest.mark.parametrize("chunk_size", [3, 8])
def test_paths_are_the_same_digit_by_digit(recordings, chunk_size):
    model, x, y, options = ends(8)
    with_graph = horizontal_path(model, x, y, chunk_size=chunk_size, **options)
    assert recordings.sizes[0] == chunk_size
    assert recordings.replays > 20
    recordings.fails, replays = True, recordings.replays
    without = horizontal_path(model, x, y, chunk_size=chunk_size, **options)
    assert recordings.replays == replays
    assert with_graph.status == without.status
    for one, other in zip(with_graph, without, strict=True):
        assert torch.equal(one.points, other.points)
        assert torch.equal(one.log_probs, other.log_probs)
        assert torch.equal(one.horizontality, other.horizontality)


def test_walks_in_a_domain_are_the_same_digit_by_digit(recordings):
    model, x = LINEAR.make(0, batch=4)
    options = {"max_steps": 40, "step_size": 0.1, "domain": (-1.0, 1.0), "progress": False}
    with_graph = orthogonal_walk(model, x.clamp(-0.9, 0.9), **options)
    assert recordings.replays > 20
    recordings.fails = True
    without = orthogonal_walk(model, x.clamp(-0.9, 0.9), **options)
    assert torch.equal(with_graph.points, without.points)


def test_walks_towards_images_are_the_same_digit_by_digit(recordings):
    """Their step sizes adapt, which is a state of the goal."""
    model = nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 4)).double()
    x, y = torch.randn(2, 5, 12).double()
    options = {"max_steps": 90, "step_size": 0.2, "max_kl": 1e-5, "chunk_size": 3}
    with_graph = orthogonal_walk(model, x, towards=y, progress=False, **options)
    assert recordings.replays > 20
    recordings.fails = True
    without = orthogonal_walk(model, x, towards=y, progress=False, **options)
    assert with_graph.status == without.status
    lengths = [path.euclidean_length.diff() for path in without]
    assert any((length < 0.15).any() for length in lengths)  # shortened steps
    for one, other in zip(with_graph, without, strict=True):
        assert torch.equal(one.points, other.points)
        assert torch.equal(one.log_probs, other.log_probs)


def test_the_state_of_prediction_paths_is_kept_by_the_graph(recordings):
    """Paths join and leave the batch while the graph is used."""
    model, x = LINEAR.make(0, batch=7)
    with torch.no_grad():
        model.weight *= 6  # certain predictions, so that paths take more than 16 steps
    options = {"target": torch.arange(7) % 4, "chunk_size": 3, "progress": False}
    with_graph = prediction_path(model, x, **options)
    assert recordings.replays > 20
    recordings.fails = True
    without = prediction_path(model, x, **options)
    assert with_graph.status == without.status
    for one, other in zip(with_graph, without, strict=True):
        assert torch.equal(one.points, other.points)


class Counting:
    """A goal whose state changes at every step."""

    destinations = None

    def __init__(self, count: torch.Tensor) -> None:
        self.tensors = (count,)

    def with_tensors(self, count):
        return Counting(count)


def counted(goal, x):
    """Return the number of the step, and the next points, which depend on it."""
    (count,) = goal.tensors
    count.add_(1)
    return count.unsqueeze(1).clone(), x + count.unsqueeze(1)


def test_recording_a_step_does_not_count_as_a_step(recordings):
    goal, x = Counting(torch.arange(3.0)), torch.zeros(3, 2)
    before = Counting(goal.tensors[0].clone())
    step = captured_step.captured(counted, before, x, counted(goal, x))
    assert step is not None
    for _ in range(3):
        for found, expected in zip(step(x), counted(goal, x), strict=True):
            assert torch.equal(found, expected)
    assert torch.equal(step.goal(3).tensors[0], goal.tensors[0])


def test_smaller_batches_use_the_graph_of_a_larger_one(recordings):
    model, x, y, options = ends(8)
    horizontal_path(model, x, y, **options)
    assert len(recordings.sizes) < 8
    assert recordings.sizes == sorted(recordings.sizes, reverse=True)
    halves = zip(recordings.sizes, recordings.sizes[1:], strict=False)
    assert all(after <= before // 2 for before, after in halves)


def test_a_graph_that_computes_anything_else_is_not_used(recordings):
    recordings.shift = 1e-12
    model, x, y, options = ends(4)
    path = horizontal_path(model, x, y, **options)
    assert recordings.replays == 1
    recordings.shift = 0.0
    assert torch.equal(path.points, horizontal_path(model, x, y, **options).points)


def test_products_are_not_captured(recordings):
    model, x = nn.Linear(20, 5), torch.randn(2, 20)
    horizontal_path(model, x, x.flip(0), max_steps=40, rtol=1e-3, progress=False)
    assert recordings.sizes == []
