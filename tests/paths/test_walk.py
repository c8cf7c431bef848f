"""When a path ends, the next one takes its place; paths do not depend on their batch."""

import io

import pytest
import torch
from torch import nn
from tqdm import tqdm

from lightning_leaf import PathStatus, horizontal_path, orthogonal_walk
from lightning_leaf.paths import walk as walk_module
from lightning_leaf.paths.projectors import ExactProjectors
from tests.support import many_classes
from tests.support.cases import CASES

LINEAR = next(case for case in CASES if case.name == "linear")
SEED = 0


@pytest.fixture
def batch_sizes(monkeypatch) -> list[int]:
    """The number of paths in the batch at every evaluation of the model."""
    sizes: list[int] = []
    original = ExactProjectors.at

    def recorded(self, x):
        sizes.append(len(x))
        return original(self, x)

    monkeypatch.setattr(ExactProjectors, "at", recorded)
    return sizes


def paths_of_two_lengths():
    """Return eight paths on a linear model, every second of which ends after a few steps."""
    model, x = LINEAR.make(SEED, batch=8)
    y = torch.randn_like(x)
    thresholds = (y - x).norm(dim=1)
    thresholds[::2] -= 0.002  # reached after some steps
    thresholds[1::2] *= 1e-3  # never reached: these destinations are off the leaf
    return model, x, y, {"step_size": 0.001, "max_steps": 80, "threshold": thresholds}


def test_a_path_that_ends_is_replaced_by_the_next_one(batch_sizes):
    model, x, y, options = paths_of_two_lengths()
    paths = horizontal_path(model, x, y, chunk_size=2, **options)
    ended = [path.status for path in paths]
    assert ended[::2] == [PathStatus.REACHED] * 4
    assert ended[1::2] == [PathStatus.OUT_OF_STEPS] * 4
    # Batches of two share 4 · 81 and 4 · 16 evaluations; only the last path is alone.
    assert sum(batch_sizes) >= 4 * 81
    assert len(batch_sizes) <= (4 * 81 + 4 * 16) / 2 + 81 / 2 + 16


def test_batches_without_replacement_need_more_evaluations(batch_sizes):
    """Negative control: every batch takes as many evaluations as its longest path."""
    model, x, y, options = paths_of_two_lengths()
    thresholds = options.pop("threshold")
    for i in range(0, 8, 2):
        rows = slice(i, i + 2)
        horizontal_path(model, x[rows], y[rows], threshold=thresholds[rows], **options)
    assert len(batch_sizes) > (4 * 81 + 4 * 16) / 2 + 81 / 2 + 16


def test_paths_that_ended_are_not_evaluated_again(batch_sizes):
    model = nn.Linear(20, 5)
    x, y = torch.randn(4, 20), torch.randn(4, 20)
    y[0] = x[0]
    path = horizontal_path(model, x, y, progress=False)
    assert path.steps[0] == 0
    assert batch_sizes[0] == 4
    assert batch_sizes[-1] < 4
    assert sorted(batch_sizes, reverse=True) == batch_sizes


@pytest.fixture(scope="module", params=[0, 1e-6], ids=["exact", "iterative"])
def together(request):
    """All paths in one batch, and how to compute them again."""
    torch.manual_seed(SEED)
    model, x, y, options = paths_of_two_lengths()
    options |= {"rtol": request.param, "max_steps": 30}
    return horizontal_path(model, x, y, **options), (model, x, y), options


@pytest.mark.parametrize("chunk_size", [1, 3])
def test_a_path_does_not_depend_on_its_batch(chunk_size, together):
    expected, ends, options = together
    queued = horizontal_path(*ends, chunk_size=chunk_size, **options)
    for one, other in zip(expected, queued, strict=True):
        assert (one.status, one.steps) == (other.status, other.steps)
        assert torch.equal(one.point_steps, other.point_steps)
        assert torch.allclose(one.points, other.points, atol=1e-4)
        assert torch.allclose(one.log_probs, other.log_probs, atol=1e-4)
        assert torch.allclose(one.distance, other.distance, rtol=1e-4)
        assert torch.allclose(one.fisher_rao_length, other.fisher_rao_length, atol=1e-4)
        assert one.distance.shape == (one.steps + 1,)
        assert one.horizontality.shape == (one.steps,)
        assert other.fisher_rao_length[0] == 0


def test_a_walk_does_not_depend_on_its_batch():
    model, x = many_classes.make("perceptron", SEED, batch=3)
    options = {"max_steps": 18, "step_size": 0.01, "keep_points": 5, "rtol": 1e-3}
    together = orthogonal_walk(model, x, **options)
    queued = orthogonal_walk(model, x, chunk_size=2, **options)
    for one, other in zip(together, queued, strict=True):
        assert one.steps == other.steps == 18
        assert torch.equal(one.point_steps, other.point_steps)
        assert len(other.points) <= 5
        assert torch.allclose(one.points, other.points, atol=1e-4)


def test_zero_steps_are_allowed():
    model, x = LINEAR.make(SEED, batch=5)
    paths = horizontal_path(model, x, x.flip(0) + 1, max_steps=0, chunk_size=2)
    assert [path.steps for path in paths] == [0] * 5


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_progress_bar_is_shown_on_a_terminal_unless_it_is_switched_off(monkeypatch):
    monkeypatch.setattr(walk_module, "tqdm", lambda **options: tqdm(**options | {"delay": 0}))
    model, x = LINEAR.make(SEED, batch=2)
    shown = {}
    for stream in (Terminal(), io.StringIO()):
        for progress in (True, False):
            monkeypatch.setattr("sys.stderr", stream)
            stream.truncate(0)
            horizontal_path(model, x, x + 1, max_steps=3, progress=progress)
            shown[stream.isatty(), progress] = "horizontal paths" in stream.getvalue()
    assert shown == {(t, p): t and p for t in (True, False) for p in (True, False)}
