"""The numbers of the route ``path``: strict JSON, few bytes of memory, one path at a time."""

from __future__ import annotations

import json
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tensorboard_plugin_leaf import PathRecord
from tensorboard_plugin_leaf.routes import plugin
from tensorboard_plugin_leaf.routes.json_content import path_json
from tensorboard_plugin_leaf.routes.number_text import numbers_json

from tests.support.plugin.fake_provider import FakeProvider, event
from tests.support.plugin.limits import examples, limited_work


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


def test_numbers_take_little_more_memory_than_their_text() -> None:
    array = np.random.default_rng(0).normal(size=2**18).astype(np.float32)
    with limited_work(3 * len(numbers_json(array)) / 2**20):
        numbers_json(array)
    with pytest.raises(AssertionError, match="MB"), limited_work(7):
        json.dumps(array.tolist())


def test_paths_are_converted_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    active = most = 0
    guard = threading.Lock()
    waiting = threading.Event()

    def counting(path: PathRecord, digest: str) -> str:
        nonlocal active, most
        with guard:
            active += 1
            most = max(most, active)
        waiting.wait(0.05)
        with guard:
            active -= 1
        return path_json(path, digest)

    monkeypatch.setattr(plugin, "path_json", counting)
    tag, stored = event(1)
    client = FakeProvider({"run": {tag: stored}}).client()
    queries = [f"/data/plugin/leaf/path?run=run&tag={tag}"] * 4
    with ThreadPoolExecutor(4) as pool:
        assert [response.status_code for response in pool.map(client.get, queries)] == [200] * 4
    assert most == 1
