"""Small valid records, which show how to build a path and a snapshot."""

from __future__ import annotations

import numpy as np

from tensorboard_plugin_leaf.schema.path import PathRecord
from tensorboard_plugin_leaf.schema.snapshot import Snapshot


def example_path() -> PathRecord:
    """Return a horizontal path of two steps from class 4 to class 9: 3 points, 2 images.

    Example:
        >>> from tensorboard_plugin_leaf.schema.example import example_path
        >>> example_path().frame_labels
        ('4', '9')
    """
    return PathRecord(
        source="4",
        destination="9",
        source_index=1004,
        destination_index=1009,
        status="reached",
        steps=2,
        start_distance=4.0,
        final_distance=0.5,
        threshold=1.0,
        classes=("4", "9"),
        curve_steps=np.array([0, 1, 2], np.int32),
        probabilities=np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]], np.float32),
        distance=np.array([4.0, 2.0, 0.5], np.float32),
        horizontality=np.array([0.6, 0.5, 0.5], np.float32),
        fisher_rao_length=np.array([0.0, 1.1, 1.7], np.float32),
        entropy=np.array([0.33, 0.69, 0.5], np.float32),
        frame_steps=np.array([0, 2], np.int32),
        frame_labels=("4", "9"),
        frame_probabilities=np.array([0.9, 0.8], np.float32),
        frames=np.array([np.zeros((4, 4)), np.full((4, 4), 200)], np.uint8),
        destination_frame=np.full((4, 4), 255, np.uint8),
    )


def example_snapshot() -> Snapshot:
    """Return a snapshot at step 500 that contains :func:`example_path`.

    Example:
        >>> from tensorboard_plugin_leaf.schema.example import example_snapshot
        >>> example_snapshot().step
        500
    """
    return Snapshot(
        name="horizontal_path",
        kind="horizontal",
        step=500,
        epoch=1,
        reason="checkpoint",
        session="17979cfe362a0000",
        session_start_step=0,
        class_count=10,
        input_shape=(1, 4, 4),
        scaled=False,
        paths=(example_path(),),
    )
