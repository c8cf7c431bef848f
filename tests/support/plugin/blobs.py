"""Small encoded snapshots, and their members, to damage and compare."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from typing import Any

import numpy as np
from tensorboard_plugin_leaf import encode

from tests.support.plugin import synthetic

INDEX, BLOBS = encode(synthetic.snapshot(paths=2, path_steps=6, shape=(8, 5)))


_, SIGNAL_BLOBS = encode(synthetic.snapshot(paths=1, path_steps=6, shape=(9,)))


def members_of(blob: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(blob)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archive_of(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def with_values(blob: bytes, **changes: Any) -> bytes:
    members = members_of(blob)
    values = json.loads(members["path.json"]) | changes
    return archive_of(members | {"path.json": json.dumps(values).encode()})


def assert_same(actual: Any, expected: Any) -> None:
    assert type(actual) is type(expected)
    for field in dataclasses.fields(expected):
        value, expected_value = getattr(actual, field.name), getattr(expected, field.name)
        if field.name == "paths":
            assert len(value) == len(expected_value)
            for path, expected_path in zip(value, expected_value, strict=True):
                assert_same(path, expected_path)
        elif isinstance(expected_value, np.ndarray):
            assert value.dtype == expected_value.dtype, field.name
            np.testing.assert_array_equal(value, expected_value, field.name, strict=True)
        else:
            assert type(value) is type(expected_value), field.name
            both_nan = value != value and expected_value != expected_value
            assert value == expected_value or both_nan, field.name
