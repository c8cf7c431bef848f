"""A snapshot contains the paths, in at most 2 MB."""

import dataclasses

import numpy as np
import pytest
import torch
from tensorboard_plugin_leaf import Snapshot, encode

from lightning_leaf import fisher_rao_distance
from lightning_leaf.data.normalization import Normalization
from lightning_leaf.display.second_opinion import SecondOpinion
from lightning_leaf.display.snapshots import MAX_BYTES
from tests.support.made_paths import (
    UNIT,
    make_path,
    random_labels,
    random_log_probs,
    take_snapshot,
)


def byte_count(snapshot: Snapshot) -> int:
    index, blobs = encode(snapshot)
    return len(index) + sum(map(len, blobs))


def test_a_snapshot_contains_the_path_and_its_metadata():
    single = make_path(random_log_probs(50, 3))
    snapshot = take_snapshot(single, names=("cat", "dog", "cow"))
    assert (snapshot.name, snapshot.step, snapshot.epoch) == ("mine", 30, 2)
    assert (snapshot.reason, snapshot.session) == ("checkpoint", f"{7:016x}")
    assert snapshot.session_start_step == 0
    assert (snapshot.kind, snapshot.class_count, snapshot.input_shape) == (
        ("horizontal", 3, (1, 8, 8))
    )
    record = snapshot.paths[0]
    assert (record.source, record.destination) == ("cat", "1")
    assert (record.source_index, record.destination_index) == (10, None)
    assert (record.status, record.steps, record.threshold) == ("out_of_steps", 50, 0.5)
    assert (record.start_distance, record.final_distance) == (5.0, 1.0)
    assert record.classes == ("cat", "dog", "cow")
    assert record.curve_steps.tolist() == list(range(51))
    assert np.allclose(record.probabilities, single.log_probs.exp(), atol=1e-6)
    p = single.log_probs.double().exp()
    assert np.allclose(record.entropy, -(p * p.log()).sum(1), atol=1e-6)
    steps = record.frame_steps
    assert np.allclose(record.frame_probabilities, p[steps].amax(1), atol=1e-6)
    assert record.frame_labels == tuple(record.classes[i] for i in p[steps].argmax(1))
    pixels = (single.points[steps] * 255).round()
    assert np.array_equal(record.frames, pixels[:, 0].byte())
    assert np.array_equal(record.destination_frame, (single.end[0] * 255).round().byte())


def test_an_orthogonal_walk_has_no_destination():
    record = take_snapshot(make_path(random_log_probs(50, 3), kind="orthogonal")).paths[0]
    assert (record.destination, record.destination_frame, record.start_distance) == ("", None, 0.0)
    assert np.isnan(record.threshold)


def test_a_prediction_path_has_a_target_class_and_no_destination():
    single = dataclasses.replace(
        make_path(random_log_probs(50, 3), kind="prediction"), blocked_by="rank"
    )
    opinion = SecondOpinion("dog", 0.75)
    snapshot = take_snapshot(single, names=("cat", "dog", "cow"), opinions=[opinion])
    record = snapshot.paths[0]
    assert snapshot.kind == "prediction"
    assert record.destination == ("cat", "dog", "cow")[int(single.target.argmax())]
    assert (record.destination_index, record.destination_frame) == (None, None)
    assert (record.start_distance, record.final_distance, record.threshold) == (5.0, 1.0, 0.5)
    first, last = single.points[0], single.points[-1]
    assert record.change == pytest.approx(float((last - first).square().sum().sqrt()))
    assert record.euclidean_length == 6.0
    shortest = fisher_rao_distance(single.log_probs[0].double(), single.log_probs[-1].double())
    expected = float(single.fisher_rao_length[-1] / shortest)
    assert record.length_ratio == pytest.approx(expected)
    assert record.blocked_by == "rank"
    assert (record.judged, record.judged_probability) == ("dog", 0.75)
    # Without another network, nothing is said about the last point.
    record = take_snapshot(single).paths[0]
    assert record.judged == ""
    assert np.isnan(record.judged_probability)


def test_the_target_of_independent_labels_is_the_label_that_changes():
    log_probs = torch.tensor([[0.9, 0.2, 0.1], [0.9, 0.7, 0.1]]).log()
    names = ("cat", "dog", "cow")
    for order, expected in ((log_probs, "dog"), (log_probs.flip(0), "not dog")):
        single = make_path(order, kind="prediction", likelihood="bernoulli")
        assert take_snapshot(single, names=names).paths[0].destination == expected


@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 12)])
@pytest.mark.parametrize("bounds", [None, UNIT])
def test_only_images_without_bounds_are_marked_as_scaled(shape, bounds):
    snapshot = take_snapshot(make_path(random_log_probs(5, 3), shape), bounds=bounds)
    assert snapshot.scaled == (bounds is None and len(shape) == 3)


def test_a_snapshot_of_independent_labels_names_all_that_are_predicted():
    single = make_path(random_labels(50, 3), likelihood="bernoulli")
    snapshot = take_snapshot(single, names=("cat", "dog", "cow"))
    assert snapshot.likelihood == "bernoulli"
    record = snapshot.paths[0]
    for step, label in zip(record.frame_steps, record.frame_labels, strict=True):
        p = single.log_probs[step].exp()
        names = [name for name, above in zip(("cat", "dog", "cow"), p > 0.5, strict=True) if above]
        assert label == (", ".join(names) or "no label above ½")
    assert len(set(record.frame_labels)) > 1
    assert np.isnan(record.frame_probabilities).all()
    # Negative control.
    assert take_snapshot(make_path(random_log_probs(50, 3))).likelihood == "categorical"


def test_a_snapshot_of_videos_says_which_slices_it_shows():
    snapshot = take_snapshot(make_path(random_log_probs(5, 3), (12, 3, 8, 8)), bounds=None)
    assert snapshot.scaled
    assert snapshot.frame_note.startswith("Each image shows 9 of 12 slices along axis 0")
    assert snapshot.paths[0].frames.shape[1:] == (26, 26, 3)
    channels_last = dataclasses.replace(
        make_path(random_log_probs(5, 3), (3, 12, 9, 4)),
        normalization=Normalization((0.5,) * 4, (0.5,) * 4, axis=-1),
    )
    snapshot = take_snapshot(channels_last)
    assert snapshot.frame_note.startswith("Each image shows the 3 slices along axis 0")
    assert snapshot.paths[0].frames.shape[1:] == (12, 3 * 9 + 2)
    assert take_snapshot(make_path(random_log_probs(5, 3))).frame_note == ""  # Negative control.


def test_a_path_without_steps_has_one_point():
    record = take_snapshot(make_path(random_log_probs(0, 3))).paths[0]
    assert record.curve_steps.tolist() == record.frame_steps.tolist() == [0]
    assert np.isnan(record.horizontality).all()


@pytest.mark.parametrize("shape", [(3, 224, 224), (64, 5000), (5000, 12)])
def test_many_paths_of_large_inputs_and_many_classes_fit_in_2_mb(shape):
    paths = [make_path(random_log_probs(600, 1000, i), shape, kept=14, seed=i) for i in range(8)]
    snapshot = take_snapshot(*paths)
    assert byte_count(snapshot) <= MAX_BYTES
    # Negative control: without scaling they would not fit, and they are scaled no more than needed.
    assert byte_count(take_snapshot(paths[0])) > MAX_BYTES / 8
    assert byte_count(snapshot) > MAX_BYTES / 4
    assert all(len(record.frame_steps) == 13 for record in snapshot.paths)


def test_small_images_are_not_scaled_down():
    paths = [make_path(random_log_probs(20, 10), (3, 32, 32), seed=i) for i in range(8)]
    assert all(record.frames.shape == (13, 32, 32, 3) for record in take_snapshot(*paths).paths)
