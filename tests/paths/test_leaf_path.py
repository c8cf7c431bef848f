"""A batch of paths is padded with last values; a single path has its own length."""

import torch
from torch import nn

from lightning_leaf import LocalDataMatrix, horizontal_path, orthogonal_walk
from tests.support.cases import CASES

LINEAR = next(case for case in CASES if case.name == "linear")


def test_batched_attributes_are_padded_and_single_paths_are_not():
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


def test_kept_points_are_limited_and_evenly_spaced():
    model, x = LINEAR.make(5, batch=3)
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


def test_the_representation_describes_every_path():
    model, x = LINEAR.make(5, batch=2)
    walk = orthogonal_walk(model, x, max_steps=1, step_size=0.5, progress=False)
    assert repr(walk) == (
        "LeafPath of 2 orthogonal walks:\n"
        "  [0] walked 1 step, 0.50 from the start\n"
        "  [1] walked 1 step, 0.50 from the start"
    )
