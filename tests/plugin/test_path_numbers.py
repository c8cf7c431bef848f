"""The numbers of the route ``path``: strict JSON, few bytes of memory, one path at a time."""

from __future__ import annotations

import dataclasses
import json
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tensorboard_plugin_leaf import PathRecord, SnapshotError
from tensorboard_plugin_leaf.routes import plugin
from tensorboard_plugin_leaf.routes.json_content import MAX_NUMBERS, MAX_ROWS, path_json
from tensorboard_plugin_leaf.routes.number_text import numbers_json

from tests.support.plugin import synthetic
from tests.support.plugin.fake_provider import FakeProvider, event
from tests.support.plugin.limits import Overlap, examples, limited_work


def rounded(values: Any) -> Any:
    if isinstance(values, list):
        return [rounded(value) for value in values]
    return float(f"{values:.7g}") if math.isfinite(values) else None


def no_constant(name: str) -> None:
    raise AssertionError(f"{name} is not strict JSON")


@examples(200)
@given(
    st.sampled_from([np.float32, np.float64]).flatmap(
        lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=1, max_dims=3, min_side=0))
    )
)
def test_numbers_have_seven_digits_and_are_null_if_not_finite(array: Any) -> None:
    answer = json.loads(numbers_json(array), parse_constant=no_constant)
    assert answer == rounded(array.tolist())


@pytest.mark.parametrize("length", [0, 1, 2**14 - 1, 2**14, 2**14 + 1, 2**15])
@pytest.mark.parametrize("last", [1.5, math.nan, -math.inf])
def test_long_arrays_lose_no_number(length: int, last: float) -> None:
    array = np.append(np.arange(length, dtype=np.float32), np.float32(last))
    assert json.loads(numbers_json(array)) == rounded(array.tolist())


@pytest.mark.parametrize(
    "shape",
    [(2**17,), (2**17, 1), (1, 2**17), (2, 2**16, 1), (2**16, 1, 2), (2**8, 2**9), (2**17, 0)],
)
def test_work_depends_on_the_number_of_elements_and_not_on_the_shape(
    shape: tuple[int, ...],
) -> None:
    with limited_work(20, calls=500):
        numbers_json(np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    ("classes", "frames"),
    [
        (MAX_ROWS, np.zeros((2, 1, 1), np.uint8)),
        (2, np.zeros((MAX_ROWS, 1, 1), np.uint8)),
        (2, np.zeros((MAX_ROWS, 1), np.float32)),
        (2, np.zeros((2, MAX_ROWS // 2, 1), np.float32)),
    ],
)
def test_more_rows_than_a_page_can_show_raise(classes: int, frames: Any) -> None:
    path = synthetic.snapshot_of_size(2, 2, np.zeros((2, 1), np.float32)).paths[0]
    count = len(frames)
    path = dataclasses.replace(
        path,
        steps=max(count - 1, 1),
        curve_steps=np.array([0, max(count - 1, 1)], np.int32),
        classes=("a",) * classes,
        probabilities=np.zeros((2, classes), np.float32),
        frame_steps=np.arange(count, dtype=np.int32),
        frame_labels=("",) * count,
        frame_probabilities=np.zeros(count, np.float32),
        frames=frames,
    )
    with limited_work(1, calls=1000), pytest.raises(SnapshotError, match="classes and channels"):
        path_json(path, "")


def test_numbers_of_the_destination_count() -> None:
    frames = np.zeros((1, MAX_NUMBERS - 10), np.float32)
    path = synthetic.snapshot_of_size(1, 2, frames).paths[0]
    assert len(path_json(path, "")) > MAX_NUMBERS
    path = dataclasses.replace(path, destination_frame=frames[0])
    with pytest.raises(SnapshotError, match="numbers"):
        path_json(path, "")


def test_numbers_take_little_more_memory_than_their_text() -> None:
    array = np.random.default_rng(0).normal(size=2**18).astype(np.float32)
    with limited_work(3 * len(numbers_json(array)) / 2**20):
        numbers_json(array)
    with pytest.raises(AssertionError, match="MB"), limited_work(7):
        json.dumps(array.tolist())


def test_paths_are_converted_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    overlap = Overlap()

    def counting(path: PathRecord, digest: str) -> str:
        with overlap:
            return path_json(path, digest)

    monkeypatch.setattr(plugin, "path_json", counting)
    tag, stored = event(1)
    client = FakeProvider({"run": {tag: stored}}).client()
    queries = [f"/data/plugin/leaf/path?run=run&tag={tag}"] * 4
    with ThreadPoolExecutor(4) as pool:
        assert [response.status_code for response in pool.map(client.get, queries)] == [200] * 4
    assert overlap.most == 1
