"""Figures show the points and curves of paths, and the history of a training."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from lightning_leaf.drawing.plotting import plot_paths
from lightning_leaf.paths.leaf_path import LeafPath
from tests.support.made_paths import make_path, random_labels, random_log_probs


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def test_the_figure_of_paths_shows_classes_statuses_and_the_destination():
    path = LeafPath([make_path(random_log_probs(20, 10), seed=i) for i in range(2)])
    shown = texts(path.plot(classes=[f"class {i}" for i in range(10)]))
    assert any("class 3" in text for text in shown)
    assert shown.count("destination") == 2
    assert f"horizontal path: {path[0].describe()}" in shown
    assert "distance to the destination" in shown


@pytest.mark.parametrize("shape", [(20,), (2, 12), (3, 8, 8), (8, 8)])
def test_the_figure_of_a_walk_has_no_destination(shape):
    walk = make_path(random_log_probs(20, 3), shape, "orthogonal")
    shown = texts(walk.plot())
    assert "destination" not in shown
    assert "distance from the start" in shown
    assert f"orthogonal walk: {walk.describe()}" in shown


def test_the_figure_of_a_prediction_path_shows_its_target_and_the_change():
    path = make_path(random_log_probs(20, 3), kind="prediction")
    figure = path.plot(classes=["cat", "dog", "cow"])
    shown = texts(figure)
    first, last = (("cat", "dog", "cow")[int(p.argmax())] for p in path.log_probs[[0, -1]])
    assert f"prediction path {first} → {last}: {path.describe()}" in shown
    assert "Fisher–Rao distance and horizontality" in shown
    assert {"distance to the target", "tolerance"} <= set(shown)
    assert f"p({first}) = {float(path.log_probs[0].exp().max()):.2f}\nstep 0" in shown
    change = path.points[-1] - path.points[0]
    (text,) = (text for text in shown if text.startswith("change: "))
    assert text == (
        f"change: {float(change.min()):.2g} to {float(change.max()):.2g}\n(red is higher)"
    ).replace("-", "−")
    assert len(figure.subfigs[0].subfigs[0].axes) == 13  # 12 points and the change
    # Negative control.
    assert "tolerance" not in texts(make_path(random_log_probs(20, 3)).plot())


def test_all_images_of_a_path_share_its_scale():
    path = make_path(random_log_probs(20, 3))
    path.points[5] *= 9  # brighter than both ends
    images = [panel.images[0].get_array() for panel in path.plot().subfigs[0].subfigs[0].axes]
    low, high = path.points.min(), path.points.max()
    expected = ((path.points[0, 0] - low) / (high - low) * 255).round()
    assert torch.equal(torch.from_numpy(images[0].data).float(), expected)


def test_a_notebook_shows_a_figure_without_pyplot():
    program = (
        "import sys; from lightning_leaf.drawing.plotting import plot_history;"
        "figure = plot_history({'step': [0], 'trace_mean': [1.0], 'trace_median': [1.0],"
        " 'tangent_dimension': [2.0]}, reference=None);"
        "assert 'matplotlib.pyplot' not in sys.modules;"
        "sys.stdout.buffer.write(figure._repr_png_())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.startswith(b"\x89PNG")


def test_a_wrong_number_of_class_names_raises_an_error():
    with pytest.raises(ValueError, match="classes expects 3 names, one per class; got 1"):
        make_path(random_log_probs(20, 3)).plot(classes=["a"])


def test_twenty_of_many_classes_are_shown():
    figure = make_path(random_log_probs(20, 30)).plot()
    (probabilities,) = (
        panel
        for part in figure.subfigs[0].subfigs
        for panel in part.axes
        if panel.get_title() == "Class probabilities"
    )
    assert len(probabilities.lines) == 20


def test_labels_above_one_half_are_written_below_each_point():
    log_probs = random_labels(20, 3)
    figure = make_path(log_probs, likelihood="bernoulli").plot(classes=["cat", "dog", "cow"])
    shown = texts(figure)
    names = [n for n, p in zip(["cat", "dog", "cow"], log_probs[0].exp(), strict=True) if p > 0.5]
    assert f"{', '.join(names) or 'no label above ½'}\nstep 0" in shown
    assert "Label probabilities" in shown
    # Negative control: exclusive classes have one name and its probability.
    shown = texts(make_path(random_log_probs(20, 3)).plot())
    assert "Class probabilities" in shown
    captions = [text for text in shown if "\nstep" in text]
    assert captions
    assert not any("½" in text or "," in text for text in captions)


def test_the_figure_of_videos_shows_slices_and_says_which():
    walk = make_path(random_log_probs(4, 3), (12, 3, 8, 8), "orthogonal")
    figure = walk.plot()
    assert any("Each image shows 9 of 12 slices along axis 0" in text for text in texts(figure))
    (image,) = figure.subfigs[0].subfigs[0].axes[0].images
    assert image.get_array().shape == (26, 26, 3)


def test_any_object_with_the_attributes_of_a_path_can_be_plotted():
    single = make_path(random_log_probs(20, 3))
    other = SimpleNamespace(
        **{name: getattr(single, name) for name in ("kind", "points", "point_steps", "log_probs")},
        **{name: getattr(single, name) for name in ("distance", "horizontality")},
        end=torch.zeros(1, 8, 8),
        normalization=None,
        likelihood="categorical",
        describe=lambda: "made by hand",
    )
    assert "horizontal path: made by hand" in texts(plot_paths([other]))
