"""Checks of the fields of paths and snapshots."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pytest
from tensorboard_plugin_leaf import SnapshotError

from tests.support.plugin import synthetic

VALID = synthetic.path(steps=5, frames=6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, ""),
        ({"source": 4}, "source: expected a str, got int 4"),
        ({"source_index": -1}, "source_index: expected an int >= 0 or None"),
        ({"steps": np.int64(5)}, "steps: expected an int >= 0, got int64"),
        ({"steps": True}, "steps: expected an int >= 0"),
        ({"steps": 6}, "curve_steps: expected an increasing int32 array from 0 to steps = 6"),
        ({"status": "lost"}, "status: expected one of"),
        ({"threshold": "1"}, "threshold: expected a float"),
        ({"threshold": 1}, ""),
        ({"status": "blocked", "blocked_by": "domain"}, ""),
        ({"blocked_by": "magic"}, "blocked_by: expected one of"),
        ({"change": None}, "change: expected a float"),
        ({"judged": None}, "judged: expected a str"),
        ({"classes": ["a"]}, "classes: expected a tuple of str"),
        ({"classes": ("a",)}, r"probabilities: .* shape \(6, 1\), got float32 and shape \(6, 10\)"),
        ({"classes": ()}, "classes: expected at least one name"),
        ({"curve_steps": VALID.curve_steps.astype(np.int64)}, "curve_steps: .* got int64"),
        ({"curve_steps": VALID.curve_steps[::-1]}, "curve_steps: expected an increasing"),
        ({"curve_steps": VALID.curve_steps[:0]}, "curve_steps: expected an increasing"),
        ({"curve_steps": [0, 5]}, "curve_steps: .* got list"),
        (
            {"probabilities": VALID.probabilities.astype(np.float64)},
            "probabilities: .* got float64",
        ),
        (
            {"entropy": VALID.entropy[:-1]},
            r"entropy: .* shape \(6,\), got float32 and shape \(5,\)",
        ),
        ({"distance": None}, "distance: .* got NoneType"),
        ({"frame_labels": ("4",)}, "frame_labels: expected 6 names"),
        ({"frame_probabilities": VALID.frame_probabilities[:2]}, "frame_probabilities: "),
        ({"frames": VALID.frames[:-1]}, "frames: expected 6 frames"),
        ({"frames": VALID.frames.astype(np.float64)}, "frames: .* got float64"),
        ({"frames": VALID.frames[..., None]}, "frames: "),
        ({"frames": VALID.frames[:, :0]}, "frames: "),
        ({"destination_frame": VALID.frames[:1]}, "destination_frame: "),
        ({"destination_frame": None}, ""),
    ],
)
def test_invalid_paths_raise_an_error_that_names_the_field(
    changes: dict[str, Any], message: str
) -> None:
    if not message:
        dataclasses.replace(VALID, **changes)
        return
    with pytest.raises(SnapshotError, match=message):
        dataclasses.replace(VALID, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, ""),
        ({"paths": ()}, "paths: expected at least one"),
        ({"paths": [VALID]}, "paths: expected a tuple of PathRecord"),
        ({"name": "a/b"}, "name: expected letters"),
        ({"name": ""}, "name: expected letters"),
        ({"kind": "prediction"}, ""),
        ({"kind": "vertical"}, "kind: expected one of"),
        ({"likelihood": "gaussian"}, "likelihood: expected one of"),
        ({"frame_note": None}, "frame_note: expected a str"),
        ({"step": 10**12}, "step: expected at most"),
        ({"step": 1.0}, "step: expected an int"),
        ({"session": "1"}, "session: expected 16 hexadecimal digits"),
        ({"input_shape": [28, 28]}, "input_shape: expected a tuple of ints"),
        ({"scaled": 1}, "scaled: expected a bool"),
        ({"reason": "my own trigger"}, ""),
    ],
)
def test_invalid_snapshots_raise_an_error_that_names_the_field(
    changes: dict[str, Any], message: str
) -> None:
    snapshot = synthetic.snapshot(paths=1)
    if not message:
        dataclasses.replace(snapshot, **changes)
        return
    with pytest.raises(SnapshotError, match=re.compile(message)):
        dataclasses.replace(snapshot, **changes)


def test_curves_have_at_most_a_thousand_points() -> None:
    for points, allowed in ((1000, True), (1001, False)):
        steps = points - 1
        curve = np.zeros(points, np.float32)
        changes: dict[str, Any] = dict.fromkeys(
            ("distance", "horizontality", "fisher_rao_length", "entropy"), curve
        )
        changes |= {
            "steps": steps,
            "curve_steps": np.arange(points, dtype=np.int32),
            "probabilities": np.zeros((points, 10), np.float32),
            "frame_steps": np.array([0, 1, 2, 3, 4, steps], np.int32),
        }
        if allowed:
            dataclasses.replace(VALID, **changes)
        else:
            with pytest.raises(SnapshotError, match="S <= 1000"):
                dataclasses.replace(VALID, **changes)
