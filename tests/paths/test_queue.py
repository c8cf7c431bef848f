"""Where a path has ended, the next one takes its place, and nothing else changes."""

import pytest
import torch

from lightning_leaf import PathStatus, horizontal_path, orthogonal_walk
from lightning_leaf.paths.projectors import ExactProjectors
from tests.support import many_classes
from tests.support.cases import CASES, fresh_seeds

SEED = fresh_seeds(1)[0]
LINEAR = next(case for case in CASES if case.name == "linear")


@pytest.fixture
def batches(monkeypatch) -> list[int]:
    """How many paths were walking at every evaluation of the model."""
    sizes: list[int] = []
    original = ExactProjectors.at

    def spied(self, x):
        sizes.append(len(x))
        return original(self, x)

    monkeypatch.setattr(ExactProjectors, "at", spied)
    return sizes


def of_different_lengths():
    """Eight paths on a linear model, every second of which is there after a few steps."""
    model, x = LINEAR.make(SEED, batch=8)
    y = torch.randn_like(x)
    thresholds = (y - x).norm(dim=1)
    thresholds[::2] -= 0.002  # reached after some steps
    thresholds[1::2] *= 1e-3  # never: the leaf does not lead there
    return model, x, y, {"step_size": 0.001, "max_steps": 80, "threshold": thresholds}


def test_places_do_not_stay_empty(batches):
    model, x, y, options = of_different_lengths()
    paths = horizontal_path(model, x, y, chunk_size=2, **options)
    ended = [path.status for path in paths]
    assert ended[::2] == [PathStatus.REACHED] * 4
    assert ended[1::2] == [PathStatus.OUT_OF_STEPS] * 4
    # Two places share 4 · 81 and 4 · 16 evaluations; only the last path walks alone.
    assert sum(batches) >= 4 * 81
    assert len(batches) <= (4 * 81 + 4 * 16) / 2 + 81 / 2 + 16


def test_pairs_that_wait_for_each_other_would_take_longer(batches):
    """Negative control: one chunk after the other, each as long as its longest path."""
    model, x, y, options = of_different_lengths()
    thresholds = options.pop("threshold")
    for i in range(0, 8, 2):
        rows = slice(i, i + 2)
        horizontal_path(model, x[rows], y[rows], threshold=thresholds[rows], **options)
    assert len(batches) > (4 * 81 + 4 * 16) / 2 + 81 / 2 + 16


@pytest.mark.parametrize("rtol", [0, 1e-6])
@pytest.mark.parametrize("chunk_size", [1, 2, 3, 8])
def test_company_does_not_change_a_path(chunk_size, rtol):
    model, x, y, options = of_different_lengths()
    together = horizontal_path(model, x, y, rtol=rtol, **options)
    queued = horizontal_path(model, x, y, chunk_size=chunk_size, rtol=rtol, **options)
    for one, other in zip(together, queued, strict=True):
        assert (one.status, one.steps) == (other.status, other.steps)
        assert torch.equal(one.point_steps, other.point_steps)
        assert torch.allclose(one.points, other.points, atol=1e-4)
        assert torch.allclose(one.log_probs, other.log_probs, atol=1e-4)
        assert torch.allclose(one.distance, other.distance, rtol=1e-4)
        assert torch.allclose(one.fisher_rao_length, other.fisher_rao_length, atol=1e-4)
        assert one.distance.shape == (one.steps + 1,)
        assert one.horizontality.shape == (one.steps,)
        assert other.fisher_rao_length[0] == 0


def test_walks_queue_too():
    model, x = many_classes.make("perceptron", SEED, batch=5)
    options = {"max_steps": 21, "step_size": 0.01, "keep_points": 5}
    together, queued = (
        orthogonal_walk(model, x, **options),
        orthogonal_walk(model, x, chunk_size=2, **options),
    )
    for one, other in zip(together, queued, strict=True):
        assert one.steps == other.steps == 21
        assert torch.equal(one.point_steps, other.point_steps)
        assert len(other.points) <= 5
        assert torch.allclose(one.points, other.points, atol=1e-4)


def test_no_steps_at_all():
    model, x = LINEAR.make(SEED, batch=5)
    paths = horizontal_path(model, x, x.flip(0) + 1, max_steps=0, chunk_size=2)
    assert [path.steps for path in paths] == [0] * 5
