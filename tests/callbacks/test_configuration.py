"""Callbacks are configured from YAML: parts, functions and keys by name, lists of any kind."""

from __future__ import annotations

import math
from typing import Any

import pytest
from jsonargparse import ArgumentParser

from lightning_leaf import (
    HorizontalPathSnapshot,
    LeafError,
    LocalDataMatrixMonitor,
    OrthogonalWalkSnapshot,
    PredictionPathSnapshot,
)

SHARED = """
  forward: backbone
  batch: [pixels, target]
  likelihood: bernoulli
  class_names: [cat, dog]
  chunk_size: 4
  on_error: raise
  exact: true
"""
PATHS = """
  when: [0, 100, epoch, fit_end]
  max_time: 60
  save_files: null
"""
YAML = {
    LocalDataMatrixMonitor: "  probe: [1, 2, 3]\n  ranks: [entropy, stable]",
    HorizontalPathSnapshot: PATHS + "  pairs: [[0, 1], [2, 3]]",
    OrthogonalWalkSnapshot: PATHS + "  starts: 4",
    PredictionPathSnapshot: PATHS + "  examples: 4\n  to: each\n  judge: math.sin",
}


def configured(kind: type, text: str) -> Any:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, "callback")
    return parser.instantiate(parser.parse_string(f"callback:\n{text}")).callback


@pytest.mark.parametrize("kind", YAML)
def test_every_argument_can_be_configured(kind: type) -> None:
    callback = configured(kind, SHARED + YAML[kind])
    assert (callback.forward, callback.batch) == ("backbone", ("pixels", "target"))
    assert (callback.likelihood, callback.class_names) == ("bernoulli", ("cat", "dog"))
    assert (callback.chunk_size, callback.on_error, callback.exact) == (4, "raise", True)
    if kind is not LocalDataMatrixMonitor:
        assert callback.max_time == 60.0
        assert callback.save_files is None
        reasons = [trigger.reason for trigger in callback.triggers]
        assert reasons == ["step", "step", "epoch", "fit_end"]


@pytest.mark.parametrize("kind", YAML)
def test_functions_are_configured_by_their_import_path(kind: type) -> None:
    named = configured(kind, "  forward: math.sin\n  batch: builtins.len")
    # A name is kept: whether it is a part of the module is known when the module is.
    assert named.forward in ("math.sin", math.sin)
    assert named.batch in ("builtins.len", len)
    function = kind(forward=lambda module, x: module(x), batch=lambda batch: batch)
    assert callable(function.forward)
    assert callable(function.batch)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (LocalDataMatrixMonitor, "probe"),
        (HorizontalPathSnapshot, "pairs"),
        (OrthogonalWalkSnapshot, "starts"),
        (PredictionPathSnapshot, "examples"),
    ],
)
def test_inputs_are_no_text(kind: type, name: str) -> None:
    with pytest.raises(LeafError, match=f"{name} expects how many examples.*got 'val'"):
        kind(**{name: "val"})
    kind(**{name: 2})  # negative control


@pytest.mark.parametrize("kind", YAML)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"forward": 3}, "forward expects the name"),
        ({"batch": 3}, "batch expects the names"),
        ({"likelihood": "gaussian"}, "likelihood expects one of 'categorical', 'bernoulli'"),
        ({"class_names": "cat"}, "class_names expects a list"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_errors_name_the_argument(kind: type, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(LeafError, match=message):
        kind(**arguments)


@pytest.mark.parametrize("max_time", [0, -1, "long"])
def test_max_time_is_a_positive_number(max_time: Any) -> None:
    with pytest.raises(LeafError, match="max_time expects"):
        HorizontalPathSnapshot(max_time=max_time)
    assert HorizontalPathSnapshot(max_time=math.inf).max_time == math.inf
