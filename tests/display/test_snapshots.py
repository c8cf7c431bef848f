"""Snapshots are small and keep what matters of the paths."""

import numpy as np
import pytest
import torch
from tensorboard_plugin_leaf import Snapshot, encode

from lightning_leaf.display.snapshots import MAX_BYTES, curve_steps, frame_rows
from tests.support.made_paths import UNIT, flips, made_path, predictions, taken


def byte_count(snapshot: Snapshot) -> int:
    index, blobs = encode(snapshot)
    return len(index) + sum(map(len, blobs))


def test_a_snapshot_says_what_the_path_and_the_occasion_say():
    single = made_path(predictions(50, 3))
    snapshot = taken(single, names=("cat", "dog", "cow"))
    assert (snapshot.name, snapshot.step, snapshot.epoch) == ("mine", 30, 2)
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


def test_a_walk_has_no_destination():
    record = taken(made_path(predictions(50, 3), kind="orthogonal")).paths[0]
    assert (record.destination, record.destination_frame, record.start_distance) == ("", None, 0.0)
    assert np.isnan(record.threshold)


@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 12)])
@pytest.mark.parametrize("bounds", [None, UNIT])
def test_only_images_without_bounds_are_called_scaled(shape, bounds):
    snapshot = taken(made_path(predictions(5, 3), shape), bounds=bounds)
    assert snapshot.scaled == (bounds is None and len(shape) == 3)


def test_a_path_without_a_step_is_one_point():
    record = taken(made_path(predictions(0, 3))).paths[0]
    assert record.curve_steps.tolist() == record.frame_steps.tolist() == [0]
    assert np.isnan(record.horizontality).all()


def test_thinned_curves_keep_both_ends_and_both_sides_of_every_change_of_the_prediction():
    changes = (1234, 1235, 3331)
    steps = taken(made_path(flips(5000, *changes))).paths[0].curve_steps
    assert 900 < len(steps) <= 1000
    assert {0, 1233, 1234, 1235, 3330, 3331, 5000} <= set(steps.tolist())
    assert np.diff(steps).max() <= 6
    # Negative control: where nothing changes these steps are not kept.
    assert not {1233, 1234, 1235} <= set(taken(made_path(flips(5000))).paths[0].curve_steps)


@pytest.mark.parametrize("last", [0, 1, 98, 99, 100, 101, 5000])
@pytest.mark.parametrize("every", [1, 2, 7, 10_000])
def test_curves_never_exceed_their_limit(last, every):
    steps = curve_steps(np.arange(last + 1) // every % 3, 100)
    assert len(steps) <= 100
    assert (steps[0], steps[-1]) == (0, last)
    assert (np.diff(steps) > 0).all()
    assert len(steps) == last + 1 or len(steps) >= 50


@pytest.mark.parametrize(("classes", "columns"), [(2, 2), (20, 20), (21, 21), (22, 21), (1000, 21)])
def test_the_twenty_most_probable_classes_and_the_others_sum_to_one(classes, columns):
    log_probs = predictions(30, classes)
    record = taken(made_path(log_probs)).paths[0]
    assert record.probabilities.shape == (31, columns)
    assert np.allclose(record.probabilities.sum(1), 1, atol=1e-5)
    shown = [int(name) for name in record.classes if name != "other"]
    assert ("other" in record.classes) == (classes > 21)
    assert np.allclose(record.probabilities[:, : len(shown)], log_probs.exp()[:, shown], atol=1e-6)
    most_probable = log_probs.amax(0).argsort(descending=True)[: len(shown)]
    assert shown == sorted(most_probable.tolist())


def test_a_class_that_is_probable_at_one_step_only_is_shown():
    log_probs = predictions(3000, 100)
    spike = torch.zeros(100, dtype=torch.float64)
    spike[77] = 50
    log_probs[1001] = spike.log_softmax(0)
    record = taken(made_path(log_probs)).paths[0]
    assert record.probabilities[:, record.classes.index("77")].max() > 0.99


@pytest.mark.parametrize("steps", [7, 999, 1000, 4321])
def test_horizontality_is_the_mean_up_to_the_next_point_of_the_curve(steps):
    single = made_path(predictions(steps, 4))
    single.horizontality[3:5] = torch.nan
    single.horizontality[steps - 2] = torch.nan
    record = taken(single).paths[0]
    naive = [
        float(single.horizontality[start:stop].nanmean())
        for start, stop in zip(record.curve_steps[:-1], record.curve_steps[1:], strict=True)
    ]
    assert np.allclose(record.horizontality, [*naive, naive[-1]], atol=1e-6, equal_nan=True)
    if steps > 1000:  # Negative control: not the value at the point.
        at_points = single.horizontality.numpy()[record.curve_steps[:-1]]
        assert not np.allclose(record.horizontality[:-1], at_points, atol=0.1, equal_nan=True)


@pytest.mark.parametrize("shape", [(3, 224, 224), (12, 5000), (64, 5000), (5000, 12)])
def test_many_paths_of_large_inputs_and_many_classes_fit_in_2_mb(shape):
    paths = [made_path(predictions(600, 1000, i), shape, kept=14, seed=i) for i in range(8)]
    snapshot = taken(*paths)
    assert byte_count(snapshot) <= MAX_BYTES
    # Negative control: it is the scaling down that makes them fit, and no more of it than needed.
    assert byte_count(taken(paths[0])) > MAX_BYTES / 8
    assert byte_count(snapshot) > MAX_BYTES / 4
    assert all(len(record.frame_steps) == 13 for record in snapshot.paths)


def test_small_images_are_not_scaled_down():
    paths = [made_path(predictions(20, 10), (3, 32, 32), seed=i) for i in range(8)]
    assert all(record.frames.shape == (13, 32, 32, 3) for record in taken(*paths).paths)


@pytest.mark.parametrize("kept", [1, 2, 5, 13, 14, 300])
@pytest.mark.parametrize("length", [predictions(400, 3), flips(400, 399), flips(400)])
def test_frames_begin_and_end_with_the_path_and_each_is_another_point(kept, length):
    single = made_path(length[: kept if kept < 3 else None], kept=kept)
    rows = frame_rows(single)
    assert len(rows) == min(13, len(single.points))
    assert (rows[0], rows[-1]) == (0, len(single.points) - 1)
    assert (np.diff(rows) > 0).all()
    assert all(type(row) is int for row in rows)


def test_frames_are_dense_where_the_prediction_changes():
    ramp = (torch.arange(401.0) - 300).clamp(-10, 10) / 2
    log_probs = torch.stack([ramp, -ramp], dim=1).double().log_softmax(1)
    single = made_path(log_probs, kept=401)
    steps = single.point_steps[frame_rows(single)]
    assert int(((steps > 288) & (steps < 312)).sum()) >= 5
    # Quiet stretches are not left out, and a path that changes nowhere is shown evenly.
    assert int((steps < 288).sum()) >= 4
    even = made_path(flips(400), kept=401)
    assert np.ptp(np.diff(even.point_steps[frame_rows(even)])) <= 1


def test_frames_of_a_path_with_missing_lengths_are_still_frames():
    log_probs = predictions(100, 3)
    log_probs[60:] = torch.nan
    rows = frame_rows(made_path(log_probs))
    assert (rows[0], rows[-1], len(rows)) == (0, 100, 13)
    assert (np.diff(rows) > 0).all()
