"""Maps of predictions: exact where they can be, and with an honest distortion elsewhere."""

import math

import pytest
import torch

from lightning_leaf import LeafError, NonFiniteError, fisher_rao_distance, leaf_map


def log_probabilities(count: int, classes: int, scale: float = 2.0) -> torch.Tensor:
    return (scale * torch.randn(count, classes, dtype=torch.float64)).log_softmax(-1)


def labels(count: int, number: int, scale: float = 2.0) -> torch.Tensor:
    return torch.nn.functional.logsigmoid(scale * torch.randn(count, number, dtype=torch.float64))


def pairwise(log_p: torch.Tensor, likelihood: str = "categorical") -> torch.Tensor:
    return fisher_rao_distance(log_p[:, None], log_p[None], likelihood)


def stress(chart, log_p: torch.Tensor, likelihood: str = "categorical") -> float:
    """Return Kruskal's stress-1 of predictions and corners, pair by pair."""
    log_p = torch.cat([log_p.double(), chart.corners.double().log()])
    places = torch.cat([chart.positions.reshape(-1, 2), chart.corner_positions])
    errors, squares = 0.0, 0.0
    for i in range(len(log_p)):
        for j in range(len(log_p)):
            distance = float(fisher_rao_distance(log_p[i], log_p[j], likelihood))
            errors += (float((places[i] - places[j]).norm()) - distance) ** 2
            squares += distance**2
    return math.sqrt(errors / squares)


@pytest.mark.parametrize(
    ("log_p", "likelihood"),
    [
        (log_probabilities(15, 2, 8), "categorical"),
        (labels(15, 1, 8), "bernoulli"),
        (labels(15, 2, 8), "bernoulli"),
    ],
)
def test_two_classes_and_up_to_two_labels_are_mapped_exactly(log_p, likelihood):
    chart = leaf_map(log_p, likelihood)
    distances = torch.cdist(chart.positions, chart.positions)
    assert torch.allclose(distances, pairwise(log_p, likelihood), atol=1e-7)
    assert chart.distortion < 1e-8
    # Negative control: distances of the probabilities are others.
    assert not torch.allclose(torch.cdist(log_p.exp(), log_p.exp()), distances, atol=0.1)


@pytest.mark.parametrize(
    ("log_p", "likelihood"),
    [
        (log_probabilities(8, 3), "categorical"),
        (log_probabilities(8, 5), "categorical"),
        (labels(8, 4), "bernoulli"),
    ],
)
def test_the_distortion_is_the_stress_of_all_predictions_and_corners(log_p, likelihood):
    chart = leaf_map(log_p, likelihood)
    assert math.isclose(chart.distortion, stress(chart, log_p, likelihood), rel_tol=1e-6)
    assert 0 < chart.distortion < 0.4


def test_the_triangle_of_three_classes_is_fixed_and_symmetric():
    log_p = log_probabilities(30, 3)
    chart, alone = leaf_map(log_p), leaf_map(log_p[3])
    assert alone.positions.shape == (2,)
    assert torch.equal(alone.positions, chart.positions[3])
    centre = leaf_map(torch.full((3,), 1 / 3).log()).positions
    assert centre.abs().max() < 1e-7
    sides = torch.pdist(chart.corner_positions)
    assert torch.allclose(sides, sides[:1].expand(3))
    assert math.isclose(sides[0], math.pi, rel_tol=0.05)
    assert chart.corner_positions[0, 1] > chart.corner_positions[1, 1]  # the first is above
    # Exchanged classes are exchanged on the map: the mirror image.
    mirrored = leaf_map(log_p[:, [0, 2, 1]]).positions
    assert torch.allclose(mirrored, chart.positions * torch.tensor([-1, 1]), atol=1e-12)


def test_the_triangle_has_less_distortion_than_the_ternary_diagram():
    log_p = log_probabilities(60, 3, 4)
    everything = torch.cat([log_p, torch.eye(3, dtype=torch.float64).log()])
    expected = pairwise(everything)
    ternary = torch.cdist(everything.exp(), everything.exp())  # flat and equilateral
    ternary = ternary * (ternary * expected).sum() / (ternary * ternary).sum()
    of_ternary = (ternary - expected).norm() / expected.norm()
    assert leaf_map(log_p).distortion < 0.04 < of_ternary


def test_edges_are_the_curves_between_corners():
    chart = leaf_map(log_probabilities(3, 3))
    assert chart.edges.shape[::2] == (3, 2)
    middle = chart.edges[:, chart.edges.shape[1] // 2]
    halves = torch.tensor([[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]).log()
    assert torch.allclose(middle, leaf_map(halves).positions, atol=1e-6)
    square = leaf_map(labels(3, 2), "bernoulli")
    assert torch.allclose(
        torch.linalg.vector_norm(square.edges[:, -1] - square.edges[:, 0], dim=1),
        torch.full((4,), math.pi, dtype=torch.float64),
    )
    assert len(leaf_map(log_probabilities(3, 4)).edges) == 0


def test_a_geodesic_among_many_classes_is_nearly_straight_and_exact():
    t = torch.linspace(0.1, 0.9, 20, dtype=torch.float64)[:, None]
    first = torch.full((10,), 1e-3, dtype=torch.float64)
    p, q = first.clone(), first.clone()
    p[2], q[7] = 1, 1
    roots = [(each / each.sum()).sqrt() for each in (p, q)]
    angle = math.acos(float(roots[0] @ roots[1]))
    curve = ((1 - t) * angle).sin() * roots[0] + (t * angle).sin() * roots[1]
    log_p = 2 * (curve / math.sin(angle)).log()
    chart = leaf_map(log_p)
    assert chart.distortion < 0.01
    assert sorted(chart.corners.long().argmax(1).tolist()) == [2, 7]
    assert torch.allclose(torch.cdist(chart.positions, chart.positions), pairwise(log_p), atol=0.02)
    # It runs from left to right.
    assert (chart.positions[:, 0].diff() > 0).all()
    # Negative control: ten corners fit into no plane.
    assert leaf_map(torch.eye(10).log()).distortion > 0.3


def test_the_map_has_less_distortion_than_classical_scaling():
    log_p = log_probabilities(60, 10, 4)
    chart = leaf_map(log_p)
    everything = torch.cat([log_p, chart.corners.double().log()])
    expected = pairwise(everything)
    centring = torch.eye(len(expected), dtype=torch.float64) - 1 / len(expected)
    values, vectors = torch.linalg.eigh(-0.5 * centring @ expected**2 @ centring)
    classical = torch.cdist(*[vectors[:, -2:] * values[-2:].sqrt()] * 2)
    classical = classical * (classical * expected).sum() / (classical * classical).sum()
    assert chart.distortion < 0.9 * float((classical - expected).norm() / expected.norm())


def test_equal_predictions_have_one_place_and_the_map_is_reproducible():
    log_p = log_probabilities(6, 5).repeat(3, 1)
    chart = leaf_map(log_p)
    assert torch.allclose(chart.positions[:6], chart.positions[6:12], atol=0.02)
    assert torch.equal(chart.positions, leaf_map(log_p).positions)
    assert leaf_map(torch.full((2, 3, 5), 0.2).log()).positions.shape == (2, 3, 2)


def test_corners_are_the_predicted_classes_or_sets_of_labels():
    log_p = log_probabilities(40, 30, 6)
    found = set(leaf_map(log_p).corners.long().argmax(1).tolist())
    assert found <= set(log_p.argmax(1).tolist())
    assert len(found) == min(20, len(set(log_p.argmax(1).tolist())))
    of_labels = labels(10, 3)
    expected = {tuple(row) for row in (of_labels.exp() > 0.5).tolist()}
    assert {tuple(row) for row in leaf_map(of_labels, "bernoulli").corners.tolist()} == expected


def test_errors_say_what_was_expected():
    with pytest.raises(LeafError, match="expects 1 to 2000 predictions; got 2001"):
        leaf_map(torch.zeros(2001, 3))
    with pytest.raises(LeafError, match="expects 1 to 2000 predictions; got 0"):
        leaf_map(torch.zeros(0, 3))
    with pytest.raises(LeafError, match=r"at least two classes.*got shape \(3, 1\)"):
        leaf_map(torch.zeros(3, 1))
    with pytest.raises(NonFiniteError, match="NaN"):
        leaf_map(torch.full((3, 3), torch.nan))
