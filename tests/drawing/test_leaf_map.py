"""The map of paths: where curves and images are, and what the title says about its distances."""

import dataclasses
from itertools import compress, product

import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection
from matplotlib.text import Text

from lightning_leaf import LeafError, LeafPath, NonFiniteError, leaf_map
from lightning_leaf.drawing.leaf_map import FOOT
from lightning_leaf.drawing.map_curves import map_curve
from lightning_leaf.drawing.placement import in_a_row, place_pictures
from tests.support.made_paths import make_path, random_labels, random_log_probs


def straight(steps: int, first: int, last: int, classes: int) -> torch.Tensor:
    """Return log-probabilities that lead from one class to another."""
    t = torch.linspace(0.1, 0.9, steps + 1, dtype=torch.float64)
    p = torch.full((steps + 1, classes), 1e-4, dtype=torch.float64)
    p[:, first], p[:, last] = 1 - t, t
    return (p / p.sum(1, keepdim=True)).log()


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def title(figure) -> str:
    return figure.get_suptitle()


def images(figure) -> list:
    return list(figure.axes[0].images)


def boxes(figure) -> list[tuple[float, float, float, float]]:
    """Return left, right, bottom and top of each image."""
    return [tuple(map(float, image.get_extent())) for image in images(figure)]


def overlapping(found) -> int:
    return sum(
        a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]
        for i, a in enumerate(found)
        for b in found[:i]
    )


@pytest.mark.parametrize("kind", ["horizontal", "orthogonal", "prediction"])
def test_a_map_shows_paths_of_every_kind(kind):
    path = make_path(straight(30, 0, 2, 10), kind=kind)
    figure = LeafPath([path]).plot_map(classes=[f"class {i}" for i in range(10)], images=3)
    shown = texts(figure)
    assert {"class 0", "class 2", "start", "end"} <= set(shown)
    assert "class 1" not in shown  # it is predicted nowhere
    assert path.describe() in title(figure)
    assert "differ from Fisher–Rao distances by less than 1 %" in title(figure)
    assert any(text.startswith("class 0: 0.") for text in shown)
    assert len(images(figure)) == 3


def test_the_title_says_how_far_distances_are_wrong():
    path = LeafPath([make_path(straight(9, i, i + 1, 10), seed=i) for i in range(0, 10, 2)])
    chart = leaf_map(path.log_probs)
    assert chart.distortion > 0.1
    words = title(path.plot_map(images=0))
    assert "Map of 5 horizontal paths (5 out of steps)" in words
    assert "differ from Fisher–Rao distances by" in words
    assert "predictions that look close can be far apart" in words
    # Negative control: one of these paths is mapped exactly.
    assert "far apart" not in title(path[:1].plot_map(images=0)).split("\n")[2]


def test_the_curve_has_the_colours_of_the_predicted_classes():
    figure = LeafPath([make_path(straight(40, 3, 1, 10))]).plot_map(images=0)
    (curve,) = (c for c in figure.axes[0].collections if isinstance(c, LineCollection))
    segments, colours = np.array(curve.get_segments()), curve.get_colors()
    order = segments[:, 0, 0].argsort()
    middle = len(order) // 2
    left, right = colours[order[: middle - 2]], colours[order[middle + 2 :]]
    assert (left == left[0]).all()
    assert (right == right[0]).all()
    assert not np.allclose(left[0], right[0])


def test_distances_on_the_page_are_proportional_to_the_map():
    log_probs = straight(20, 0, 1, 3)
    figure = LeafPath([make_path(log_probs)]).plot_map(images=0)
    (curve,) = (c for c in figure.axes[0].collections if isinstance(c, LineCollection))
    page = np.array(curve.get_segments()).reshape(-1, 2)
    chart = leaf_map(log_probs.float()).positions.numpy()
    length = np.linalg.norm(chart[-1] - chart[0])
    (scale,) = (
        line.get_xdata()[1] - line.get_xdata()[0]
        for line in figure.axes[0].lines
        if len(line.get_xdata()) == 2 and tuple(line.get_ydata()) == (-0.28, -0.28)
    )
    across = np.linalg.norm(page[:, None] - page[None], axis=2).max()
    assert np.isclose(across, length * scale, rtol=1e-4)
    width, height = figure.get_size_inches()
    box = figure.axes[0].get_position()
    left, right = figure.axes[0].get_xlim()
    low, high = figure.axes[0].get_ylim()
    assert np.isclose(right - left, width)
    assert np.isclose(high - low, height * box.height)  # one unit is one inch in both directions


def test_images_do_not_overlap_and_stay_on_the_page():
    path = LeafPath([make_path(random_log_probs(60, 6, seed=i), seed=i) for i in range(3)])
    figure = path.plot_map()
    found = boxes(figure)
    assert len(found) == 18
    assert overlapping(found) == 0
    width, height = figure.axes[0].get_xlim()[1], figure.axes[0].get_ylim()[1]
    assert all(x > 0 and right < width for x, right, *_ in found)
    assert all(y > 0 and top < height for *_, y, top in found)
    # Negative control: with their centres at the predictions they do.
    side = found[0][1] - found[0][0]
    starts = [line.get_xydata()[0] for line in figure.axes[0].lines if line.get_color() == "0.55"]
    assert len(starts) == 18
    assert overlapping([(x, x + side, y, y + side) for x, y in starts]) > 0


def test_vectors_have_no_images():
    figure = LeafPath([make_path(straight(30, 0, 2, 10), (20,))]).plot_map()
    assert images(figure) == []
    assert not any(":" in text for text in texts(figure) if text != title(figure))
    assert LeafPath([make_path(straight(30, 0, 2, 10), (8, 8))]).plot_map(images=1).axes[0].images


def test_two_classes_are_one_line_for_each_path():
    path = LeafPath([make_path(straight(30, 0, 1, 2), seed=i) for i in range(3)])
    figure = path.plot_map(classes=["cat", "dog"])
    assert texts(figure).count("cat") == 3
    assert "Distances on the map are Fisher–Rao distances." in title(figure)
    curves = [c for c in figure.axes[0].collections if isinstance(c, LineCollection)]
    heights = [np.array(curve.get_segments())[..., 1] for curve in curves]
    assert all(np.ptp(each) == 0 for each in heights)
    levels = [each.flat[0] for each in heights]
    assert levels == sorted(levels, reverse=True)
    assert len(set(levels)) == 3
    assert overlapping(boxes(figure)) == 0


@pytest.mark.parametrize("number", [1, 2, 4])
def test_independent_labels_are_named_as_sets(number):
    names = ["cat", "dog", "cow", "hen"][:number]
    log_probs = random_labels(20, number)
    figure = LeafPath([make_path(log_probs, likelihood="bernoulli")]).plot_map(classes=names)
    corners = {text.get_text() for text in figure.findobj(_is_name)}
    sets = list(product([False, True], repeat=number))  # of all corners
    if number == 4:  # of the corners that are predicted
        sets = (log_probs.exp() > 0.5).tolist()
    expected = {", ".join(compress(names, each)) or "no label above ½" for each in sets}
    assert corners == expected
    assert "The colour is the predicted set of labels." in title(figure)


def _is_name(artist) -> bool:
    return isinstance(artist, Text) and artist.get_weight() == "bold" and bool(artist.get_text())


def test_all_images_share_one_scale():
    path = [make_path(straight(9, 0, 1, 3), kept=2) for _ in range(2)]
    path = [
        dataclasses.replace(one, points=torch.full_like(one.points, value))
        for one, value in zip(path, (2.0, 3.0), strict=True)
    ]
    found = [
        set(np.unique(image.get_array()).tolist()) for image in images(LeafPath(path).plot_map())
    ]
    assert found == [{0}, {0}, {255}, {255}]


def test_the_target_is_marked():
    path = make_path(straight(30, 0, 2, 10), kind="prediction")
    assert "target" in texts(LeafPath([path]).plot_map(images=0))
    without = dataclasses.replace(path, target=None)
    assert "target" not in texts(LeafPath([without]).plot_map(images=0))


def test_a_walk_that_keeps_the_prediction_has_two_images():
    still = random_log_probs(1, 10)[:1].expand(30, -1)
    curve = map_curve(make_path(still, kind="orthogonal"), 20, 8)
    assert curve.frames.tolist() == [0, 29]
    moving = map_curve(make_path(straight(29, 0, 1, 10)), 20, 8)
    assert len(moving.frames) == 8


def test_a_start_of_several_paths_has_one_image_and_no_number():
    curves = [straight(30, 0, k, 5) for k in (1, 2)]
    curves[1][0] = curves[0][0]
    path = [make_path(curve) for curve in curves]
    figure = LeafPath(path).plot_map(images=2)
    assert len(images(figure)) == 3
    assert sorted(text.get_text() for text in figure.findobj(_is_white)) == ["0", "1"]
    # Negative control: other starts have images and numbers of their own.
    path[1] = make_path(straight(30, 3, 2, 5), seed=1)
    figure = LeafPath(path).plot_map(images=2)
    assert len(images(figure)) == 4
    assert sorted(text.get_text() for text in figure.findobj(_is_white)) == ["0", "0", "1", "1"]


def _is_white(artist) -> bool:
    return isinstance(artist, Text) and artist.get_color() == "white" and bool(artist.get_text())


def test_steps_are_evenly_spaced_over_the_change_of_the_prediction():
    """Negative control: evenly spaced steps are not."""
    fast = straight(10, 0, 1, 3)
    log_probs = torch.cat([fast[:1].expand(500, -1), fast, fast[-1:].expand(500, -1)])
    path = make_path(log_probs)
    curve = map_curve(path, 11, 0)
    lengths = path.fisher_rao_length[curve.steps].diff()
    assert lengths.max() < 2 * lengths.mean()
    assert curve.steps[0] == 0
    assert curve.steps[-1] == 1010
    even = path.fisher_rao_length[torch.linspace(0, 1010, 11).long()].diff()
    assert even.max() > 4 * even.mean()


def test_steps_after_nan_are_left_out():
    log_probs = straight(20, 0, 1, 3)
    log_probs[12:] = torch.nan
    path = make_path(log_probs)
    assert map_curve(path, 30, 4).steps.max() == 11
    nothing = make_path(torch.full((3, 3), torch.nan))
    words = title(LeafPath([path, nothing]).plot_map())
    assert "1 of which without a finite prediction" in words
    with pytest.raises(NonFiniteError, match="all are NaN"):
        LeafPath([nothing]).plot_map()


def test_wrong_arguments_raise_errors():
    path = LeafPath([make_path(straight(9, 0, 1, 3))])
    with pytest.raises(ValueError, match="classes expects 3 names, one per class; got 1"):
        path.plot_map(classes=["a"])
    with pytest.raises(LeafError, match="images expects a whole number from 0 to 16; got -1"):
        path.plot_map(images=-1)
    with pytest.raises(LeafError, match=r"at most 64 paths; got 65.*path\[:64\]"):
        LeafPath(list(path) * 65).plot_map()


def test_the_images_of_all_paths_are_limited(monkeypatch):
    path = LeafPath([make_path(straight(30, 0, 1, 2), seed=seed) for seed in range(2)])
    assert len(images(path.plot_map(images=5))) == 10
    monkeypatch.setattr("lightning_leaf.drawing.leaf_map.MOST_IN_TOTAL", 7)
    assert len(images(path.plot_map(images=5))) == 6


def test_the_scale_is_beside_the_legend():
    figure = LeafPath([make_path(straight(30, 0, 1, 10), kind="orthogonal")]).plot_map(images=0)
    figure.draw_without_rendering()
    (scale,) = figure.axes[0].findobj(lambda a: isinstance(a, Text) and "distance" in a.get_text())
    legend = figure.axes[0].get_legend()
    assert scale.get_window_extent().x0 > legend.get_window_extent().x1


def test_long_names_stay_on_the_page():
    names = ["a very long name of a class that nobody reads", "b", "c"]
    figure = LeafPath([make_path(straight(9, 0, 1, 3), (4,))]).plot_map(classes=names)
    figure.draw_without_rendering()
    for text in figure.findobj(_is_name):
        box = text.get_window_extent()
        assert box.x0 > 0
        assert box.x1 < figure.bbox.width
    assert "a very long name of a c…" in texts(figure)


def test_pictures_are_placed_beside_each_other():
    anchors = np.array([5.0, 1.0, 5.1, 4.9])
    centres = in_a_row(anchors, 1.0, 8.0)
    assert (np.diff(np.sort(centres)) > 1 - 1e-9).all()
    assert (centres.argsort() == anchors.argsort()).all()
    assert centres[1] == 1.0  # there is room at its anchor
    assert (in_a_row(np.array([7.9, 7.8]), 1.0, 8.0) <= 7.5).all()
    assert in_a_row(np.zeros(0), 1.0, 8.0).shape == (0,)


def test_pictures_avoid_texts_and_curves():
    anchors = np.array([[3.0, 3.0]])
    curve = np.stack([np.linspace(0, 6, 120), np.full(120, 3.0)], 1)
    taken = [(2.0, 3.2, 4.0, 6.0)]
    ((x, y),) = place_pictures(anchors, (0.7, 0.7), curve, (6, 6), taken)
    assert y < 3 - 0.35
    assert abs(x - 3) < 2
    ((_, other),) = place_pictures(anchors, (0.7, 0.7), curve, (6, 6), [(2.0, 0.0, 4.0, 2.8)])
    assert other > 3 + 0.35


def test_the_legend_is_below_the_map():
    figure = LeafPath([make_path(straight(9, 0, 1, 3))]).plot_map(images=0)
    assert figure.axes[0].get_ylim()[0] == -FOOT
