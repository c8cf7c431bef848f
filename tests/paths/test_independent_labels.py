"""Paths of independent labels: D_x = span{∇s_k}, p_k = σ(s_k), and nothing sums to one."""

import copy

import pytest
import torch
from torch import nn

from lightning_leaf import LeafError, PathStatus, horizontal_path, orthogonal_walk
from lightning_leaf.model.classifier import measuring

LABELS = 4


def network(labels: int = LABELS) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 24), nn.Tanh(), nn.Linear(24, labels))


def naive_projection(model, x, v):  # (d,), (d,) -> (d,)
    """Return the projection of v on span{∇s_k} at one point, by a pseudoinverse in float64."""
    jacobian = torch.autograd.functional.jacobian(lambda x: model(x.unsqueeze(0))[0], x)
    return torch.linalg.pinv(jacobian) @ jacobian @ v


def naive_points(model, x, y, step_size, steps):
    """Return the points of Algorithm 1 for one pair, computed in float64."""
    points = [x.double()]
    for _ in range(steps):
        v = naive_projection(model, points[-1], y.double() - points[-1])
        points.append(points[-1] + min(step_size, float(v.norm())) * v / v.norm())
    return torch.stack(points)


def naive_length(p):  # (T + 1, K) -> ()
    """Return the length of a polygon in the product of the circles of all labels."""
    cosines = (p[1:] * p[:-1]).sqrt() + ((1 - p[1:]) * (1 - p[:-1])).sqrt()
    return (2 * cosines.clamp(max=1).acos()).square().sum(1).sqrt().sum()


@pytest.mark.parametrize("rtol", [0, 1e-6], ids=["exact", "iterative"])
def test_paths_agree_with_algorithm_1_in_the_span_of_all_score_gradients(rtol):
    model, x, y = network(), torch.randn(2, 12), torch.randn(2, 12)
    options = {"step_size": 0.05, "max_steps": 12, "threshold": 1e-6, "rtol": rtol}
    path = horizontal_path(model, x, y, likelihood="bernoulli", **options)
    classes = horizontal_path(model, x, y, **options)
    exact = copy.deepcopy(model).double()
    assert path.likelihood == path[0].likelihood == "bernoulli"
    assert classes.likelihood == "categorical"
    for i, single in enumerate(path):
        expected = naive_points(exact, x[i], y[i], 0.05, 12)
        assert torch.allclose(single.points.double(), expected, atol=1e-4)
        p = exact(expected).detach().sigmoid()
        assert torch.allclose(single.log_probs.double(), p.log(), atol=1e-3)
        assert float(single.fisher_rao_length[-1]) == pytest.approx(
            float(naive_length(p)), rel=1e-3
        )
        assert float(single.horizontality.min()) == pytest.approx(1, abs=1e-5)
        # Negative control: exclusive classes with the same scores have other paths and lengths.
        assert not torch.allclose(classes[i].points.double(), expected, atol=1e-2)
        assert classes[i].log_probs.exp().sum(1).allclose(torch.ones(13))
        assert not single.log_probs.exp().sum(1).allclose(torch.ones(13))


def test_an_orthogonal_walk_keeps_the_probability_of_every_label():
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, LABELS))
    x, r = torch.randn(3, 12), torch.randn(3, 12)
    options = {"step_size": 0.05, "max_steps": 40}
    walk = orthogonal_walk(model, x, r, likelihood="bernoulli", **options)
    assert torch.allclose(walk.log_probs[:, 0], walk.log_probs[:, -1], atol=1e-4)
    assert walk.status == (PathStatus.OUT_OF_STEPS,) * 3
    # Negative control: a walk across the leaves of exclusive classes changes all scores alike.
    p = model(orthogonal_walk(model, x, r, **options).points[:, -1]).sigmoid()
    assert (p - walk.log_probs[:, 0].exp()).abs().max() > 0.01


def test_top_classes_are_the_labels_with_the_largest_variance():
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    model[1].bias.data = torch.tensor([0.0, 30.0, 0.5])  # the second label has p ≈ 1
    doubtful = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    doubtful[1].weight.data = model[1].weight.data[::2]
    doubtful[1].bias.data = model[1].bias.data[::2]
    x, y = torch.randn(2, 12), torch.randn(2, 12)
    options = {"likelihood": "bernoulli", "step_size": 0.02, "max_steps": 10}
    path = horizontal_path(model, x, y, top_classes=2, **options)
    assert torch.allclose(path.points, horizontal_path(doubtful, x, y, **options).points, atol=1e-5)
    # Negative control: all labels span more.
    whole = horizontal_path(model, x, y, **options)
    assert not torch.allclose(path.points, whole.points, atol=1e-3)


def test_one_label_is_a_binary_classifier():
    model, x, y = network(labels=1), torch.randn(2, 12), torch.randn(2, 12)
    label = horizontal_path(model, x, y, likelihood="bernoulli", max_steps=20)
    binary = horizontal_path(model, x, y, max_steps=20)
    assert label.log_probs.shape == (2, 21, 1)
    assert torch.allclose(label.points, binary.points, atol=1e-5)
    assert torch.allclose(label.log_probs[..., 0], binary.log_probs[..., 1], atol=1e-5)
    assert torch.allclose(label.fisher_rao_length, binary.fisher_rao_length, rtol=1e-4, atol=1e-6)


class WithBackbone(nn.Module):
    """A module whose forward returns no scores."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = network()

    def forward(self, x):
        return self.backbone(x).sum()


def test_forward_says_how_to_call_the_model():
    model, x, y = WithBackbone(), torch.randn(2, 12), torch.randn(2, 12)
    expected = horizontal_path(model.backbone, x, y, max_steps=5)
    for forward in ("backbone", lambda model, x: model.backbone(x)):
        path = horizontal_path(model, x, y, forward=forward, max_steps=5)
        assert torch.equal(path.points, expected.points)
        walk = orthogonal_walk(model, x, forward=forward, likelihood="bernoulli", max_steps=5)
        assert walk.likelihood == "bernoulli"
    with pytest.raises(LeafError):  # Negative control.
        horizontal_path(model, x, y, max_steps=5)


def test_an_open_classifier_keeps_its_likelihood():
    model, x = network(), torch.randn(2, 12)
    with measuring(model, likelihood="bernoulli") as classifier:
        assert orthogonal_walk(classifier, x, max_steps=2).likelihood == "bernoulli"
        with pytest.raises(LeafError, match="open classifier"):
            orthogonal_walk(classifier, x, max_steps=2, likelihood="categorical")


def test_an_unknown_likelihood_raises_an_error():
    with pytest.raises(LeafError, match="likelihood expects one of 'categorical', 'bernoulli'"):
        orthogonal_walk(network(), torch.randn(2, 12), likelihood="multilabel")
